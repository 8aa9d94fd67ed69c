"""What is backed up follows from catalogue and tiers."""

from __future__ import annotations

import copy
import typing as t

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.terragon.disaster_recovery.plugins.filter.catalogue import FilterModule

from tests.unit.plugins.guard_support import ROOT

backups = FilterModule().filters()["service_backups"]
TIER = {"every_seconds": 900, "retention_days": 30, "minimum_points": 3, "copies": "all", "prove": "daily"}
TIERS = {
    1: {"backup": TIER},
    2: {"backup": {**TIER, "every_seconds": 3600, "retention_days": 7, "copies": 2, "prove": "weekly"}},
    3: {"backup": {**TIER, "every_seconds": 86400, "copies": 1, "prove": "monthly"}},
}
STORES = [{"name": "east"}, {"name": "west"}, {"name": "north"}]
CLUSTERS = {"main": {"backups": [{"component": "database", "kind": "pgbackrest", "stanza": "main"}]}}
SERVICES: dict[str, t.Any] = {
    "web": {"tier": 3, "backups": [{"component": "configuration", "kind": "git", "repository": "/srv/web.git"}]},
    "api": {
        "tier": 2,
        "database": {"cluster": "main", "name": "orders"},
        "workloads": [{"namespace": "shop"}, {"namespace": "shop"}],
        "backups": [
            {"component": "database-logical", "kind": "pg_dump", "every_seconds": 7200},
            {"component": "kubernetes", "kind": "k8s_manifests"},
        ],
    },
}


def one(component: str, services: t.Any = SERVICES, clusters: t.Any = CLUSTERS) -> dict[str, t.Any]:
    return next(one for one in backups(services, clusters, TIERS, STORES) if one["component"] == component)


def test_a_component_has_its_tiers_objectives_and_may_state_its_own() -> None:
    assert one("configuration") == {
        "component": "configuration", "kind": "git", "repository": "/srv/web.git", "service": "web", "tier": 3,
        "every_seconds": 86400, "retention_days": 30, "minimum_points": 3, "copies": 1,
        "prove": "monthly", "prove_every_seconds": 2678400, "namespaces": [], "database": {},
    }  # fmt: skip
    dump = one("database-logical")
    assert (dump["every_seconds"], dump["retention_days"], dump["copies"]) == (7200, 7, 2)
    assert dump["database"] == {"cluster": "main", "name": "orders"}
    assert one("kubernetes")["namespaces"] == ["shop"]


def test_a_cluster_has_the_strictest_tier_of_its_services_and_all_stores_are_all() -> None:
    services = {**SERVICES, "core": {"tier": 1, "database": {"cluster": "main", "name": "core"}}}
    assert one("database")["tier"] == 2
    found = one("database", services)
    assert (found["service"], found["tier"], found["every_seconds"], found["copies"]) == ("main", 1, 900, 3)


@pytest.mark.parametrize(
    ("copies", "active", "names"),
    [
        (1, "east", ["west"]),
        (1, "west", ["east"]),
        (2, "east", ["west", "north"]),
        (3, "east", ["west", "north", "east"]),
        (2, "", ["east", "west"]),
    ],
)
def test_copies_are_kept_out_of_the_active_region_first(copies: int, active: str, names: list[str]) -> None:
    stores = [{**store, "region": store["name"]} for store in STORES]
    found = FilterModule().filters()["backup_stores"](stores, copies, active)
    assert [store["name"] for store in found] == names


def changed(**entry: t.Any) -> dict[str, t.Any]:
    services = copy.deepcopy(SERVICES)
    services["web"]["backups"][0].update(entry)
    return services


@pytest.mark.parametrize(
    ("services", "clusters", "named"),
    [
        (changed(kind="floppy"), {}, "Backup 'configuration' of web has kind 'floppy', there are: pgbackrest"),
        (changed(repository=""), {}, "has no repository"),
        (changed(component=None), {}, "has no component"),
        (changed(prove="hourly"), {}, "is to be proven 'hourly'. Set prove to one of: daily, weekly, monthly"),
        (changed(copies=4), {}, "asks for 4 copies, dr_backup_stores has: east, west, north. Add a store"),
        (changed(copies=0), {}, "has copies 0. Set it to a whole number above zero"),
        (changed(retention_days="long"), {}, "has retention_days 'long'"),
        ({**SERVICES, "web": {**SERVICES["web"], "tier": 9}}, {}, "Service web has tier 9, dr_tiers has 1, 2, 3"),
        ({"web": SERVICES["web"]}, CLUSTERS, "Cluster main has backups, but no service"),
        (
            {"web": {**SERVICES["web"], "backups": SERVICES["web"]["backups"] * 2}},
            {},
            "Backup 'configuration' of web is described twice",
        ),
    ],
)
def test_what_is_wrong_is_named(services: t.Any, clusters: t.Any, named: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        backups(services, clusters, TIERS, STORES)
    assert named in str(error.value)


def test_the_plans_tiers_are_complete() -> None:
    tiers = yaml.safe_load((ROOT / "inventories/plan/group_vars/all/objectives.yml").read_text())["dr_tiers"]
    found = {tier: backups({"s": {**SERVICES["web"], "tier": tier}}, {}, tiers, STORES)[0] for tier in tiers}
    objectives = ("every_seconds", "retention_days", "copies", "prove")
    assert {tier: tuple(one[key] for key in objectives) for tier, one in found.items()} == {
        1: (900, 30, 3, "daily"),
        2: (3600, 7, 2, "weekly"),
        3: (86400, 30, 1, "monthly"),
    }
