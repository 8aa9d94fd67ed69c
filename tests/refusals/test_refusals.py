"""Bad input and targets that cannot take over: refused with the object and the remedy, and nothing changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from .conftest import Lab

pytestmark = pytest.mark.usefixtures("unchanged")

Change = Callable[[dict[str, Any]], None]


def witness_gone(state: dict[str, Any]) -> None:
    for store in state["witness"].values():
        store["endpoint_url"] = re.sub(r":\d+$", ":9", store["endpoint_url"])


def zone_missing(state: dict[str, Any]) -> None:
    state["zone"]["name"] = "missing.test"


def target_is_the_primary(state: dict[str, Any]) -> None:
    state["regions"]["us-west-2"]["postgres"] = state["regions"]["us-east-1"]["postgres"]


def image_missing(state: dict[str, Any]) -> None:
    registry = state["regions"]["us-west-2"]["registry"]
    state["regions"]["us-west-2"]["registry"] = registry.rsplit(":", 1)[0] + ":9"


@pytest.mark.parametrize(
    ("name", "extra", "change", "words"),
    [
        ("unknown-failed", {"dr_failed_region": "mars-1"}, None, ["Unknown region 'mars-1'", "us-east-1, us-west-2"]),
        ("unknown-target", {"dr_target_region": "mars-1"}, None, ["Unknown region 'mars-1'", "us-east-1, us-west-2"]),
        ("same", {"dr_target_region": "us-east-1"}, None, ["target equals the failed region (us-east-1)"]),
        ("inactive", {"dr_failed_region": "us-west-2"}, None, ["the lease is held by us-east-1"]),
        ("bad name!", {}, None, ["Give the incident"]),
        ("healthy", {"dr_accept_healthy_source": ""}, None, ["every health check of us-east-1 passes", "dr_accept_healthy"]),
        ("witness", {}, witness_gone, ["witness", "Check"]),
        ("zone", {}, zone_missing, ["missing.test", "zone"]),
        ("standby", {}, target_is_the_primary, ["us-west-2", "not a standby"]),
    ],
)
def test_bad_input_is_refused(
    lab: Lab, name: str, extra: dict[str, Any], change: Change | None, words: list[str]
) -> None:
    said = lab.playbook(f"refusal-{name}", change, **extra)
    assert [word for word in words if word not in said] == [], said


def test_a_wrong_database_password_is_named(lab: Lab, tmp_path: Path) -> None:
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:*:wrong\n", encoding="utf-8")
    passfile.chmod(0o600)

    def change(state: dict[str, Any]) -> None:
        state["regions"]["us-west-2"]["postgres"]["passfile"] = str(passfile)

    said = lab.playbook("refusal-password", change)
    assert "password" in said
    assert "dr_operator" in said


def test_a_closed_incident_is_refused(lab: Lab) -> None:
    from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger import Ledger
    from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import ObjectStore

    store = ObjectStore(lab.state["witness"]["ledger"])
    ledger = Ledger("refusal-closed", "drill", lab.directory / "ledgers", store)
    ledger.declare({"failed_region": "us-east-1", "target_region": "us-west-2"})
    ledger.close({})
    said = lab.playbook("refusal-closed")
    assert "Incident refusal-closed is already closed" in said
    assert "Declare a new one" in said


@contextmanager
def record_replaced(lab: Lab, replacement: dict[str, Any] | None) -> Iterator[None]:
    """Delete the API's record, put another in its place for a while, and bring the first back."""
    zone, api = lab.state["zone"], lab.client("route53", lab.state["aws"])
    name = f"api.{zone['name']}."
    [record] = [
        one for one in api.list_resource_record_sets(HostedZoneId=zone["id"])["ResourceRecordSets"] if one["Name"] == name
    ]

    def submit(*changes: tuple[str, dict[str, Any]]) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": one} for action, one in changes]}
        submitted = api.change_resource_record_sets(HostedZoneId=zone["id"], ChangeBatch=batch)
        api.get_waiter("resource_record_sets_changed").wait(
            Id=submitted["ChangeInfo"]["Id"], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )

    other = {"Name": name, **replacement} if replacement else None
    submit(("DELETE", record), *([("CREATE", other)] if other else []))
    try:
        yield
    finally:
        submit(*([("DELETE", other)] if other else []), ("CREATE", record))


@pytest.mark.parametrize(
    ("case", "replacement", "words"),
    [
        ("missing", None, ["api.counterfactual-lab.test"]),
        ("ttl", {"Type": "A", "TTL": 300, "ResourceRecords": [{"Value": "127.0.0.9"}]}, ["TTL", "300"]),
        ("type", {"Type": "CNAME", "TTL": 5, "ResourceRecords": [{"Value": "elsewhere.test"}]}, ["CNAME"]),
    ],
)
def test_a_record_that_is_not_as_the_catalogue_says_is_refused(
    lab: Lab, case: str, replacement: dict[str, Any] | None, words: list[str]
) -> None:
    with record_replaced(lab, replacement):
        said = lab.playbook(f"refusal-record-{case}")
    assert "Refusing to fail over" in said
    assert [word for word in words if word not in said] == [], said


def test_a_missing_secret_is_refused(lab: Lab) -> None:
    from kubernetes import client, config

    region = lab.state["regions"]["us-west-2"]["kubernetes"]
    core = client.CoreV1Api(config.new_client_from_config(region["kubeconfig"], region.get("context")))
    secret = core.read_namespaced_secret("analytics-database", "analytics")
    core.delete_namespaced_secret("analytics-database", "analytics")
    try:
        said = lab.playbook("refusal-secret")
    finally:
        secret.metadata.resource_version = None
        core.create_namespaced_secret("analytics", secret)
    assert "analytics-database" in said
    assert "Refusing to fail over to us-west-2" in said


def test_a_replica_that_stopped_replaying_is_refused(lab: Lab) -> None:
    """Its own opinion of its lag is not asked: the loss bound grows with the time since it replayed a heartbeat."""
    options = lab.state["regions"]["us-west-2"]["guard"]["admin"]
    connection = psycopg2.connect(**options)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("select pg_wal_replay_pause()")
        try:
            tiers = {tier: {"rto_seconds": 3600, "rpo_seconds": 5} for tier in (1, 3)}
            said = lab.playbook("refusal-stale", None, dr_tiers=tiers)
        finally:
            cursor.execute("select pg_wal_replay_resume()")
    connection.close()
    assert "would lose up to" in said
    assert "Let the replica catch up" in said
