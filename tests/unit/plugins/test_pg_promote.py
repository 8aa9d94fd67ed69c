"""pg_promote against real standbys and a real witness: what it refuses, and that it promotes."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso, to_iso, utc_now
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.guard_support import know_passwords, prepare_database
from tests.unit.servers import PostgresFactory, PostgresServer, S3Server, eventually

TTL, ALLOWANCE = 0.6, 0.2
KEYS = {
    "accepted_without_receipt", "changed", "diff", "evidence", "lsn", "promoted", "promoted_at", "receipts", "region",
    "seconds", "system_identifier", "timeline", "waits",
}  # fmt: skip


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@dataclass
class Scene:
    """A primary in east, its standby in west, and the lease between them."""

    both: BothWays
    primary: PostgresServer
    standby: PostgresServer
    option: dict[str, Any]

    def held(self, *holders: str) -> None:
        """Let regions take the lease one after the other."""
        lease = Lease.from_options(self.option)
        for holder in holders:
            lease.claim(lease.read(), holder, TTL, allowance=ALLOWANCE, claimed_by="test")

    def fence(self) -> list[dict[str, Any]]:
        arguments = {"lease": self.option, "subject": "east", "claimant": "west"}
        result = self.both("pg_fence", arguments)
        assert result["fenced"], result
        return list(result["receipts"])

    def promote(self, check: bool = False, **more: Any) -> dict[str, Any]:
        arguments = {
            "postgres": self.standby.options("dr_operator"),
            "region": "west",
            "subject": "east",
            "lease": self.option,
            "wait_timeout": 30,
            **more,
        }
        return self.both("pg_promote", arguments, check)

    def in_recovery(self) -> bool:
        return bool(self.standby.sql("SELECT pg_is_in_recovery()")[0][0])


@pytest.fixture(scope="module")
def primary(postgres_factory: PostgresFactory) -> Iterator[PostgresServer]:
    server = postgres_factory()
    prepare_database(server)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def standby_of_module(postgres_factory: PostgresFactory, primary: PostgresServer) -> Iterator[PostgresServer]:
    """For what is refused: nobody promotes it."""
    standby = postgres_factory.standby_of(primary)
    know_passwords(standby)
    yield standby
    standby.stop()


@pytest.fixture
def option(s3_server: S3Server) -> dict[str, Any]:
    return {
        "key": f"{uuid.uuid4().hex}.json",
        "ttl_seconds": TTL,
        "clock_allowance_seconds": ALLOWANCE,
        "stores": [s3_server.store("promotions")],
    }


@pytest.fixture
def scene(both: BothWays, primary: PostgresServer, standby_of_module: PostgresServer, option: dict[str, Any]) -> Scene:
    return Scene(both, primary, standby_of_module, option)


@pytest.fixture
def own(both: BothWays, postgres_factory: PostgresFactory, option: dict[str, Any]) -> Iterator[Scene]:
    """A pair of its own, to be promoted."""
    primary = postgres_factory()
    prepare_database(primary)
    standby = postgres_factory.standby_of(primary)
    know_passwords(standby)
    yield Scene(both, primary, standby, option)
    primary.stop()
    standby.stop()


def test_a_fenced_region_is_replaced_and_the_next_run_finds_it_done(own: Scene) -> None:
    own.held("east")
    own.primary.stop()
    receipts = own.fence()
    predicted = own.promote(check=True, receipts=receipts)
    assert (predicted["changed"], predicted["evidence"].get("predicted")) == (True, True), predicted
    assert own.in_recovery()

    result = own.promote(receipts=receipts)
    assert set(result) == KEYS and not result.get("failed"), result
    assert result["changed"] and not own.in_recovery()
    assert result["timeline"] == 2 and result["seconds"] >= 0
    assert from_iso(result["promoted_at"]) <= utc_now()
    assert result["receipts"] == receipts and result["accepted_without_receipt"] is False
    assert [wait["name"] for wait in result["waits"]] == ["promotion"]
    assert result["diff"] == {"before": {"in_recovery": True}, "after": {"in_recovery": False}}
    assert own.standby.sql("SELECT count(*) FROM dr.probe WHERE region = 'west'") == [(1,)]
    assert result["system_identifier"] == predicted["system_identifier"]

    again = own.promote(receipts=receipts)
    assert set(again) == KEYS
    assert (again["changed"], again["timeline"], again["promoted_at"]) == (False, 2, None)


def test_the_operator_is_no_superuser_and_reads_no_data(scene: Scene) -> None:
    rows = scene.primary.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'dr_%' AND rolsuper")
    assert rows == []
    for user in ("dr_operator", "dr_guard"):
        with contextlib.closing(scene.primary.connect(user)) as connection, connection.cursor() as cursor:
            for forbidden in ("SELECT * FROM writes", "INSERT INTO writes (at) VALUES (now())", "CREATE TABLE dr.x ()"):
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(forbidden)
    with (
        contextlib.closing(scene.primary.connect("dr_guard")) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute("SELECT pg_promote()")


def receipt(method: str = "lease_expired", subject: str = "east", epoch: int = 2) -> dict[str, Any]:
    return {"subject": subject, "method": method, "epoch": epoch, "certain_at": to_iso(utc_now()), "evidence": {}}


@pytest.mark.parametrize(
    ("receipts", "why"),
    [
        ([], "none was given"),
        ([receipt("write_refused")], "supports a fence, does not prove it"),
        ([receipt(epoch=1)], "the lease's epoch is 2"),
        ([receipt(subject="south")], "is about another region"),
        ([receipt("guard_fenced")], "the witness does not confirm it"),
        ([receipt("lease_released")], "the witness does not confirm it"),
        ([receipt("a new idea")], "supports a fence, does not prove it"),
        ([{}], "supports a fence, does not prove it"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_no_receipt_no_promotion(scene: Scene, receipts: list[dict[str, Any]], why: str, check: bool) -> None:
    scene.held("east", "west")
    result = scene.promote(check, receipts=receipts, loss_bound_seconds=12.3)
    assert result["failed"] and why in result["msg"]
    assert "promote west without a fence receipt, losing up to 13 s" in result["msg"]
    assert scene.in_recovery()


def test_an_expiry_that_has_not_come_is_not_believed(scene: Scene) -> None:
    scene.option["ttl_seconds"] = 600.0
    lease = Lease.from_options(scene.option)
    for holder in ("east", "west"):
        lease.claim(lease.read(), holder, 600.0, allowance=ALLOWANCE, claimed_by="test")
    record = lease.read().record
    assert record is not None and record.previous is not None
    early = {**receipt("lease_expired"), "certain_at": record.previous.expires_at}
    for given in (early, receipt("lease_expired")):
        result = scene.promote(receipts=[given])
        assert result["failed"] and "the witness does not confirm it" in result["msg"]
    assert scene.in_recovery()


@pytest.mark.parametrize(
    ("acceptance", "bound"),
    [
        ("promote west without a fence receipt, losing up to 12 s", 12.3),
        ("promote east without a fence receipt, losing up to 20 s", 12.3),
        ("promote west without a fence receipt, losing up to 20", 12.3),
        ("yes", 12.3),
        ("yes", None),
        ("promote west without a fence receipt, losing up to some s", None),
        ("promote west without a fence receipt, losing up to 99 s", None),
        ("promote west without a fence receipt, losing an unknown amount", 12.3),
    ],
)
def test_only_the_exact_acceptance_counts(scene: Scene, acceptance: str, bound: float | None) -> None:
    scene.held("east", "west")
    more = {} if bound is None else {"loss_bound_seconds": bound}
    result = scene.promote(acceptance=acceptance, **more)
    assert result["failed"] and f"Not accepted: {acceptance!r}" in result["msg"]
    assert scene.in_recovery()


def test_an_acceptance_that_names_the_loss_promotes_and_is_kept_as_evidence(own: Scene) -> None:
    own.held("east", "west")
    text = "promote west without a fence receipt, losing up to 13 s"
    result = own.promote(acceptance=text, loss_bound_seconds=12.3)
    assert result["changed"] and result["accepted_without_receipt"] and not own.in_recovery()
    assert (result["evidence"]["acceptance"], result["evidence"]["loss_bound_seconds"]) == (text, 12.3)


def test_an_acceptance_replaces_no_lease(scene: Scene) -> None:
    scene.held("east")
    text = "promote west without a fence receipt, losing up to 99 s"
    result = scene.promote(acceptance=text, loss_bound_seconds=1)
    assert result["failed"] and "east holds it (epoch 1)" in result["msg"] and "pg_fence" in result["msg"]
    predicted = scene.promote(check=True)
    assert predicted["changed"] and "pg_fence" in predicted["evidence"]["needs"]
    assert scene.in_recovery()


def test_a_primary_is_nothing_to_promote(scene: Scene) -> None:
    scene.held("east")
    result = scene.promote(postgres=scene.primary.options("dr_operator"))
    assert result["failed"] and "it is not a standby" in result["msg"] and "east holds the lease" in result["msg"]


@pytest.mark.parametrize("check", [False, True])
def test_a_server_that_is_not_there_is_named(scene: Scene, check: bool) -> None:
    scene.held("east", "west")
    nowhere = {**scene.standby.options("dr_operator"), "port": 1}
    result = scene.promote(check, postgres=nowhere)
    assert result["failed"] and f"PostgreSQL of west ({scene.standby.host}:1)" in result["msg"]
    assert "Start it, or correct host and port" in result["msg"]


def test_a_wrong_password_is_not_an_outage(scene: Scene, tmp_path: Any) -> None:
    scene.held("east", "west")
    wrong = tmp_path / "pgpass"
    wrong.write_text("*:*:*:dr_operator:not-the-password\n")
    wrong.chmod(0o600)
    result = scene.promote(postgres={**scene.standby.options("dr_operator"), "passfile": str(wrong)})
    assert result["failed"] and "password authentication failed" in result["msg"]
    assert "Correct the password of dr_operator" in result["msg"]
    assert "not-the-password" not in str(result)


def test_a_frozen_server_is_not_waited_for_for_ever(own: Scene) -> None:
    own.held("east", "west")
    pid = own.standby.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        result = own.promote(postgres={**own.standby.options("dr_operator"), "connect_timeout": 1})
    finally:
        os.kill(pid, signal.SIGCONT)
    assert result["failed"] and "no answer within" in result["msg"]


def test_the_same_region_twice_is_refused(scene: Scene) -> None:
    scene.held("east", "west")
    assert "Name two regions" in scene.promote(subject="west")["msg"]


def test_a_role_without_the_right_is_told_which(own: Scene) -> None:
    own.primary.sql("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_promote(boolean, integer) FROM dr_operator")
    lsn = own.primary.sql("SELECT pg_current_wal_flush_lsn()")[0][0]
    eventually(lambda: own.standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'")[0][0], "replay")
    own.held("east")
    result = own.promote(receipts=own.fence())
    assert result["failed"] and "schema.sql" in result["msg"]
    assert own.in_recovery()
