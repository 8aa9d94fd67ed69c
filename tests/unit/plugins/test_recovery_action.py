"""The base of the actions under a real ansible-playbook: in process and as a module, one result and one record.

The playbook runs the small collection of line_collection.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.line_collection import build, play
from tests.unit.servers import eventually

#: what makes a task run in the one way and in the other
WAYS = {"in process": {}, "module": {"dr_in_process": False}}


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("collections"))


def results(directory: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((directory / "results.json").read_text())
    return found


def record(directory: Path, **more: Any) -> dict[str, Any]:
    return {"incident": "INC-7", "mode": "drill", "phase": "recover", "directory": str(directory / "ledgers"), **more}


def declare(directory: Path) -> dict[str, Any]:
    given = {"incident": "INC-7", "mode": "drill", "directory": str(directory / "ledgers"), "state": "declared"}
    return {"name": "Declare", "terragon.disaster_recovery.incident_ledger": given}


def events(directory: Path) -> list[dict[str, Any]]:
    path = directory / "ledgers/INC-7/ledger.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def lines(directory: Path, **more: Any) -> list[dict[str, Any]]:
    """One task for every way that a step can come out."""
    base = {"path": str(directory / "out"), "record": record(directory), **more}
    name = "test.example.line"
    return [
        declare(directory),
        {"name": "Well", name: {**base, "text": "hello", "nested": {"other": "x"}}},
        {"name": "Refused", name: {**base, "how": "refuse"}},
        {"name": "Unobserved", name: {**base, "how": "unobserved", "number": 2}},
        {"name": "A check that failed", name: {**base, "how": "check_failed"}},
        {"name": "A check that could not run", name: {**base, "how": "unverified"}},
        {"name": "Skipped", name: {**base, "how": "skip"}},
        {"name": "In a loop", name: {**base, "text": "{{ item.name }}"}, "loop": [{"name": "a"}, {"name": "b"}]},
        {"name": "Bad option", name: {**base, "how": "sideways"}},
        {"name": "Exclusive options", name: {**base, "text": "x", "number": 1}},
    ]


def told(directory: Path) -> list[tuple[Any, ...]]:
    """What the record says, without what differs from run to run."""
    return [
        (event["phase"], event["step"], event["state"], event["data"]["task"], event["data"].get("item"))
        for event in events(directory)[1:]
    ]


def stripped(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what Ansible itself adds on one way only, and without what depends on the ledger's own clock."""
    dropped = (
        "in_process",
        "invocation",
        "exception",
        "ansible_facts",
        "event",
        "head",
        "declared_at",
        "ledger_path",
        "module_stdout",
    )
    found = {key: value for key, value in result.items() if key not in dropped and not key.startswith("_ansible")}
    if "results" in found:
        found["results"] = [stripped(one) for one in found["results"]]
    return found


