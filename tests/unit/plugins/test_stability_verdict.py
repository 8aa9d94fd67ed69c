"""What a step declares, which region its endpoints are in, and what the loss of one means to it."""

from __future__ import annotations

import importlib
import typing as t
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.terragon.disaster_recovery.plugins.filter.stability import FilterModule
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.needs import DATA, Need
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.stability_foreign import needs_of, of_task
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.stability_regions import Regions
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.stability_verdict import (
    Step,
    judge,
    outcome,
    table,
    unknown,
)

from tests.unit.plugins.both_ways import PACKAGE

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
EAST, WEST, THIRD = "us-east-1", "us-west-2", "eu-west-1"
REGIONS = {
    name: {
        "name": name,
        "kubernetes": {"context": f"{name}-cluster"},
        "postgres": {"main": {"host": f"127.0.{number}.2", "port": 5432, "user": "dr"}},
        "registry": f"127.0.{number}.4:5000",
        "endpoints": {"api": {"url": f"https://api-{number}.example.com", "values": [f"api-{number}.example.com"]}},
    }
    for number, name in ((1, EAST), (2, WEST))
}
STEP = Step("Recover", "a task", "a.b.c")


def store(name: str, region: str) -> dict[str, t.Any]:
    return {"name": name, "bucket": f"leases-{name}", "region": region}


def lease(*regions: str) -> dict[str, t.Any]:
    return {"key": "leases/main.json", "stores": [store(str(number), one) for number, one in enumerate(regions)]}


def found(module: str, failed: str, **options: t.Any) -> list[tuple[str, str, str]]:
    """What a call of a module needs: api, region, verdict."""
    specification = importlib.import_module(f"{PACKAGE}.modules.{module}").SPECIFICATION
    checked = ArgumentSpecValidator(specification.argument_spec).validate(options)
    assert not checked.error_messages
    needs = specification.needs(checked.validated_parameters)
    return [(one.api, one.where, one.verdict) for one in judge(STEP, needs, Regions(REGIONS), failed)]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_declares_what_it_talks_to(module: str) -> None:
    specification = importlib.import_module(f"{PACKAGE}.modules.{module}").SPECIFICATION
    assert specification.needs is not None, f"{module}: give its Specification `needs`; see module_utils/needs.py"


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ({"host": "127.0.1.2", "port": 5432}, EAST),
        ({"host": "127.0.1.2"}, EAST),
        ({"host": "127.0.9.2", "port": 5432}, None),
        ({"context": "us-west-2-cluster"}, WEST),
        ({"context": "us-west-2-cluster", "kubeconfig": "/elsewhere"}, None),
        ("https://api-1.example.com/health", EAST),
        ("127.0.2.4:5000/shop/api@sha256:00", WEST),
        ("000000000000.dkr.ecr.us-east-1.amazonaws.com/api@sha256:00", EAST),
        ("https://s3.ap-southeast-2.amazonaws.com/bucket", "ap-southeast-2"),
        ("https://api.example.com", None),
        ({"bucket": "leases", "region": "eu-west-1"}, THIRD),
        ({"bucket": "leases", "region": "us-east-1", "endpoint_url": "http://127.0.0.2:9000"}, None),
        ("8.8.8.8", None),
        (None, None),
    ],
)
def test_the_region_of_an_endpoint(endpoint: t.Any, region: str | None) -> None:
    assert Regions(REGIONS).of(Need("x", DATA, "x", endpoint)) == region


def test_an_address_that_two_regions_share_is_in_neither() -> None:
    shared = {name: {**region, "bastion": {"host": "10.0.0.1"}} for name, region in REGIONS.items()}
    assert Regions(shared).of(Need("SSH", DATA, "host", "10.0.0.1")) is None


@pytest.mark.parametrize(
    ("stores", "verdicts"),
    [
        ([EAST], ["VIOLATION"]),
        ([THIRD], ["fine"]),
        ([EAST, WEST, THIRD], ["tolerated", "fine", "fine"]),
        ([EAST, EAST, THIRD], ["VIOLATION", "VIOLATION", "fine"]),
    ],
)
def test_a_lease_needs_a_majority_of_its_stores(stores: list[str], verdicts: list[str]) -> None:
    judged = found("incident_lease", EAST, incident="INC-7", lease=lease(*stores))
    assert [verdict for _api, _where, verdict in judged] == verdicts


@pytest.mark.parametrize(("failed", "verdict"), [(EAST, "VIOLATION"), (WEST, "fine")])
def test_record_changes_need_the_control_plane_where_it_is_at_home(failed: str, verdict: str) -> None:
    record = {"zone": "example.com", "name": "api.example.com", "type": "A", "values": ["127.0.2.9"]}
    for region in (EAST, WEST):
        judged = found("route53_traffic", failed, records=[record], aws={"region": region})
        assert judged == [("Route 53", EAST, verdict)]
    assert found("route53_traffic", EAST, records=[]) == []


