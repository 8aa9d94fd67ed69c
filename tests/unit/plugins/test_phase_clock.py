"""phase_clock under a real ansible-playbook, and under ansible-runner, where the stdout callback is another."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
OURS = "terragon.disaster_recovery"


def ledger(directory: Path, state: str = "declared", **more: Any) -> dict[str, Any]:
    given = {"state": state, "incident": "INC-7", "mode": "drill", "directory": str(directory / "ledgers"), **more}
    return {"name": f"Ledger {state}", f"{OURS}.incident_ledger": given}


def phase(name: str, *tasks: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "hosts": "localhost", "gather_facts": False, "tasks": list(tasks)}


def run(directory: Path, plays: list[dict[str, Any]], **environment: str) -> subprocess.CompletedProcess[str]:
    book = directory / "play.yml"
    book.write_text(yaml.safe_dump(plays, sort_keys=False))
    (directory / "ansible.cfg").write_text(
        f"[defaults]\ncollections_path = {ROOT / 'collections'}\ncallbacks_enabled = {OURS}.phase_clock\n"
        "localhost_warning = false\n[inventory]\ninventory_unparsed_warning = false\n"
    )
    env = {**os.environ, "ANSIBLE_CONFIG": str(directory / "ansible.cfg"), **environment}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(book)]
    return subprocess.run(command, env=env, cwd=directory, capture_output=True, text=True, check=False)


def clock_lines(output: str) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    return [line for line in plain.splitlines() if line.startswith("-- ")]


DEBUG = {"name": "Say", "ansible.builtin.debug": {"msg": "hello"}}


def test_phases_are_drawn_against_the_clock(tmp_path: Path) -> None:
    objectives = {"rto_seconds": 3600, "rpo_seconds": 900}
    plays = [
        phase("Detect | find the regions", DEBUG, ledger(tmp_path, objectives=objectives)),
        phase("Something else", DEBUG),
        phase("isolate | fence us-east-1", DEBUG),
    ]
    done = run(tmp_path, plays)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    lines = clock_lines(done.stdout)
    starts = ("-- DETECT | find the regions --", "-- declared at ", "-- ISOLATE | fence us-east-1 --")
    assert len(lines) == len(starts)
    assert all(line.startswith(start) for line, start in zip(lines, starts, strict=True)), lines
    assert "the clock starts with the declaration" in lines[0]
    for line in lines[1:]:
        assert re.search(r"\d s since declared, (1:00:00|59:\d\d) of RTO left --$", line), line
    assert max(map(len, lines)) <= 100


def test_a_resumed_incident_keeps_its_clock(tmp_path: Path) -> None:
    clock = {"declared_at": "2020-01-01T00:00:00Z", "rto_objective_seconds": 3600}
    tell = {"name": "Tell", "ansible.builtin.set_fact": {"incident_clock": clock}}
    done = run(tmp_path, [phase("Detect | again", tell), phase("Recover | on", DEBUG)])
    assert "RTO MISSED by" in clock_lines(done.stdout)[-1]


def test_plays_that_are_no_phase_are_left_alone(tmp_path: Path) -> None:
    failing = {"name": "Fail", "ansible.builtin.fail": {"msg": "no"}}
    done = run(tmp_path, [phase("Prepare", DEBUG, failing), phase("Assessment | x", DEBUG)])
    assert done.returncode == 2
    assert clock_lines(done.stdout) == []


def test_a_failed_step_is_named_with_its_remedy(tmp_path: Path) -> None:
    undeclared = ledger(tmp_path, state="appended", phase="assess", step="x")
    done = run(tmp_path, [phase("Assess | look", undeclared), phase("Isolate | never", DEBUG)])
    assert done.returncode == 2
    drawn = clock_lines(done.stdout)
    assert [line.split(" --", 1)[0] for line in drawn] == [
        "-- ASSESS | look",
        "-- FAILED in ASSESS: Ledger appended [localhost]",
        "-- STOPPED in ASSESS: Ledger appended",
    ]
    assert "Declare it first" in " ".join(done.stdout.split("-- FAILED")[1].split())
    assert "run the same command again" in done.stdout


def test_a_closed_incident_is_not_to_be_run_again(tmp_path: Path) -> None:
    """Neither where a run finds it closed, nor where the run that closed it stops afterwards."""
    fail = {"name": "Judge", "ansible.builtin.fail": {"msg": "no"}}
    objectives = {"rto_seconds": 3600}
    plays = [
        phase("Detect | x", ledger(tmp_path, objectives=objectives)),
        phase("Close | x", ledger(tmp_path, "closed"), fail),
    ]
    found = [phase("Detect | x", ledger(tmp_path, "present"), fail)]
    for tried in (plays, found):
        done = run(tmp_path, tried)
        assert done.returncode == 2
        said = " ".join(done.stdout.split())
        assert "The incident is closed: its ledger takes nothing more." in said
        assert "run the same command again" not in said
        assert "goes on" not in said
        assert re.search(r"closed [\d.:]+( s)? after it was declared --$", clock_lines(done.stdout)[-1])


def test_a_run_that_goes_on_says_what_it_found_done(tmp_path: Path) -> None:
    def event(step: str, state: str, **data: Any) -> dict[str, Any]:
        return ledger(tmp_path, "appended", phase="isolate", step=step, event_state=state, data=data)

    first = [
        ledger(tmp_path, "present"),
        ledger(tmp_path),
        event("pg_fence", "intent", item="main"),
        event("pg_fence", "verified", item="main", changed=True),
        event("look", "verified", changed=False),
        event("scale_workloads", "intent"),
        event("scale_workloads", "effect", changed=True),
        event("pg_promote", "intent", item="main"),
        ledger(tmp_path, "present"),
    ]
    assert "goes on" not in run(tmp_path, [phase("Detect | x", *first)]).stdout
    again = run(tmp_path, [phase("Detect | x", ledger(tmp_path, "present"), ledger(tmp_path, "present"))])
    assert (
        again.stdout.count("   This incident goes on. Done before: pg_fence (isolate), scale_workloads (isolate).") == 1
    )
    assert again.stdout.count("   Begun, outcome not recorded: pg_promote (isolate).") == 1


def test_what_was_rescued_or_ignored_did_not_stop_the_run(tmp_path: Path) -> None:
    fail = {"name": "Fail", "ansible.builtin.fail": {"msg": "no"}}
    tasks = [{"name": "Try", "block": [fail], "rescue": [DEBUG]}, {**fail, "name": "Ignored", "ignore_errors": True}]
    done = run(tmp_path, [phase("Assess | look", *tasks)])
    assert done.returncode == 0
    assert "STOPPED" not in done.stdout
    assert "Ignored [" not in done.stdout


def test_slow_tasks_are_named(tmp_path: Path) -> None:
    done = run(tmp_path, [phase("Assess | look", DEBUG)], DR_PHASE_CLOCK_SLOW_SECONDS="0")
    assert re.search(r"^   \d\.\d\d s  Say \[localhost\]  \(the clock", done.stdout, re.MULTILINE)
    assert not re.search(r"^   \d.*Say", run(tmp_path, [phase("Assess | look", DEBUG)]).stdout, re.MULTILINE)


def test_what_is_to_be_typed_stays_on_one_line(tmp_path: Path) -> None:
    """Whatever the width breaks, it can be copied."""
    typed = "-e 'dr_acceptance=\"promote us-west-2 without a fence receipt, losing an unknown amount\"'"
    failing = {
        "name": "Fail",
        "ansible.builtin.fail": {"msg": f"No receipt for us-east-1 here; accept it by typing {typed}."},
    }
    done = run(tmp_path, [phase("Isolate | fence", failing)], DR_PHASE_CLOCK_WIDTH="60")
    drawn = done.stdout[done.stdout.index("-- FAILED in ISOLATE") :].splitlines()
    assert f"   {typed}." in drawn, drawn
    assert "   No receipt for us-east-1 here; accept it by typing" in drawn


def test_the_report_is_printed_last_and_verbatim(tmp_path: Path) -> None:
    report = {
        "name": "Report",
        f"{OURS}.incident_report": {"incident": "INC-7", "mode": "drill", "directory": str(tmp_path / "ledgers")},
        "register": "found",
    }
    keep = {"name": "Keep", "ansible.builtin.copy": {"content": "{{ found.table }}", "dest": str(tmp_path / "table")}}
    done = run(tmp_path, [phase("Close | report", ledger(tmp_path), report, keep)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\n" + (tmp_path / "table").read_text() + "\n")
    assert "UNVERIFIED   Drill, INC-7, declared" in done.stdout


def test_under_ansible_runner(tmp_path: Path) -> None:
    """AWX replaces the stdout callback and reads events: the clock's lines are in its output all the same."""
    runner = Path(sys.executable).with_name("ansible-runner")
    if not runner.exists():
        pytest.skip("ansible-runner is not installed")
    project = tmp_path / "project"
    project.mkdir()
    book = [phase("Detect | find the regions", ledger(tmp_path, objectives={"rto_seconds": 60}))]
    (project / "play.yml").write_text(yaml.safe_dump(book))
    (project / "ansible.cfg").write_text(
        f"[defaults]\ncollections_path = {ROOT / 'collections'}\ncallbacks_enabled = {OURS}.phase_clock\n"
    )
    (tmp_path / "env").mkdir()
    (tmp_path / "env/envvars").write_text(json.dumps({"ANSIBLE_CONFIG": str(project / "ansible.cfg")}))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(runner), "run", str(tmp_path), "-p", "play.yml"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(clock_lines(done.stdout)) == 2
    events = [json.loads(path.read_text()) for path in tmp_path.glob("artifacts/*/job_events/*.json")]
    assert any("-- DETECT | find the regions" in event["stdout"] for event in events)
