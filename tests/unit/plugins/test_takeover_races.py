"""What may happen between a look at the lease and the effect that rests on it: found by tests/chaos/model."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import signal
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import promotion_order
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso, to_iso, utc_now
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import Refused
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease_record import receipt_key
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import ObjectStore, StoreClock
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.sql import Postgres

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.guard_support import MARGIN, TTL, Guard, Witness, know_passwords, prepare_database
from tests.unit.plugins.test_guard import writes
from tests.unit.servers import PostgresFactory, PostgresServer, S3Server, eventually

NOON = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def server(postgres_factory: PostgresFactory) -> Iterator[PostgresServer]:
    server = postgres_factory()
    prepare_database(server)
    yield server
    server.stop()


@pytest.fixture
def guard(server: PostgresServer, s3_server: S3Server) -> Iterator[Guard]:
    """A guard of a primary that serves."""
    witness = Witness(s3_server)
    guard = Guard(server, "east", witness.option(), bootstrap=True)
    guard.witness = witness  # type: ignore[attr-defined]
    guard.start().becomes("serving")
    yield guard
    guard.end()
    witness.close()


@pytest.fixture
def option(s3_server: S3Server) -> dict[str, Any]:
    return {
        "key": f"{uuid.uuid4().hex}.json",
        "ttl_seconds": 6.0,
        "clock_allowance_seconds": 1.0,
        "stores": [s3_server.store("races")],
    }


def test_a_claim_opens_nothing_before_the_former_holder_has_certainly_stopped(
    guard: Guard, server: PostgresServer
) -> None:
    """West may serve, cut off from the witness, until its time is over: east gets the lease back and waits for that."""
    witness: Witness = guard.witness  # type: ignore[attr-defined]
    witness.claim("west")
    guard.fenced()
    record = witness.claim("east").record
    assert record is not None and record.previous is not None and record.previous.holder == "west"
    waiting = guard.becomes("waiting")
    assert (
        waiting["holder"] == "east" and waiting["hba"] == "closed" and "west held the lease before" in waiting["reason"]
    )
    eventually(lambda: writes(server), "writes")
    assert utc_now() >= from_iso(str(record.previous.expires_at))


def test_the_word_of_the_former_holders_guard_opens_at_once(guard: Guard, server: PostgresServer) -> None:
    witness: Witness = guard.witness  # type: ignore[attr-defined]
    witness.claim("west")
    guard.fenced()
    lease = witness.lease()
    record = lease.claim(lease.read(), "east", 3600.0, allowance=3600.0, claimed_by="test").record
    assert record is not None
    body = {"subject": "west", "epoch": record.epoch, "method": "guard_fenced", "fenced_at": to_iso(utc_now())}
    store = ObjectStore(witness.stores[0])
    store.put(receipt_key(witness.key, "west", record.epoch), json.dumps(body).encode())
    eventually(lambda: writes(server), "writes, hours before the end of west's lease")


@pytest.mark.parametrize("rate", [1 - StoreClock.RATE, 1.0, 1 + StoreClock.RATE])
def test_bounds_of_a_stores_clock_hold_where_clocks_run_at_other_rates(rate: float) -> None:
    clock = StoreClock()
    for second in range(StoreClock.RECENT):  # by our clock, five seconds apart
        moment = 5.0 * second
        clock.observe((NOON + dt.timedelta(seconds=moment * rate)).replace(microsecond=0), moment, moment)
    for moment in (0.0, 100.5, 5.0 * StoreClock.RECENT, 5.0 * StoreClock.RECENT + 60.0):
        true = NOON + dt.timedelta(seconds=moment * rate)
        at_least, at_most = clock.at_least(moment), clock.at_most(moment)
        assert at_least is not None and at_most is not None
        assert at_least <= true <= at_most


def test_a_claim_that_was_decided_before_another_region_took_over_is_refused(
    both: BothWays, option: dict[str, Any]
) -> None:
    lease = Lease.from_options(option)
    for holder in ("east", "west"):
        lease.claim(lease.read(), holder, 0.1, allowance=0.1, claimed_by="test")
    given = {"lease": option, "subject": "west", "claimant": "east", "state": "claimed"}
    refused = both("pg_fence", {**given, "assessed_epoch": 1})
    assert refused["failed"] and "has been taken by west (epoch 2) since it was assessed (epoch 1)" in refused["msg"]
    assert lease.read().held_by("west")
    claimed = both("pg_fence", {**given, "assessed_epoch": 2})
    assert (claimed["changed"], claimed["epoch"]) == (True, 3)
    again = both("pg_fence", {**given, "assessed_epoch": 2})
    assert (again["changed"], again["epoch"]) == (False, 3)


@pytest.fixture
def standby(server: PostgresServer, postgres_factory: PostgresFactory) -> Iterator[PostgresServer]:
    standby = postgres_factory.standby_of(server)
    know_passwords(standby)
    yield standby
    standby.stop()


def test_an_order_to_promote_ends_with_the_lease(standby: PostgresServer, option: dict[str, Any]) -> None:
    """Lost before the order: refused. Late on the wire: the server leaves it."""
    lease = Lease.from_options(option)
    for holder in ("west", "east"):
        lease.claim(lease.read(), holder, 6.0, allowance=1.0, claimed_by="test")
    with Postgres(standby.options("dr_operator"), "west") as server:
        with pytest.raises(Refused, match="east holds it"):
            promotion_order.order_promotion(server, lease, "west", 10)
        late = server.row(promotion_order._ORDER, (utc_now() - dt.timedelta(seconds=1), 10))
        assert late == (None,)
        assert standby.sql("SELECT pg_is_in_recovery()")[0][0] is True
        before = lease.claim(lease.read(), "west", 6.0, allowance=1.0, claimed_by="test").record
        assert promotion_order.order_promotion(server, lease, "west", 30) is True
    after = lease.read().record
    assert before is not None and after is not None and after.sequence == before.sequence + 1, "it was not renewed"
    assert standby.sql("SELECT pg_is_in_recovery()")[0][0] is False


def test_beside_a_standby_a_frozen_watchdog_leaves_nobody_alone(
    guard: Guard, server: PostgresServer, standby: PostgresServer
) -> None:
    """The renewer stays for as long as there is nothing to fence, and fences when the server is promoted."""
    witness: Witness = guard.witness  # type: ignore[attr-defined]
    other = Guard(standby, "west", witness.option())
    other.start().becomes("standby")
    assert other.process is not None
    try:
        os.kill(other.process.pid, signal.SIGSTOP)
        frozen = utc_now()
        patience = dt.timedelta(seconds=TTL - MARGIN + 1)
        eventually(lambda: from_iso(other.status()["updated_at"]) > frozen + patience, "looks beyond its patience")
        with contextlib.suppress(psycopg2.Error):
            standby.sql("SELECT pg_promote(true, 30)")
        eventually(lambda: standby.pid() is None, "the fence of the server that was promoted")
    finally:
        os.kill(other.process.pid, signal.SIGCONT)
        other.end()
