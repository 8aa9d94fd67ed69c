"""A run holds its incident for as long as it lives, not longer, and none of its effects begins once it does not.

Real runs of ansible-playbook, killed, frozen and overtaken, against a real S3.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease_record import LeaseRecord
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.process_identity import ProcessIdentity

from tests.unit.plugins.both_ways import run_action
from tests.unit.plugins.line_collection import build, start
from tests.unit.servers import S3Server, eventually

OURS = "terragon.disaster_recovery"
BOB = {"user": "bob", "host": "elsewhere", "pid": 7, "boot_id": "b", "pid_namespace": "p", "started": 1, "command": "c"}
WAYS = {"in process": {}, "module": {"dr_in_process": False}}


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("collections"))


class Incident:
    """One incident of its own: its lease, its ledger, and runs that act on it."""

    def __init__(self, key: str, directory: Path, collections: Path, store: dict[str, Any]) -> None:
        self.directory = directory
        self.collections = collections
        self.out = directory / "out"
        self.lease = {"key": key, "ttl_seconds": 60, "clock_allowance_seconds": 0.5, "stores": [store]}
        self.runs: list[subprocess.Popen[str]] = []

    def start(self, *tasks: dict[str, Any], **variables: Any) -> subprocess.Popen[str]:
        """A run that takes the lease, declares the incident, and then does `tasks`."""
        hold = {"state": "held", "incident": "INC-7", "lease": self.lease}
        declare = {
            "state": "declared",
            "incident": "INC-7",
            "mode": "drill",
            "directory": str(self.directory / "ledgers"),
        }
        first = [
            {f"{OURS}.incident_lease": hold, "register": "held"},
            {f"{OURS}.incident_ledger": {**declare, "state": "declared", "token": "{{ held.token }}"}},
        ]
        run = start(self.collections, self.directory, [*first, *tasks], **variables)
        self.runs.append(run)
        return run

    def step(self, **more: Any) -> dict[str, Any]:
        """A recorded effect: it writes a line."""
        record = {
            "incident": "INC-7",
            "mode": "drill",
            "phase": "recover",
            "directory": str(self.directory / "ledgers"),
            "token": "{{ held.token }}",
            "lease": self.lease,
        }
        return {"name": "Step", "test.example.line": {"path": str(self.out), "text": "done", "record": record, **more}}

    def wait_for(self, name: str) -> dict[str, Any]:
        """A task that is none of ours: it lasts until the test makes the file, having told that it began."""
        begun, go = self.directory / f"{name}.begun", self.directory / f"{name}.go"
        script = f"touch {begun}; while ! test -e {go}; do sleep 0.05; done"
        return {"name": "Wait", "ansible.builtin.command": {"argv": ["sh", "-c", script]}}

    def begun(self, name: str) -> None:
        eventually((self.directory / f"{name}.begun").exists, f"the beginning of {name}")

    def go(self, name: str) -> None:
        (self.directory / f"{name}.go").touch()

    @property
    def record(self) -> LeaseRecord:
        """What the witness has."""
        record = Lease.from_options(self.lease).read().record
        assert record is not None
        return record

    def supersede(self) -> None:
        """Another operator takes over, as if the lease had expired."""
        lease = Lease.from_options(self.lease)
        data = {"incident": "INC-7", "holder": BOB}
        lease.claim(lease.read(), "bob@elsewhere:7", 60, allowance=0.5, claimed_by="bob@elsewhere:7", data=data)

    def ended(self, run: subprocess.Popen[str]) -> str:
        said = run.communicate(timeout=120)[0]
        return " ".join(said.split())


@pytest.fixture
def incident(
    request: pytest.FixtureRequest, tmp_path: Path, collections: Path, s3_server: S3Server
) -> Iterator[Incident]:
    key = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    one = Incident(key, tmp_path, collections, s3_server.store("witness-0", name="w0"))
    yield one
    for run in one.runs:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()


def keepers(incident: Incident) -> list[int]:
    """The keepers of this test's runs: each got its lease's key by its standard input, and has its run's directory."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if b"lease_keeper" in command and (entry / "cwd").readlink() == incident.directory:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_step_of_a_superseded_run_does_not_begin(incident: Incident, way: str) -> None:
    run = incident.start(incident.wait_for("pause"), incident.step(), **WAYS[way])
    incident.begun("pause")
    incident.supersede()
    incident.go("pause")
    said = incident.ended(run)
    assert run.returncode == 2
    wanted = "Failed to begin line of incident INC-7: the fencing token 1 was superseded by 2, held by bob@elsewhere:7."
    assert wanted in said
    assert not incident.out.exists()
    events = (incident.directory / "ledgers/INC-7/ledger.jsonl").read_text()
    assert "Step" not in events
    eventually(lambda: not keepers(incident), "the end of its keeper")
    assert (incident.record.epoch, incident.record.released) == (2, False)