def test_routing_controls_need_any_one_endpoint() -> None:
    def endpoints(*regions: str) -> list[dict[str, str]]:
        return [{"endpoint": f"https://{one}.example.com", "region": one} for one in regions]

    control = [{"name": "east", "state": "Off"}]
    judged = found("arc_routing_control", EAST, endpoints=endpoints(EAST, WEST, THIRD), controls=control)
    assert judged == [("ARC", EAST, "tolerated"), ("ARC", WEST, "fine"), ("ARC", THIRD, "fine")]
    assert found("arc_routing_control", EAST, endpoints=endpoints(EAST), controls=control) == [
        ("ARC", EAST, "VIOLATION")
    ]


def test_the_fence_does_without_the_region_that_it_fences() -> None:
    failed = {"host": "127.0.1.2", "user": "dr"}
    options = {"subject": EAST, "claimant": WEST, "lease": lease(THIRD), "postgres": failed}
    assert found("pg_fence", EAST, **options)[1] == ("PostgreSQL", EAST, "tolerated")
    assert (
        found("pg_promote", EAST, postgres=failed, region=EAST, subject=WEST, lease=lease(THIRD))[0][2] == "VIOLATION"
    )


def test_what_is_only_observed_may_be_silent() -> None:
    servers = [
        {"region": name, "postgres": {"host": REGIONS[name]["postgres"]["main"]["host"], "user": "dr"}}
        for name in REGIONS
    ]
    assert [one[2] for one in found("pg_heartbeat", EAST, servers=servers)] == ["tolerated", "fine"]
    assert [one[2] for one in found("pg_heartbeat", EAST, servers=servers, state="written")] == ["VIOLATION", "fine"]
    check = {"name": "up", "kind": "http", "url": "https://api-1.example.com/health"}
    assert found("health_probe", EAST, checks=[check], required=False) == [("HTTP", EAST, "tolerated")]
    assert found("health_probe", EAST, checks=[check]) == [("HTTP", EAST, "VIOLATION")]


def test_a_step_needs_the_store_that_it_is_recorded_in() -> None:
    record = {"incident": "INC-7", "phase": "assess", "directory": "/ledgers", "store": store("ledger", EAST)}
    options = {"kubernetes": {"context": "us-west-2-cluster"}, "workloads": [], "record": record}
    assert found("k8s_workload", EAST, **options) == [("Kubernetes", WEST, "fine"), ("S3", EAST, "VIOLATION")]


def test_a_plan_says_what_it_is_going_to_need() -> None:
    needs_in_region = FilterModule().filters()["needs_in_region"]
    endpoints = [{"endpoint": f"https://{one}.example.com", "region": one} for one in (EAST, THIRD)]
    calls = [
        {"module": "incident_lease", "options": {"lease": lease(EAST, WEST, THIRD)}},
        {"module": "route53_traffic", "options": {"records": [{"name": "api.example.com"}]}},
        {"module": "arc_routing_control", "options": {"endpoints": endpoints}},
        {"module": "traffic_switch", "options": {"store": {}}},
        {"module": "incident_ledger", "options": {"store": store("ledger", EAST)}},
    ]
    assert needs_in_region(calls, REGIONS, EAST) == [
        "needs the control plane of Route 53 in us-east-1",
        "needs S3 in us-east-1 (bucket leases-ledger)",
    ]
    assert needs_in_region(calls, REGIONS, THIRD) == []
    for wrong in ({"module": "sorcery", "options": {}}, {"module": "pg_fence", "options": {"leese": {"key": "x"}}}):
        with pytest.raises(AnsibleFilterError):
            needs_in_region([wrong], REGIONS, EAST)


def test_modules_of_others() -> None:
    assert needs_of("ansible.builtin.assert") is not None
    assert needs_of("ansible.builtin.command") is None
    cluster = needs_of("kubernetes.core.k8s")
    assert cluster is not None
    [need] = cluster({"context": "us-east-1-cluster"})
    assert Regions(REGIONS).of(need) == EAST
    with pytest.raises(RecoveryError, match="names no cluster"):
        cluster({})


def test_a_task_may_say_it_itself() -> None:
    [need] = of_task([{"api": "SMTP", "plane": "data", "region": EAST, "tolerated": "the mail is sent later"}])
    assert judge(STEP, [need], Regions(REGIONS), EAST)[0].verdict == "tolerated"
    assert of_task([]) == []
    for wrong in ("smtp", [{"api": "SMTP", "plane": "data"}], [{"api": "SMTP", "plane": "middle", "region": EAST}]):
        with pytest.raises(RecoveryError, match="is no declaration"):
            of_task(wrong)


def test_what_is_not_known_is_no_pass() -> None:
    fine = judge(STEP, [Need("S3", DATA, "store", store("x", THIRD))], Regions(REGIONS), EAST)
    bad = judge(STEP, [Need("S3", DATA, "store", store("x", EAST))], Regions(REGIONS), EAST)
    assert outcome(fine) == "passed"
    assert outcome([*fine, unknown(STEP, "why")]) == "unverified"
    assert outcome([*fine, *bad, unknown(STEP, "why")]) == "failed"
    assert outcome([]) == "unverified"
    assert "VIOLATION: needs S3 in us-east-1" in table([*fine, *bad])
