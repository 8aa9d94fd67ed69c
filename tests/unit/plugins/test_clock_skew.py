"""Commands run on a machine whose clock is minutes off, with libfaketime, against a real store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import utc_now
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock_skew import is_off, skew_evidence
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger import Ledger
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import ObjectStore

from lab.conditions import installed_library
from tests.unit.servers import S3Server

ROOT = Path(__file__).resolve().parents[3]
TTL, ALLOWANCE = 30.0, 1.0
PREAMBLE = """
import json, sys
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import to_iso, utc_now
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger import Ledger
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import ObjectStore
given = json.load(sys.stdin)
"""
DECLARE = """
ledger = Ledger("INC-8", "drill", given["directory"], ObjectStore(given["store"]), actor="alice@here", token=1)
ledger.declare({"why": "a test"})
ledger.append("assess", "look", "verified")
print(json.dumps({"now": to_iso(utc_now())}))
"""
CLAIM = """
lease = Lease("clock.json", [ObjectStore(given["store"])])
lease.claim(lease.read(), given["holder"], given["ttl"], allowance=given["allowance"], claimed_by="test")
view = lease.read()
previous = view.record.previous
print(json.dumps({"remaining": lease.remaining(previous, view) if previous else None}))
"""
REFUSED = """
try:
    ObjectStore(given["store"]).put("a", b"b")
except RecoveryError as error:
    print(json.dumps({"error": str(error)}))
"""
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def store(s3_server: S3Server, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A store with the right time, under a prefix of the test's own."""
    return s3_server.store("clocks", name="ledger", prefix=f"{abs(hash(request.node.nodeid))}/")


@pytest.fixture
def run(store: dict[str, Any], tmp_path: Path) -> Run:
    """Run a piece of a run where the time of day is off by so many seconds; what it printed."""

    def go(skew: int, source: str, **given: Any) -> dict[str, Any]:
        faked = {"LD_PRELOAD": str(installed_library()), "FAKETIME": f"{skew:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        done = subprocess.run(
            [sys.executable, "-c", PREAMBLE + source],
            input=json.dumps({"store": store, "directory": str(tmp_path), **given}),
            env={**os.environ, **faked, "PYTHONPATH": str(ROOT / "collections")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return go


@pytest.mark.parametrize("skew", [300, -300])
def test_the_ledger_says_how_far_its_clock_was_off(run: Run, store: dict[str, Any], tmp_path: Path, skew: int) -> None:
    run(skew, DECLARE)
    ledger = Ledger("INC-8", "drill", tmp_path, ObjectStore(store), actor="alice@here", token=1)
    declared = ledger.read()[0]
    clock = declared.data["evidence"]["controller_clock"]
    assert clock["store"] == "ledger"
    assert abs(clock["skew_seconds"] - skew) < 2
    assert is_off(clock)
    assert ledger.verify().valid
    assert [event.step for event in ledger.read()] == ["declare", "look"]


def test_a_clock_that_is_right_is_said_to_be(store: dict[str, Any], tmp_path: Path) -> None:
    declared = Ledger("INC-8", "drill", tmp_path, ObjectStore(store)).declare({"evidence": {"other": 1}})
    assert declared is not None
    assert declared.data["evidence"]["other"] == 1
    assert not is_off(declared.data["evidence"]["controller_clock"])


def test_a_store_that_was_not_asked_tells_nothing(store: dict[str, Any]) -> None:
    assert skew_evidence(ObjectStore(store)) == {}


@pytest.mark.parametrize("skew", [300, -300])
def test_a_lease_is_waited_for_by_the_witness_and_not_by_the_clock(run: Run, skew: int) -> None:
    given = {"ttl": TTL, "allowance": ALLOWANCE}
    run(0, CLAIM, holder="east", **given)
    before = utc_now()
    found = run(skew, CLAIM, holder="west", **given)
    passed = (utc_now() - before).total_seconds()
    # Never shorter than the holder's time, less what has passed; longer by a rounded second at most.
    assert TTL + ALLOWANCE - passed - 2 <= found["remaining"] <= TTL + ALLOWANCE + 2


def test_a_clock_that_the_store_refuses_is_named(run: Run) -> None:
    error = run(3600, REFUSED)["error"]
    assert "Failed to write a in store ledger" in error
    assert "clock is too far off for signed requests. Set it right" in error