@pytest.mark.parametrize("ends", ["well", "refused", "killed"])
def test_a_run_holds_on_through_any_task_and_gives_back_when_it_ends(incident: Incident, ends: str) -> None:
    """However it ends: the next operator need not wait."""
    incident.lease["ttl_seconds"] = 1.5
    last = {"name": "Refuse", "ansible.builtin.fail": {"msg": "no"}, "when": ends == "refused"}
    run = incident.start(incident.wait_for("pause"), last)
    incident.begun("pause")
    first = incident.record.sequence
    eventually(lambda: incident.record.sequence >= first + 3, "three renewals in a task that is not ours")
    assert not incident.record.released
    if ends == "killed":
        os.kill(run.pid, signal.SIGKILL)
    incident.go("pause")
    assert run.wait() == {"well": 0, "refused": 2, "killed": -signal.SIGKILL}[ends]
    eventually(lambda: incident.record.released, "the release")
    eventually(lambda: not keepers(incident), "the end of its keeper")
    taken = run_action("incident_lease", {"incident": "INC-7", "lease": incident.lease, "holder": BOB})
    assert (taken["token"], taken["taken_over_from"]) == (2, None)


def test_a_release_is_not_undone(incident: Incident) -> None:
    incident.lease["ttl_seconds"] = 1.5
    give_back = {f"{OURS}.incident_lease": {"state": "released", "incident": "INC-7", "lease": incident.lease}}
    run = incident.start(give_back, incident.wait_for("rest"), incident.step())
    incident.begun("rest")
    eventually(lambda: not keepers(incident), "the end of its keeper")
    assert incident.record.released
    incident.go("rest")
    assert "has given its lease back (token 1)" in incident.ended(run)
    assert not incident.out.exists()


def workers(identity: ProcessIdentity) -> list[int]:
    return identity.workers(ProcessIdentity.of(os.getpid(), "test"))


def test_a_step_in_process_ends_with_its_killed_run(incident: Incident) -> None:
    run = incident.start(incident.step(how="wait"))
    incident.begun("out")
    identity = ProcessIdentity.of(run.pid, "test")
    assert workers(identity)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    eventually(lambda: not workers(identity), "the worker's end")
    eventually(lambda: incident.record.released, "the release")
    incident.go("out")
    again = incident.start(incident.step(text="again"))
    assert again.wait() == 0, again.communicate()
    assert incident.out.read_text() == "again\n"


def test_a_killed_runs_module_is_waited_for(incident: Incident) -> None:
    """What runs as a module is a process of its own and finishes: the next run begins after it."""
    run = incident.start(incident.step(how="wait"), dr_in_process=False)
    incident.begun("out")
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    again = incident.start(incident.step(text="again"))
    eventually(lambda: workers(ProcessIdentity.of(again.pid, "test")), "the second run's first step")
    assert not incident.record.released
    incident.go("out")
    assert again.wait() == 0, again.communicate()
    assert incident.out.read_text() == "done\nagain\n"
    assert incident.record.epoch == 2


def test_a_frozen_run_is_taken_over_and_wakes_to_a_refusal(incident: Incident) -> None:
    incident.lease["ttl_seconds"] = 1.5
    run = incident.start(incident.wait_for("pause"), incident.step())
    incident.begun("pause")
    os.kill(run.pid, signal.SIGSTOP)
    given = {"incident": "INC-7", "lease": incident.lease, "holder": BOB}

    def left() -> float:
        return float(run_action("incident_lease", {**given, "state": "observed"})["expires_in_seconds"])

    eventually(lambda: left() == 0, "the end of the frozen run's lease")
    refused = run_action("incident_lease", given)
    assert refused["failed"], refused
    name = incident.record.holder
    taken = run_action("incident_lease", {**given, "takeover": f"take over INC-7 from {name}"})
    assert (taken["held"], taken["taken_over_from"]) == (True, name)
    incident.go("pause")
    os.kill(run.pid, signal.SIGCONT)
    assert "the fencing token 1 was superseded by 2, held by bob@elsewhere:7" in incident.ended(run)
    assert not incident.out.exists()
    assert not incident.record.released
