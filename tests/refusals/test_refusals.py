"""Bad input and targets that cannot take over: refused with the object and the remedy, and nothing changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger import Ledger
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import ObjectStore

from tests.unit.servers import eventually

from .conftest import Change, Lab, typed

pytestmark = pytest.mark.usefixtures("unchanged")


def nobody_there(url: str) -> str:
    return re.sub(r":\d+$", ":9", url)


def ledger_gone(state: dict[str, Any]) -> None:
    state["witness"]["ledger"]["endpoint_url"] = nobody_there(state["witness"]["ledger"]["endpoint_url"])


def leases_gone(state: dict[str, Any]) -> None:
    for store in state["lease_stores"][:2]:
        store["endpoint_url"] = nobody_there(store["endpoint_url"])


def zone_missing(state: dict[str, Any]) -> None:
    state["zone"]["name"] = "missing.test"


def target_is_the_primary(state: dict[str, Any]) -> None:
    state["regions"]["us-west-2"]["postgres"] = state["regions"]["us-east-1"]["postgres"]


def target_has_no_server(state: dict[str, Any]) -> None:
    state["regions"]["us-west-2"]["postgres"]["port"] = 9


def no_such_context(state: dict[str, Any]) -> None:
    state["regions"]["us-west-2"]["kubernetes"]["context"] = "elsewhere"


KNOWN = "has: us-east-1, us-west-2. Name one of them"


@pytest.mark.parametrize(
    ("name", "extra", "change", "words"),
    [
        ("unknown-failed", {"dr_failed_region": "mars-1"}, None, ["Unknown region 'mars-1'", KNOWN]),
        ("unknown-target", {"dr_target_region": "mars-1"}, None, ["Unknown region 'mars-1'", KNOWN]),
        ("same", {"dr_target_region": "us-east-1"}, None, ["equals the failed region (us-east-1)", "Name two"]),
        ("inactive", {"dr_failed_region": "us-west-2"}, None, ["held by us-east-1", "Name the region that is active"]),
        ("bad name!", {}, None, ["Give the incident: -e dr_incident="]),
        (
            "healthy",
            {"dr_accept_healthy_source": ""},
            None,
            ["every health check of us-east-1 passes", "type -e dr_accept_healthy_source=us-east-1"],
        ),
        ("ledger", {}, ledger_gone, ["store ledger (bucket dr-ledger)", ":9/", "Check the store's endpoint"]),
        ("witness", {}, leases_gone, ["lease leases/main.json", "1 of 3 witness stores answered", "Check the witness"]),
        ("zone", {}, zone_missing, ["hosted zone missing.test", "Create it"]),
        ("standby", {}, target_is_the_primary, ["us-west-2: its PostgreSQL of cluster main is not a standby", "name"]),
        ("silent", {}, target_has_no_server, ["does not answer", ":9)", "Start it, or correct host and port"]),
        ("cluster", {}, no_such_context, ["kubeconfig-us-west-2, context elsewhere", "Name a kubeconfig"]),
    ],
)
def test_bad_input_is_refused(
    lab: Lab, name: str, extra: dict[str, Any], change: Change | None, words: list[str]
) -> None:
    said = lab.refused(name, change=change, **extra)
    assert [word for word in words if word not in said] == [], said


def test_a_wrong_database_password_is_named(lab: Lab, tmp_path: Path) -> None:
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:*:not-the-password\n", encoding="utf-8")
    passfile.chmod(0o600)

    def change(state: dict[str, Any]) -> None:
        state["regions"]["us-west-2"]["postgres"]["passfile"] = str(passfile)

    said = lab.refused("password", change=change)
    assert "PostgreSQL of us-west-2" in said
    assert "Correct the password of dr_operator in the passfile" in said
    assert "not-the-password" not in said


def test_a_closed_incident_is_refused(lab: Lab) -> None:
    incident = f"closed-{lab.state['id']}"
    store = ObjectStore(lab.state["witness"]["ledger"])
    ledger = Ledger(incident, "drill", str(lab.directory / "ledgers"), store)
    ledger.declare({"kind": "failover", "source_region": "us-east-1", "target_region": "us-west-2"})
    ledger.close({})
    said = lab.refused("closed")
    assert f"Incident {incident} is already closed" in said
    assert "Declare a new one" in said


def test_an_incident_without_a_confirmation_is_refused_with_its_text(lab: Lab) -> None:
    for given in ([], ["-e", "dr_confirmation=yes"]):
        said = lab.refused("unconfirmed", *given, dr_mode="incident")
        assert "Not confirmed" in said
        assert typed(said, "dr_confirmation") == ["-e", 'dr_confirmation="fail over us-east-1 to us-west-2"']


@contextmanager
def zone_of(lab: Lab, name: str, api_record: dict[str, Any] | None) -> Iterator[None]:
    """A hosted zone of its own, which no client asks: what a resolver has seen it keeps for as long as it may."""
    api = lab.client("route53", lab.state["aws"])
    right = {"Name": f"analytics.{name}", "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "127.0.0.9"}]}
    records = [right, *([{"Name": f"api.{name}", **api_record}] if api_record else [])]
    zone = api.create_hosted_zone(Name=name, CallerReference=name)["HostedZone"]["Id"]

    def submit(action: str) -> None:
        changes = [{"Action": action, "ResourceRecordSet": record} for record in records]
        api.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})

    submit("CREATE")
    try:
        yield
    finally:
        submit("DELETE")
        api.delete_hosted_zone(Id=zone)


@pytest.mark.parametrize(
    ("case", "record", "words"),
    [
        ("missing", None, "A does not exist"),
        ("ttl", {"Type": "A", "TTL": 7, "ResourceRecords": [{"Value": "127.0.0.9"}]}, "A has TTL 7 s, not 5 s"),
        ("type", {"Type": "CNAME", "TTL": 5, "ResourceRecords": [{"Value": "elsewhere.test"}]}, "CNAME"),
    ],
)
def test_a_record_that_is_not_as_the_catalogue_says_is_refused(
    lab: Lab, case: str, record: dict[str, Any] | None, words: str
) -> None:
    def change(state: dict[str, Any]) -> None:
        state["zone"]["name"] = f"{case}.test"

    with zone_of(lab, f"{case}.test", record):
        said = lab.refused(f"record-{case}", change=change)
    assert said.count(f"api.{case}.test") == 1, said
    assert "analytics" not in said
    assert words in said
    assert "Correct the record, or dr_services" in said


def test_a_missing_secret_is_refused(lab: Lab) -> None:
    from kubernetes import client

    core = client.CoreV1Api(lab.kubernetes("us-west-2"))
    secret = core.read_namespaced_secret("analytics-database", "analytics")
    core.delete_namespaced_secret("analytics-database", "analytics")
    try:
        said = lab.refused("secret")
    finally:
        secret.metadata.resource_version = None
        core.create_namespaced_secret("analytics", secret)
    assert "Refusing to fail over to us-west-2: Deployment analytics/analytics: missing secret" in said
    assert "analytics/analytics-database" in said
    assert "counterfactual-lab/counterfactual-lab" not in said
    assert "Provide what is missing (playbooks/region_prepare.yml)" in said


def test_an_image_that_the_target_cannot_pull_is_refused(lab: Lab, tmp_path: Path) -> None:
    image = lab.state["regions"]["us-west-2"]["images"]["analytics"]
    digest = image.rpartition(":")[2]
    manifest = lab.directory / "us-west-2/registry/counterfactual-lab/blobs/sha256" / digest
    manifest.rename(tmp_path / digest)
    try:
        said = lab.refused("image")
    finally:
        (tmp_path / digest).rename(manifest)
    assert "Refusing to fail over to us-west-2: " in said
    assert f"missing image {image}" in said
    assert "Provide what is missing (playbooks/region_prepare.yml)" in said


def paused(cursor: Any) -> bool:
    cursor.execute("select pg_get_wal_replay_pause_state()")
    return bool(cursor.fetchone()[0] == "paused")


def test_a_replica_that_stopped_replaying_is_refused(lab: Lab) -> None:
    """Its own opinion of its lag is not asked: the loss bound grows with the time since it replayed a heartbeat.

    A replica that follows would lose some 8 s here: the lease's 6 s, 1 s for clocks, 1 s between heartbeats.
    """
    with closing(lab.database("us-west-2")) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_wal_replay_pause()")
        try:
            # Until it has paused, what it still replays may cancel a query that looks at the same rows.
            eventually(lambda: paused(cursor), "the pause")
            cursor.execute(
                "select pg_sleep(greatest(0, 4 - extract(epoch from now() - max(written_at)))) from dr.heartbeat"
            )
            tiers = {tier: {"rto_seconds": 3600, "rpo_seconds": 11} for tier in (1, 3)}
            said = lab.refused("stale", dr_tiers=tiers)
        finally:
            cursor.execute("select pg_wal_replay_resume()")
    assert re.search(r"us-west-2: its PostgreSQL of cluster main would lose up to \d+(\.\d+)? s", said), said
    assert "the strictest RPO is 11 s" in said
    assert "Let the replica catch up" in said


def test_an_approval_is_void_once_what_was_approved_has_changed(lab: Lab) -> None:
    """The hash of the preview, then a record that somebody changes, then the hash of the plan as it is then.

    Nobody confirms here, so that a plan whose approval is accepted stops at the next question.
    """
    name = "approval.test"
    tiers = {
        1: {"rto_seconds": 3600, "rpo_seconds": 900, "approval": "required"},
        3: {"rto_seconds": 86400, "rpo_seconds": 900},
    }
    given: dict[str, Any] = {"dr_mode": "incident", "dr_tiers": tiers}

    def change(state: dict[str, Any]) -> None:
        state["zone"]["name"] = name

    def preview() -> str:
        run = lab.start("approval", "--check", "--diff", change=change, dr_accept_healthy_source="us-east-1", **given)
        said = lab.finish(run)
        assert run.returncode == 0, said
        return re.findall(r"Plan hash: (\S+)", said)[0]

    record = {"Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "127.0.0.9"}]}
    with zone_of(lab, name, record):
        first = preview()
        assert preview() == first
        said = lab.refused("approval", change=change, **given)
        assert said.endswith(f"-e dr_approval={first}")
    with zone_of(lab, name, {**record, "ResourceRecords": [{"Value": "127.0.0.8"}]}):
        said = lab.refused("approval", change=change, dr_approval=first, **given)
        assert f"records: api.{name}. A values 127.0.0.9 -> 127.0.0.8. Nothing was changed" in said
        second = preview()
        assert said.endswith(f"-e dr_approval={second}")
        assert second != first
        assert "Not confirmed" in lab.refused("approval", change=change, dr_approval=second, **given)
        said = lab.refused("approval-of-another", change=change, dr_approval=second)
        assert f"it was given for incident approval-{lab.state['id']}" in said
