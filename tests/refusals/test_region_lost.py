"""A region that is lost, and no receipt to be had: nothing is promoted until somebody types that they accept it.

These tests follow one another: what the first looks at, the second and the third bring about. They come last.
"""

from __future__ import annotations

import json
import os
import re
import signal
from typing import Any

from .conftest import LEASE, Lab, typed

INCIDENT = "lost"


def events(lab: Lab) -> list[dict[str, Any]]:
    path = lab.directory / f"ledgers/{INCIDENT}-{lab.state['id']}/ledger.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_preview_changes_nothing_and_says_what_a_run_would_do(lab: Lab) -> None:
    """Nor does it leave a trace: no ledger, no lease of the incident."""
    lab.command("break", "region", "us-east-1")
    before = lab.fingerprint("us-west-2"), lab.written(), sorted(lab.directory.glob("ledgers/*"))
    run = lab.start("preview", "--check", "--diff")
    said = lab.finish(run)
    assert run.returncode == 0, said
    assert (lab.fingerprint("us-west-2"), lab.written(), sorted(lab.directory.glob("ledgers/*"))) == before
    plan = said[said.index("Plan of preview-") : said.index("Predicted:")]
    [wait] = re.findall(r"wait up to ([\d.]+) s", plan)
    assert 0 <= float(wait) <= 7
    assert "counterfactual-lab/counterfactual-lab: 1 -> 3 replicas" in plan
    assert "analytics/analytics: 0 -> 1 replicas" in plan
    for name, kind, ttl, *values in lab.records():
        if kind == "A":
            [value] = values
            service = "counterfactual-lab" if name.startswith("api.") else "analytics"
            target = lab.state["regions"]["us-west-2"]["endpoints"][service]["address"]
            assert f"{name} A {value} -> {target} (TTL {ttl} s)" in plan
    assert re.search(r"RTO \d+ s from now .* loss of at most [\d.]+ s of writes", said), said


def test_no_receipt_stops_the_run_before_anything_is_promoted(lab: Lab) -> None:
    """A cluster whose lease nobody ever held: it is not known that anything fences the lost region."""
    for store in lab.state["lease_stores"]:
        if store["name"] != "store-us-east-1":  # the lost region's own
            lab.client("s3", store).delete_object(Bucket=store["bucket"], Key=LEASE)
    records = lab.records()
    given: dict[str, Any] = {"dr_mode": "incident", "dr_failed_region": "us-east-1"}
    confirmed = typed(lab.refused(INCIDENT, **given), "dr_confirmation")
    said = lab.refused(INCIDENT, *confirmed, **given)
    assert "No receipt that us-east-1 cannot write to cluster main" in said
    assert "us-east-1 is not known to be guarded" in said
    asked = typed(said, "dr_acceptance")
    assert asked == ["-e", 'dr_acceptance="promote us-west-2 without a fence receipt, losing an unknown amount"']
    other = asked[1].replace("an unknown amount", "up to 900 s")
    assert typed(lab.refused(INCIDENT, *confirmed, "-e", other, **given), "dr_acceptance") == asked
    assert lab.is_standby
    assert lab.records() == records


def test_typing_the_acceptance_lets_it_go_on_even_when_it_is_killed_on_the_way(lab: Lab) -> None:
    """Killed once the database is promoted; the same command goes on, and repeats nothing."""
    arguments = [
        *("-e", 'dr_confirmation="fail over us-east-1 to us-west-2"'),
        *("-e", 'dr_acceptance="promote us-west-2 without a fence receipt, losing an unknown amount"'),
    ]
    given: dict[str, Any] = {"dr_mode": "incident", "dr_failed_region": "us-east-1"}
    run = lab.start(INCIDENT, *arguments, **given)
    assert run.stdout is not None
    for line in run.stdout:
        if "Wait for the target's workloads" in line:
            os.killpg(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert not lab.is_standby
    epoch = lab.lease()["epoch"]
    declared = events(lab)[0]

    again = lab.start(INCIDENT, *arguments, **given)
    said = lab.finish(again)
    assert again.returncode == 0, said
    assert events(lab)[0] == declared
    promoted = [one for one in events(lab) if one["step"] == "pg_promote" and one["data"].get("changed")]
    assert len(promoted) == 1, promoted
    assert promoted[0]["data"]["evidence"]["acceptance"] == (
        "promote us-west-2 without a fence receipt, losing an unknown amount"
    )
    assert (lab.lease()["holder"], lab.lease()["epoch"]) == ("us-west-2", epoch)
    targets = {one["address"] for one in lab.state["regions"]["us-west-2"]["endpoints"].values()}
    assert {value for _name, kind, _ttl, *values in lab.records() if kind == "A" for value in values} == targets
    assert {name: wanted for name, (wanted, _) in lab.replicas("us-west-2").items()} == {
        "counterfactual-lab": 3,
        "analytics": 1,
    }
