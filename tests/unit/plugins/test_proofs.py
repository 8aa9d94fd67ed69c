"""A proof passes only where every step ran and passed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.terragon.disaster_recovery.plugins.filter.catalogue import FilterModule

proof = FilterModule().filters()["recovery_proof"]
PASSED = {"outcome": "passed", "problems": [], "seconds": 2.0, "bytes": 9}
LADDER = {
    "outcome": "failed",
    "seconds": 3.0,
    "rungs": [
        {"rung": "structure", "outcome": "passed", "reasons": [], "seconds": 1.0},
        {"rung": "completeness", "outcome": "failed", "reasons": ["role clerk is missing"], "seconds": 2.0},
    ],
}


def steps(*results: Any) -> list[dict[str, Any]]:
    return [{"rung": f"rung-{number}", "result": one, "restores": number == 0} for number, one in enumerate(results)]


@pytest.mark.parametrize(
    ("results", "outcome", "reasons"),
    [
        ([PASSED], "passed", []),
        ([PASSED, PASSED], "passed", []),
        ([PASSED, LADDER], "failed", ["role clerk is missing"]),
        ([PASSED, {}], "unverified", ["it did not run"]),
        ([PASSED, {"skipped": True, "changed": False}], "unverified", ["it did not run"]),
        ([PASSED, {"failed": True, "msg": "no such host"}], "unverified", ["no such host"]),
        ([PASSED, {**PASSED, "failed": True, "msg": "killed"}], "unverified", ["killed"]),
        ([PASSED, {"failed": True, "outcome": "failed", "msg": "bad sum"}], "failed", ["bad sum"]),
        (
            [{**PASSED, "damaged": [{"store": "west", "path": "files/a", "why": "another hash"}]}],
            "failed",
            ["store west; path files/a; why another hash"],
        ),
        ([{**PASSED, "outcome": "fine"}], "unverified", ["it did not run"]),
        (
            [{"outcome": "failed", "differences": [{"kind": "changed", "path": "a"}]}],
            "failed",
            ["kind changed; path a"],
        ),
        ([{"rungs": [{"rung": "odd", "outcome": "ok", "reasons": ["odd"]}]}], "unverified", ["odd"]),
        ([{**LADDER, "rungs": LADDER["rungs"][:1], "failed": True, "msg": "cut off"}], "unverified", ["cut off"]),
    ],
)
def test_the_outcome_is_that_of_the_worst_step(results: list[Any], outcome: str, reasons: list[str]) -> None:
    found = proof(steps(*results))
    assert found["outcome"] == outcome
    assert [reason for rung in found["rungs"] for reason in rung["reasons"]] == reasons


def test_the_time_to_restore_is_that_of_the_steps_that_restore() -> None:
    found = proof(
        [*steps(PASSED), {"rung": "more", "result": {**PASSED, "seconds": 5.5}, "restores": True}, *steps(LADDER)[1:]]
    )
    assert found["restore_seconds"] == 7.5
    assert proof(steps(PASSED, LADDER))["restore_seconds"] == 2.0


def test_a_restore_that_did_not_pass_has_no_time() -> None:
    assert proof(steps({"failed": True, "seconds": 4.0, "msg": "cut"}))["restore_seconds"] is None
    assert proof([{"rung": "present", "result": PASSED}])["restore_seconds"] is None


def test_rungs_of_a_ladder_stand_in_their_order() -> None:
    assert [one["rung"] for one in proof(steps(PASSED, LADDER))["rungs"]] == ["rung-0", "structure", "completeness"]


def test_a_proof_of_nothing_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="A proof of nothing is none"):
        proof([])
