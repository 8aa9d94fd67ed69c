"""A way back says at least what it loses: where the source is dead or was never promoted, or the run was killed."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import to_iso, utc_now

from tests.unit.plugins.role_play import DECLARE, RECORD, RolePlay, include, source
from tests.unit.servers import S3Server

TOOK_OVER = utc_now() - dt.timedelta(hours=1)
ACCEPTANCE = f"go back to east, losing all that west has written since {to_iso(TOOK_OVER)}"
EACH = {"loop": "{{ dr_clusters | dict2items }}", "loop_control": {"label": "{{ item.key }}"}}
OWN = "terragon.disaster_recovery"

PREPARE = [source("west"), DECLARE]
OBSERVE: list[dict[str, Any]] = [
    {
        f"{OWN}.pg_fence": {"state": "observed", "lease": "{{ item.value.lease }}"},
        "register": "__rollback_assess_leases",
        **EACH,
    },
    {
        f"{OWN}.incident_ledger": RECORD,
        "register": "__rollback_assess_ledger",
    },
    {
        f"{OWN}.pg_promotion_info": {
            "region": "west",
            "postgres": "{{ hostvars.west.dr_region.postgres[item.key] }}",
            "databases": ["postgres"],
        },
        "register": "__rollback_assess_written",
        "when": "__rollback_assess_leases.results[0].holder != 'east'",
        **EACH,
    },
]
SERVICES: dict[str, Any] = {
    "dr_services": {},
    "dr_tiers": {},
    "__rollback_assess_workloads": {"workloads": []},
    "traffic_shift_result": {"records": [], "problems": []},
}
PLAN = include("rollback_assess", "plan", **SERVICES)
LEAVE = include(
    "region_fence",
    region_fence_way="returning",
    region_fence_written_since="{{ rollback_assess_written_since }}",
    dr_record={},
    dr_services={},
)


@pytest.fixture
def play(tmp_path: Path, s3_server: S3Server) -> RolePlay:
    """East handed over to west an hour ago, and west is dead."""
    play = RolePlay(tmp_path, s3_server)
    for name, host in play.hosts.items():
        dead = {"host": "127.0.0.1", "port": 9, "user": "nobody", "connect_timeout": 1}
        host["dr_region"] = {"name": name, "postgres": {"main": dead}}
    play.variables["incident_open_lease"] = {"token": 1}
    play.claim("east")
    play.claim("west", claimed_at=to_iso(TOOK_OVER))
    return play


def stated(play: RolePlay) -> list[dict[str, Any]]:
    text = (play.directory / "ledgers/INC-7/ledger.jsonl").read_text(encoding="utf-8")
    events = [json.loads(line) for line in text.splitlines()]
    return [event["data"]["evidence"]["loss_bound"] for event in events if event["step"] == "state_loss"]


def test_what_is_lost_counts_since_the_region_took_over_though_it_answers_no_more(play: RolePlay) -> None:
    status, said = play.run([*PREPARE, *OBSERVE, PLAN, LEAVE], hosts="east", dr_acceptance="go back to east")
    assert status != 0 and ACCEPTANCE in said, said
    assert stated(play) == []
    status, said = play.run([*PREPARE, *OBSERVE, PLAN, LEAVE], hosts="east", dr_acceptance=ACCEPTANCE)
    assert status == 0, said
    [bound] = stated(play)
    assert bound["seconds"] >= 3600 and bound["proven"] is True, bound


def test_a_run_that_was_killed_after_its_claim_states_the_loss_all_the_same(play: RolePlay) -> None:
    status, said = play.run([*PREPARE, *OBSERVE, PLAN], hosts="east", dr_acceptance=ACCEPTANCE)
    assert status == 0, said
    play.claim("east")
    status, said = play.run([*PREPARE, *OBSERVE, PLAN, LEAVE], hosts="east")
    assert status == 0, said
    [bound] = stated(play)
    assert bound["seconds"] >= 3600, bound