@pytest.fixture(scope="module")
def both(collections: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same tasks run both ways, each in a directory of its own."""
    directories = {}
    for way, variables in WAYS.items():
        directory = tmp_path_factory.mktemp("run")
        play(collections, directory, lines(directory), **variables)
        directories[way] = directory
    return directories


def test_the_results_are_the_same(both: dict[str, Path]) -> None:
    one, other = (json.loads(json.dumps(results(path)).replace(str(path), "HERE")) for path in both.values())
    for here, there in zip(one, other, strict=True):
        assert here.get("in_process", True) and not there.get("in_process", False)
        assert stripped(here) == stripped(there)


def test_the_record_is_the_same(both: dict[str, Path]) -> None:
    one, other = (told(path) for path in both.values())
    assert one == other
    assert [(state, task, item) for _phase, _step, state, task, item in one] == [
        ("intent", "Well", None),
        ("verified", "Well", None),
        ("intent", "Refused", None),
        ("failed", "Refused", None),
        ("intent", "Unobserved", None),
        ("effect", "Unobserved", None),
        ("intent", "A check that failed", None),
        ("failed", "A check that failed", None),
        ("intent", "A check that could not run", None),
        ("failed", "A check that could not run", None),
        ("intent", "Skipped", None),
        ("skipped", "Skipped", None),
        ("intent", "In a loop", "a"),
        ("verified", "In a loop", "a"),
        ("intent", "In a loop", "b"),
        ("verified", "In a loop", "b"),
    ]
    assert {(phase, step) for phase, step, *_rest in one} == {("recover", "line")}


def test_what_an_event_tells(both: dict[str, Path]) -> None:
    for path in both.values():
        intent, verified, _intent, failed = (event["data"] for event in events(path)[1:5])
        assert intent["arguments"] == {"path": str(path / "out"), "text": "hello", "nested": {"other": "x"}}
        assert intent["host"] == "localhost"
        assert verified["evidence"] == {"text": "hello", "tuple": [1, 2], "3": "three"}
        assert verified["seconds"] >= 0
        assert failed["error"] == "Failed to write the line: refused. Ask nicely."


def test_secrets_in_options_do_not_reach_the_record(collections: Path, tmp_path: Path) -> None:
    task = {"name": "Secret", "test.example.line": {"path": str(tmp_path / "out"), "password": "hunter2"}}
    task["test.example.line"]["record"] = record(tmp_path)
    play(collections, tmp_path, [declare(tmp_path), task])
    assert "hunter2" not in (tmp_path / "ledgers/INC-7/ledger.jsonl").read_text()
    assert events(tmp_path)[1]["data"]["redacted"] == ["arguments.password"]


@pytest.mark.parametrize("way", WAYS)
def test_check_mode_writes_nothing(collections: Path, tmp_path: Path, way: str) -> None:
    play(collections, tmp_path, lines(tmp_path)[:3], "--check", **WAYS[way])
    declared, well, refused = results(tmp_path)
    assert declared["changed"] and well["changed"]
    assert refused["failed"]
    assert not (tmp_path / "ledgers").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("way", WAYS)
def test_no_record_no_effect(collections: Path, tmp_path: Path, way: str) -> None:
    """The ledger refuses the intent (nobody declared the incident): the step does not happen."""
    play(collections, tmp_path, lines(tmp_path)[1:2], **WAYS[way])
    (refused,) = results(tmp_path)
    assert refused["failed"]
    assert not refused["changed"]
    assert "Declare it first" in refused["msg"]
    assert not (tmp_path / "out").exists()


def test_an_effect_that_could_not_be_recorded_is_still_told(collections: Path, tmp_path: Path) -> None:
    """The service itself takes the ledger's directory away between intent and outcome."""
    out = tmp_path / "ledgers/INC-7/ledger.jsonl"
    task = {"name": "Saw", "test.example.line": {"path": str(out), "text": "not an event", "record": record(tmp_path)}}
    play(collections, tmp_path, [declare(tmp_path), task])
    result = results(tmp_path)[1]
    assert result["failed"]
    assert result["changed"]
    assert result["evidence"]["text"] == "not an event"
    assert "Failed to read the ledger" in result["msg"]


def test_a_bug_is_recorded(collections: Path, tmp_path: Path) -> None:
    for way, variables in WAYS.items():
        directory = tmp_path / way
        task = {"name": "Bug", "test.example.line": {"path": "x", "how": "crash", "record": record(directory)}}
        play(collections, directory, [declare(directory), task], **variables)
        assert results(directory)[1]["failed"]
        assert [event["state"] for event in events(directory)[1:]] == ["intent", "failed"]


def test_async_is_ordered_not_observed(collections: Path, tmp_path: Path) -> None:
    base = {"path": str(tmp_path / "out"), "text": "later", "record": record(tmp_path)}
    task = {"name": "Later", "test.example.line": base, "async": 60, "poll": 0}
    play(collections, tmp_path, [declare(tmp_path), task])
    started = results(tmp_path)[1]
    assert started["ansible_job_id"]
    assert [event["state"] for event in events(tmp_path)[1:]] == ["intent", "effect"]
    assert events(tmp_path)[2]["data"]["job"] == started["ansible_job_id"]
    eventually((tmp_path / "out").exists, "the job's effect")


WHERE: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True),
    ({}, {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}, True),
    ({}, {"ansible_python_interpreter": "auto_silent"}, True),
    ({}, {"ansible_python_interpreter": "/usr/bin/python3"}, False),
    ({}, {"dr_in_process": False}, False),
    ({"environment": {"X": "1"}}, {}, False),
    ({"delegate_to": "localhost"}, {}, True),
]


def test_where_it_runs(collections: Path, tmp_path: Path) -> None:
    """Only where the module would run in the same place, with the same interpreter, it runs in process."""
    tasks = [
        {"name": "Where", "vars": variables, "test.example.line": {"path": str(tmp_path / "out"), "text": "x"}, **keys}
        for keys, variables, _expected in WHERE
    ]
    play(collections, tmp_path, tasks)
    assert [result["in_process"] for result in results(tmp_path)] == [expected for _keys, _variables, expected in WHERE]
