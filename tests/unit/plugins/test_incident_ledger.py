"""incident_ledger as a module and in process: the same cases, the same results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.both_ways import BothWays
from tests.unit.servers import S3Server

Result = dict[str, Any]
Call = Callable[..., Result]
KEYS = {
    "changed",
    "incident",
    "mode",
    "declared_at",
    "closed_at",
    "closing",
    "objectives",
    "count",
    "head",
    "event",
} | {
    "ledger_path",
    "diff",
}
OBJECTIVES = {"rto_seconds": 3600.0, "rpo_seconds": 900.0, "services": {}}


@pytest.fixture(params=["module", "action"])
def call(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], s3_server: S3Server, tmp_path: Path
) -> Call:
    """Calls the module with the shared options of one ledger."""
    way = BothWays(request.param, capsys)
    prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12] + "/"
    shared = {
        "incident": "INC-7",
        "mode": "drill",
        "directory": str(tmp_path / "ledgers"),
        "store": s3_server.store("ledgers", prefix=prefix),
        "actor": "alice@here",
        "token": 1,
    }

    def called(state: str, check: bool = False, **more: Any) -> Result:
        given = {name: value for name, value in {**shared, "state": state, **more}.items() if value is not None}
        result = way("incident_ledger", given, check)
        if not result.get("failed"):
            assert set(result) >= KEYS
        return result

    return called


def test_a_whole_incident(call: Call, tmp_path: Path) -> None:
    declared = call("declared", objectives=OBJECTIVES, data={"scenario": "region_failover"})
    assert declared["changed"]
    assert declared["count"] == 1
    assert declared["objectives"] == {"rto_seconds": 3600, "rpo_seconds": 900, "services": {}}
    assert declared["diff"] == {"before": {"events": 0}, "after": {"events": 1}}
    again = call("declared", objectives={"rto_seconds": 1})
    assert not again["changed"]
    assert again["declared_at"] == declared["declared_at"]
    assert again["objectives"] == declared["objectives"]
    appended = call("appended", phase="assess", step="approval", data={"by": "j.doe", "password": "x"})
    assert appended["changed"]
    assert appended["event"]["data"] == {"by": "j.doe", "password": "[redacted]", "redacted": ["password"]}
    assert appended["head"] == appended["event"]["hash"]
    present = call("present")
    assert not present["changed"]
    assert [event["step"] for event in present["events"]] == ["declare", "approval"]
    proof = call("verified", expect_head=appended["head"])
    assert (proof["outcome"], proof["valid"], proof["problems"], proof["first_bad_event"]) == ("passed", True, [], None)
    report = tmp_path / "report.json"
    report.write_text("{}")
    closed = call("closed", report=str(report))
    assert closed["changed"]
    assert closed["closing"] == {"report": str(report), "report_sha256": hashlib.sha256(b"{}").hexdigest()}
    assert (tmp_path / "ledger.jsonl").read_bytes() == Path(closed["ledger_path"]).read_bytes()
    assert not call("closed", report=str(report))["changed"]
    refused = call("declared")
    assert refused["failed"]
    assert refused["msg"] == (
        f"Incident INC-7 is already closed (at {closed['closed_at']}). "
        f"Declare a new one, or read its report at {report}."
    )


@pytest.mark.parametrize(
    ("state", "more", "before", "changed"),
    [
        ("declared", {}, False, True),
        ("declared", {}, True, False),
        ("declared", {"token": 2}, True, True),
        ("appended", {"phase": "assess", "step": "x"}, True, True),
        ("present", {}, True, False),
        ("verified", {}, True, False),
        ("published", {}, True, False),
        ("closed", {}, True, True),
    ],
)
def test_check_mode_predicts_and_writes_nothing(
    call: Call, tmp_path: Path, state: str, more: dict[str, Any], before: bool, changed: bool
) -> None:
    if before:
        call("declared")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    predicted = call(state, check=True, **more)
    assert predicted["changed"] is changed
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    real = call(state, **more)
    assert real["changed"] is changed
    assert set(real) == set(predicted)
    assert real["diff"] == predicted["diff"]


def test_check_mode_catches_nothing_up(call: Call, tmp_path: Path) -> None:
    call("declared")
    elsewhere = str(tmp_path / "elsewhere")
    assert call("present", check=True, directory=elsewhere)["count"] == 1
    assert call("declared", check=True, directory=elsewhere)["changed"] is False
    assert not Path(elsewhere).exists()


@pytest.mark.parametrize(
    ("state", "more", "message"),
    [
        ("appended", {}, "phase, step"),
        ("appended", {"phase": "assess", "step": "x"}, "it is not declared in"),
        ("closed", {}, "it is not declared in"),
        ("declared", {"incident": "../x"}, "an identifier is"),
        ("declared", {"mode": "war"}, "mode"),
        ("published", {"store": None}, "no store is named"),
        ("declared", {"store": {"name": "w", "bucket": "nonesuch"}}, "nonesuch"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(
    call: Call, s3_server: S3Server, tmp_path: Path, state: str, more: dict[str, Any], message: str
) -> None:
    if more.get("store"):
        more = {"store": {**s3_server.store("ledgers"), **more["store"]}}
    try:
        result = call(state, **more)
        assert result["failed"]
        assert message in result["msg"]
    except Exception as error:  # the options' own validation, as an action raises it
        assert message in str(error)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {".lock"}


def test_a_changed_byte_is_named(call: Call) -> None:
    call("declared")
    for number in range(3):
        path = Path(call("appended", phase="assess", step=f"step-{number}")["ledger_path"])
    path.write_bytes(path.read_bytes().replace(b"step-1", b"step-X"))
    found = call("verified")
    assert (found["outcome"], found["valid"]) == ("failed", False)
    assert found["first_bad_event"]["seq"] == 3
    assert found["problems"][0] == "event 3 (local): does not match its hash: its content was changed"
    json.dumps(found)
