"""The catalogue's filters, over tables of catalogues."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.terragon.disaster_recovery.plugins.filter.catalogue import FilterModule

FILTERS = FilterModule().filters()
TIERS = {1: {"rto_seconds": 3600, "rpo_seconds": 900}, 3: {"rto_seconds": 86400, "rpo_seconds": 14400}}
REGION = {
    "name": "us-west-2",
    "postgres": {"main": {"host": "127.0.0.9", "user": "dr_operator"}},
    "endpoints": {"api": {"url": "https://api-west.example.com/", "values": ["api-west.example.com"]}},
}
SERVICES = {
    "api": {
        "tier": 1,
        "url": "https://api.example.com",
        "database": {"cluster": "main", "name": "orders"},
        "workloads": [{"namespace": "shop", "name": "api", "replicas": {"active": 5, "standby": 1}, "secrets": ["db"]}],
        "records": [{"zone": "example.com", "name": "api.example.com", "type": "CNAME", "ttl": 60}],
        "health_checks": [
            {"name": "up", "kind": "http", "path": "/health", "timeout": 5, "retries": 3, "interval": 30},
            {"name": "db", "kind": "postgresql", "timeout": 3},
        ],
        "deep_check": {"path": "/writes", "read_path": "/writes/$id"},
        "invariants": [{"name": "none lost", "query": "select 1", "expect": 1}],
    }
}


def without(*path: str) -> dict[str, t.Any]:
    services = copy.deepcopy(SERVICES)
    at: t.Any = services["api"]
    for key in path[:-1]:
        at = at[int(key)] if isinstance(at, list) else at[key]
    del at[path[-1]]
    return services


def test_objectives_are_the_strictest() -> None:
    found = FILTERS["service_objectives"]({**SERVICES, "stats": {"tier": 3}}, TIERS)
    assert (found["rto_seconds"], found["rpo_seconds"]) == (3600, 900)
    assert found["services"]["stats"] == {"tier": 3, "rto_seconds": 86400, "rpo_seconds": 14400}


def test_records_carry_the_regions_values_and_keep_the_rest() -> None:
    assert FILTERS["service_records"](SERVICES, REGION) == [
        {
            "zone": "example.com",
            "name": "api.example.com",
            "type": "CNAME",
            "ttl": 60,
            "values": ["api-west.example.com"],
        }
    ]


@pytest.mark.parametrize(("role", "replicas"), [("active", 5), ("standby", 1)])
def test_workloads_have_the_roles_replicas(role: str, replicas: int) -> None:
    [workload] = FILTERS["service_workloads"](SERVICES, REGION, role)
    assert workload == {"namespace": "shop", "name": "api", "replicas": replicas, "secrets": ["db"]}


def test_public_checks_use_the_public_name_and_leave_the_database_to_the_service() -> None:
    [check] = FILTERS["service_checks"](SERVICES)
    assert check["url"] == "https://api.example.com/health"
    assert "interval" not in check  # that one is for continuous monitoring


def test_checks_of_a_region_use_its_endpoint_with_the_public_host_and_its_database() -> None:
    web, database = FILTERS["service_checks"](SERVICES, REGION)
    assert web["url"] == "https://api-west.example.com/health"
    assert web["headers"] == {"Host": "api.example.com"}
    assert database["postgres"] == {"host": "127.0.0.9", "user": "dr_operator", "database": "orders"}


def test_deep_check_reads_what_it_wrote() -> None:
    [check] = FILTERS["service_deep_checks"](SERVICES, REGION)
    assert check["kind"] == "write_read"
    assert check["read_url"] == "https://api-west.example.com/writes/$id"


def test_invariants_compare_text() -> None:
    [check] = FILTERS["service_invariants"](SERVICES, REGION)
    assert (check["query"], check["expect"]) == ("select 1", "1")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("service_objectives", ({"api": {"tier": 2}}, TIERS), "Service api has tier 2, dr_tiers has 1, 3"),
        ("service_objectives", ({}, TIERS), "dr_services is empty"),
        ("service_records", (SERVICES, {**REGION, "endpoints": {}}), "Service api has no endpoint in region us-west-2"),
        ("service_records", (SERVICES, {**REGION, "endpoints": {"api": {"url": "x"}}}), "endpoints['api'].values"),
        ("service_workloads", (SERVICES, REGION, "spare"), "Workload api of service api has no replicas.spare"),
        ("service_checks", (SERVICES, {**REGION, "postgres": {}}), "dr_region.postgres['main']"),
        ("service_checks", (without("health_checks", "0", "path"), REGION), "lacks the key 'path'"),
    ],
)
def test_an_incomplete_catalogue_is_named(name: str, arguments: tuple[t.Any, ...], message: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        FILTERS[name](*arguments)
    assert message in str(caught.value)
