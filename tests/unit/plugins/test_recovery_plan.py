"""What an approval binds to, what voids it, and what does not: on the results of two real looks at a healthy lab."""

from __future__ import annotations

import copy
import json
import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.filter.plan import FilterModule
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger import Ledger

from tests.unit.plugins.both_ways import BothWays

FILTERS = FilterModule().filters()
FIRST, SECOND = json.loads((Path(__file__).parent / "data/two_assessments.json").read_text(encoding="utf-8"))
Change = t.Callable[[dict[str, t.Any]], None]


@pytest.fixture(params=["module", "action"])
def call(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


def options(findings: dict[str, t.Any] = FIRST, **given: t.Any) -> dict[str, t.Any]:
    return {
        "incident": "INC-7",
        "kind": "failover",
        "regions": {"source": findings["source"], "target": findings["target"]},
        "steps": FILTERS["plan_steps"](findings),
        "observed": FILTERS["plan_observed"](findings),
        **given,
    }


def token(call: BothWays, **given: t.Any) -> str:
    return str(call("recovery_plan", options(**given))["plan_hash"])


def changed(change: Change) -> dict[str, t.Any]:
    findings = copy.deepcopy(FIRST)
    change(findings)
    return findings


def lease_epoch(found: dict[str, t.Any]) -> None:
    found["leases"]["results"][0]["diff"]["before"]["epoch"] = 2


def lease_claimed(found: dict[str, t.Any]) -> None:
    """The target has taken the lease: what a failover does first."""
    for one in found["leases"]["results"]:
        one["diff"]["before"] = {"holder": "us-west-2", "epoch": one["diff"]["before"]["epoch"] + 1}


def lease_holder(found: dict[str, t.Any]) -> None:
    found["leases"]["results"][0]["diff"]["before"]["holder"] = "eu-west-1"


def no_receipt(found: dict[str, t.Any]) -> None:
    found["leases"]["results"][0]["remaining_seconds"] = None


def rebuilt_standby(found: dict[str, t.Any]) -> None:
    found["databases"]["results"][0]["servers"][0]["system_identifier"] = "7711368078241797773"


def another_timeline(found: dict[str, t.Any]) -> None:
    found["databases"]["results"][0]["servers"][0]["timeline"] = 2


def unbounded_loss(found: dict[str, t.Any]) -> None:
    found["databases"]["results"][0]["loss_bound"]["seconds"] = None


def fewer_replicas(found: dict[str, t.Any]) -> None:
    found["workloads"]["workloads"][0]["before"]["replicas"] = 0


def another_image(found: dict[str, t.Any]) -> None:
    images = found["workloads"]["workloads"][1]["before"]["images"]
    images["analytics"] = images["analytics"].replace("341e", "341f")


def no_room(found: dict[str, t.Any]) -> None:
    text = "capacity for 2 of 2 new pods (each cpu 0.1) on 3 usable nodes"
    found["workloads"]["workloads"][0]["missing"] = [text]


def no_secret(found: dict[str, t.Any]) -> None:
    found["workloads"]["workloads"][1]["missing"] = ["secret analytics/analytics-database"]


def record_value(found: dict[str, t.Any]) -> None:
    found["records"]["records"][0]["before"]["values"] = ["127.9.9.9"]


def record_ttl(found: dict[str, t.Any]) -> None:
    found["records"]["records"][1]["before"]["ttl"] = 300


def objective(found: dict[str, t.Any]) -> None:
    found["objectives"]["rpo_seconds"] = 60.0


def control(found: dict[str, t.Any]) -> None:
    found["records"]["controls"] = [{"name": "east", "before": "On", "state": "Off"}]


def switch(found: dict[str, t.Any]) -> None:
    found["records"]["switches"] = [{"key": "api", "before": "SECONDARY", "position": "SECONDARY"}]


DRIFTS: list[tuple[Change, list[str], str]] = [
    (lease_epoch, ["leases"], "leases: main epoch 1 -> 2"),
    (lease_holder, ["steps", "leases"], "leases: main holder us-east-1 -> eu-west-1"),
    (no_receipt, ["leases"], "leases: main receipt yes -> no"),
    (rebuilt_standby, ["standbys"], "main system_identifier 7711368078241797772 -> 7711368078241797773"),
    (another_timeline, ["standbys"], "standbys: main timeline 1 -> 2"),
    (unbounded_loss, ["standbys"], "standbys: main loss_is_bounded yes -> no"),
    (fewer_replicas, ["steps", "workloads"], "counterfactual-lab/counterfactual-lab replicas 1 -> 0"),
    (another_image, ["workloads"], "Deployment analytics/analytics images"),
    (no_room, ["workloads"], "counterfactual-lab/counterfactual-lab capacity enough -> too little"),
    (no_secret, ["workloads"], "analytics/analytics missing nothing -> secret analytics/analytics-database"),
    (record_value, ["steps", "records"], "api.counterfactual-lab.test. A values 127.76.1.10 -> 127.9.9.9"),
    (record_ttl, ["records"], "analytics.counterfactual-lab.test. A ttl 5 -> 300"),
    (objective, ["objectives"], "objectives: rpo_seconds 900 -> 60"),
    (control, ["steps", "routing_controls"], "routing_controls: routing control east state absent -> On"),
    (switch, ["steps", "routing_controls"], "routing_controls: switch api state absent -> SECONDARY"),
]


def test_two_looks_at_the_same_state_are_one_plan(call: BothWays) -> None:
    """Although the standby has replayed on, and the lease was renewed."""
    assert FIRST["databases"] != SECOND["databases"]
    assert FIRST["leases"] != SECOND["leases"]
    approved = token(call)
    assert re.fullmatch(r"INC-7:[0-9a-f]{12}(\.[0-9a-f]{12}){7}", approved)
    result = call("recovery_plan", options(SECOND, approval=approved, required=True))
    assert (result["plan_hash"], result["approved"], result["drifted"]) == (approved, True, [])
    assert FILTERS["plan_hash"](FIRST, "INC-7") == approved


@pytest.mark.parametrize(("change", "sections", "words"), DRIFTS)
def test_drift_voids_the_approval_and_is_named(
    call: BothWays, tmp_path: Path, change: Change, sections: list[str], words: str
) -> None:
    """Where the ledger has the approved plan, its values are in the message; where it does not, the section is."""
    now = changed(change)
    approved = token(call)
    refused = call("recovery_plan", options(now, approval=approved))
    assert refused["failed"]
    assert refused["drifted"] == sections
    assert sections[-1] in refused["msg"]
    assert "in the output of the --check that was approved" in refused["msg"]
    assert refused["msg"].endswith(f"-e dr_approval={refused['plan_hash']}")

    record = recorded(tmp_path, call("recovery_plan", options())["evidence"])
    told = call("recovery_plan", options(now, approval=approved, record=record), check=True)
    assert told["failed"]
    assert words in told["msg"]
    assert told["diff"]["before"] != told["diff"]["after"]


def recorded(
    directory: Path, *evidence: dict[str, t.Any], then: tuple[str, str, str] | None = None
) -> dict[str, t.Any]:
    """A ledger with these results of recovery_plan in it and one more event: the option to read it with."""
    record = {"incident": "INC-7", "mode": "incident", "phase": "assess", "directory": str(directory)}
    ledger = Ledger.from_record(record)
    ledger.declare({})
    for one in evidence:
        ledger.append("assess", "recovery_plan", "verified", {"evidence": one})
    if then:
        ledger.append(*then, {})
    return record


def test_a_missing_approval_is_asked_for_with_its_exact_text(call: BothWays) -> None:
    result = call("recovery_plan", options(required=True))
    assert result["failed"]
    assert not result["approved"]
    assert f"-e dr_approval={result['plan_hash']}" in result["msg"]
    assert "failover us-east-1 to us-west-2 of incident INC-7" in result["msg"]


def test_check_mode_shows_the_hash_and_does_not_ask_for_it(call: BothWays) -> None:
    preview = call("recovery_plan", options(required=True), check=True)
    assert not preview.get("failed")
    refused = call("recovery_plan", options(required=True))
    assert preview["plan_hash"] == refused["plan_hash"]
    assert set(preview) | {"failed", "msg"} == set(refused)
    assert not call("recovery_plan", options()).get("failed")


@pytest.mark.parametrize("check", [False, True])
def test_an_approval_of_another_incident_is_refused(call: BothWays, check: bool) -> None:
    """Nothing but the incident differs."""
    approved = token(call, incident="INC-6")
    result = call("recovery_plan", options(approval=approved), check=check)
    assert result["failed"]
    assert "it was given for incident INC-6" in result["msg"]


@pytest.mark.parametrize("given", ["yes", "INC-7", "INC-7:0123", "INC-7:0123456789ab,0123456789ab"])
def test_what_is_no_hash_is_refused(call: BothWays, given: str) -> None:
    result = call("recovery_plan", options(approval=given))
    assert result["failed"]
    assert "is not the hash of a plan" in result["msg"]


@pytest.mark.parametrize(
    "other",
    [{"kind": "failback"}, {"regions": {"source": "us-west-2", "target": "us-east-1"}}],
    ids=["kind", "regions"],
)
def test_an_approval_of_one_thing_is_none_of_another(call: BothWays, other: dict[str, t.Any]) -> None:
    result = call("recovery_plan", options(approval=token(call), **other))
    assert result["failed"]
    assert result["drifted"] == ["steps"]


def test_a_plan_of_other_sections_is_refused(call: BothWays) -> None:
    observed = FILTERS["plan_observed"](FIRST)
    del observed["routing_controls"]
    result = call("recovery_plan", options(approval=token(call), observed=observed))
    assert (result["failed"], result["drifted"]) == (True, ["sections"])


def test_a_plan_without_steps_is_refused(call: BothWays) -> None:
    assert "it has no step" in call("recovery_plan", options(steps=[]))["msg"]


@pytest.mark.parametrize("given", [True, False], ids=["same command", "approval left out"])
def test_what_the_approved_run_did_itself_is_no_drift(call: BothWays, tmp_path: Path, given: bool) -> None:
    """Killed after it claimed the lease, and run again: the epoch is another, by its own doing."""
    approved = token(call)
    evidence = call("recovery_plan", options(approval=approved))["evidence"]
    record = recorded(tmp_path, evidence, then=("isolate", "pg_fence", "intent"))
    again = options(changed(lease_claimed), approval=approved if given else "", required=True, record=record)
    result = call("recovery_plan", again, check=True)
    assert (result.get("failed"), result["approved"], result["resumed"]) == (None, True, True)
    assert result["evidence"]["approval"] == approved


@pytest.mark.parametrize("given", [True, False], ids=["same command", "approval left out"])
def test_what_somebody_undid_since_is_not_done_again_under_the_same_approval(
    call: BothWays, tmp_path: Path, given: bool
) -> None:
    """Killed after its claim, and the services moved home by another incident: the lease is the source's again."""
    approved = token(call)
    evidence = call("recovery_plan", options(approval=approved))["evidence"]
    record = recorded(tmp_path, evidence, then=("isolate", "pg_fence", "intent"))
    again = options(changed(lease_epoch), approval=approved if given else "", required=True, record=record)
    result = call("recovery_plan", again)
    assert (result.get("failed"), result["approved"], result["resumed"]) == (True, False, False)


@pytest.mark.parametrize(
    ("accepted", "then"),
    [
        (True, None),
        (True, ("assess", "health_probe", "verified")),
        (True, ("isolate", "pg_fence", "failed")),
        (False, ("isolate", "pg_fence", "intent")),
    ],
    ids=["no effect yet", "only looked", "refused", "never accepted"],
)
def test_drift_before_the_first_effect_is_drift(
    call: BothWays, tmp_path: Path, accepted: bool, then: tuple[str, str, str] | None
) -> None:
    approved = token(call)
    evidence = call("recovery_plan", options(approval=approved if accepted else ""))["evidence"]
    record = recorded(tmp_path, evidence, then=then)
    result = call("recovery_plan", options(changed(lease_epoch), approval=approved, record=record), check=True)
    assert (result.get("failed"), result["drifted"]) == (True, ["leases"])


def test_another_plan_that_is_under_way_does_not_lend_its_approval(call: BothWays, tmp_path: Path) -> None:
    """An old approval, a new one accepted and carried out: the old one stays void."""
    old = token(call)
    now = changed(lease_epoch)
    new = str(call("recovery_plan", options(now))["plan_hash"])
    accepted = [
        call("recovery_plan", options(state, approval=given))["evidence"] for state, given in ((FIRST, old), (now, new))
    ]
    record = recorded(tmp_path, *accepted, then=("isolate", "pg_fence", "intent"))
    later = changed(lambda found: (lease_epoch(found), record_ttl(found))[0])
    assert call("recovery_plan", options(later, approval=old, record=record), check=True)["failed"]
    assert call("recovery_plan", options(later, approval=new, record=record), check=True)["resumed"]


def test_steps_say_what_will_be_done_to_what() -> None:
    assert [(one["name"], one["object"], one["from"], one["to"]) for one in FILTERS["plan_steps"](FIRST)] == [
        ("fence", "cluster main", "us-east-1", "us-west-2"),
        ("promote", "cluster main", "us-east-1", "us-west-2"),
        ("scale", "Deployment counterfactual-lab/counterfactual-lab", "1", "3"),
        ("scale", "Deployment analytics/analytics", "0", "1"),
        ("prove", "service analytics", "", "us-west-2"),
        ("prove", "service counterfactual-lab", "", "us-west-2"),
        ("shift", "api.counterfactual-lab.test. A", "127.76.1.10", "127.76.2.10"),
        ("shift", "analytics.counterfactual-lab.test. A", "127.76.1.11", "127.76.2.11"),
    ]


def test_a_name_that_no_record_change_moves_is_no_record_of_the_plan() -> None:
    """What answers for it is the health of its routing control: that is what the plan rests on."""
    findings = copy.deepcopy(FIRST)
    name = {"name": "web.example.com.", "type": "A", "values": ["127.0.0.2"], "before": {"values": ["127.0.0.1"]}}
    findings["records"]["records"].append({**name, "method": "routing_controls"})
    findings["records"]["controls"] = [{"name": "east", "before": "On", "state": "Off"}]
    shifts = [one for one in FILTERS["plan_steps"](findings) if one["name"] == "shift"]
    assert [one["object"] for one in shifts][-1] == "routing control east"
    assert not any("web" in one["object"] for one in shifts)
    assert not any("web" in one["name"] for one in FILTERS["plan_observed"](findings)["records"])
