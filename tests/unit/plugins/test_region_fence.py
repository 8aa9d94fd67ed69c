"""What was decided on an older state of the leases claims nothing; of several databases none is promoted alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease

from tests.unit.plugins.role_play import DECLARE, RECORD, ROOT, RolePlay, include, source
from tests.unit.servers import S3Server

BEFORE = [source("east"), DECLARE]


@pytest.fixture
def play(tmp_path: Path, s3_server: S3Server) -> RolePlay:
    """East holds both leases, and is dead."""
    play = RolePlay(tmp_path, s3_server, "main", "other")
    dead = {"host": "127.0.0.1", "port": 9, "user": "nobody", "connect_timeout": 1}
    for name, host in play.hosts.items():
        servers = {"main": dead, "other": dead}
        host["dr_region"] = {
            "name": name,
            "postgres": servers,
            "kubernetes": {"kubeconfig": "/none", "context": "none"},
        }
    play.claim("east", "main")
    play.claim("east", "other")
    return play


def fence(way: str, **variables: Any) -> list[dict[str, Any]]:
    """Return the tasks of one way. Of the planned one, those after the target's workloads: there is no cluster here."""
    if way != "planned":
        return [include("region_fence", region_fence_way=way, dr_record=RECORD, dr_services={}, **variables)]
    tasks = yaml.safe_load((ROOT / "roles/region_fence/tasks/planned.yml").read_text(encoding="utf-8"))
    after = [task for task in tasks if "terragon.disaster_recovery.k8s_workload" not in task]
    return [
        {"block": after, "vars": {"__region_fence_source": "east", "region_fence_assessed_epochs": {}, **variables}}
    ]


@pytest.mark.parametrize("way", ["unplanned", "planned", "returning"])
def test_a_lease_that_moved_since_it_was_assessed_is_not_claimed(play: RolePlay, way: str) -> None:
    """West was failed over to and home again while somebody still had to type the confirmation."""
    play.claim("west", "main")
    play.claim("east", "main")
    status, said = play.run([*BEFORE, *fence(way, region_fence_assessed_epochs={"main": 1, "other": 1})], hosts="west")
    assert status != 0 and "since it was assessed (epoch 1)" in said, said
    record = Lease.from_options(play.leases["main"]).read().record
    assert record is not None and (record.holder, record.epoch) == ("east", 3)


def test_where_one_database_did_not_end_in_order_the_planned_way_ends_before_any_promotion(play: RolePlay) -> None:
    status, said = play.run(
        [*BEFORE, *fence("planned"), {"ansible.builtin.debug": {"msg": "it went on"}}], hosts="west"
    )
    assert status != 0 and "stopped cluster main in order" in said and "it went on" not in said, said
    assert "playbooks/region_failover.yml -e dr_failed_region=east" in said
