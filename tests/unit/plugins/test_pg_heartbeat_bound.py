"""The bound of the loss against real losses: it is never less than what was lost, whatever the clocks say."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso, to_iso, utc_now
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease_record import receipt_key

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.guard_support import ALLOWANCE, TTL
from tests.unit.plugins.heartbeat_support import AWAY, HOME, Regions, make_pair, regions
from tests.unit.servers import PostgresFactory, PostgresServer, S3Server, eventually

SECOND = dt.timedelta(seconds=1)


@pytest.fixture(scope="module")
def pair(postgres_factory: PostgresFactory) -> tuple[PostgresServer, PostgresServer]:
    return make_pair(postgres_factory)


@pytest.fixture(params=[1, 3], ids=["one-store", "three-stores"])
def both_regions(
    request: pytest.FixtureRequest, pair: tuple[PostgresServer, PostgresServer], s3_server: S3Server
) -> Iterator[Regions]:
    with regions(pair, s3_server, request.param) as both:
        yield both


@pytest.fixture
def one(pair: tuple[PostgresServer, PostgresServer], s3_server: S3Server) -> Iterator[Regions]:
    with regions(pair, s3_server) as both:
        yield both


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


def ask(both: BothWays, regions_: Regions, **lease: Any) -> dict[str, Any]:
    """Return the bound; what is recorded is the same."""
    found = both("pg_heartbeat", regions_.bound(**lease))
    assert not found.get("failed"), found
    bound = found["loss_bound"]
    assert found["evidence"]["loss_bound"] == bound
    if bound["seconds"] is None:
        assert bound["basis"] in found["unverified"][-1]
    else:
        span = from_iso(bound["until"]) - from_iso(bound["from"])
        assert bound["seconds"] >= span.total_seconds()
        assert bound["seconds"] - max(0.0, span.total_seconds()) < 0.0011
    return dict(bound)


def beat(regions_: Regions) -> int:
    """Number of the last heartbeat that the standby has replayed, of all regions."""
    return int(regions_.standby.sql("SELECT coalesce(sum(sequence), 0) FROM dr.heartbeat")[0][0])


def next_beat(regions_: Regions) -> None:
    before = beat(regions_)
    eventually(lambda: beat(regions_) > before, "the next heartbeat")


def pretend(regions_: Regions, region: str, epoch: int, written_at: dt.datetime) -> str:
    """Write a heartbeat by hand, let it be replayed, and return its position."""
    lsn = regions_.primary.sql("SELECT pg_current_wal_insert_lsn()")[0][0]
    regions_.primary.sql(
        "INSERT INTO dr.heartbeat VALUES "
        f"('{region}', {epoch}, 1, '{to_iso(written_at)}', '{lsn}') ON CONFLICT (region) DO UPDATE "
        "SET epoch = excluded.epoch, sequence = dr.heartbeat.sequence + 1, written_at = excluded.written_at"
    )
    regions_.replays()
    return str(lsn)


def test_what_was_committed_while_replay_stood_still(both: BothWays, both_regions: Regions) -> None:
    """Every row that the target does not show was acknowledged between the two ends of the bound."""
    with both_regions.heartbeats():
        next_beat(both_regions)
        both_regions.write()
        next_beat(both_regions)
        with both_regions.replay_paused():
            for _ in range(3):
                both_regions.write()
                predicted = ask(both, both_regions)
            claimed = both_regions.claim(AWAY)
            stated = ask(both, both_regions)
            lost = both_regions.lost()
    assert predicted["predicted"] is True
    assert stated["predicted"] is False
    assert len(lost) >= 60
    assert from_iso(stated["from"]) <= min(lost)
    assert from_iso(predicted["from"]) <= min(lost)
    assert claimed.record is not None and claimed.record.previous is not None
    assert stated["until"] == claimed.record.previous.expires_at
    assert max(lost) < from_iso(stated["until"])
    assert predicted["seconds"] >= (max(lost) - min(lost)).total_seconds()
    assert "has replayed heartbeat" in stated["basis"]
    assert "has ended by then" in stated["basis"]


@pytest.mark.parametrize("minutes", [-5, 5], ids=["behind", "ahead"])
def test_a_machine_whose_clock_is_minutes_off(both: BothWays, both_regions: Regions, minutes: int) -> None:
    """The witness's clock differs from that of guard, servers and controller alike: only the witness's counts."""
    off = dt.timedelta(minutes=minutes)
    for proxy in both_regions.witness.proxies:
        proxy.skew_seconds = off.total_seconds()
    both_regions.lease = both_regions.witness.lease()
    both_regions.claim(HOME)
    began = utc_now()
    with both_regions.heartbeats():
        next_beat(both_regions)
        with both_regions.replay_paused():
            both_regions.write()
            both_regions.claim(AWAY)
            bound = ask(both, both_regions)
            lost = both_regions.lost()
    assert len(lost) >= 20
    assert from_iso(bound["from"]) <= min(lost) + off
    assert from_iso(bound["from"]) >= began + off - 3 * SECOND  # bound, not boundless: five minutes are not in it
    assert from_iso(bound["until"]) >= max(lost) + off


def test_an_idle_primary_does_not_look_like_a_loss(both: BothWays, one: Regions) -> None:
    with one.heartbeats():
        next_beat(one)
        idle_since = utc_now()
        eventually(lambda: from_iso(ask(both, one)["from"]) > idle_since, "a bound that moves on without writes")


def test_a_holder_that_lives_may_renew_until_the_claim(both: BothWays, one: Regions) -> None:
    before = utc_now()
    pretend(one, HOME, 1, before - SECOND)
    bound = ask(both, one)
    assert bound["predicted"] is True
    assert from_iso(bound["until"]) >= before + dt.timedelta(seconds=TTL + ALLOWANCE)
    assert bound["seconds"] >= 1 + TTL + ALLOWANCE
    assert "may renew until the claim" in bound["basis"]
    longer = ask(both, one, ttl_seconds=60.0)
    assert longer["seconds"] >= 60


def test_a_dead_holders_loss_does_not_grow_with_the_hours(both: BothWays, one: Regions) -> None:
    """Its lease ended long ago; nothing was committed since."""
    one.renew(ttl_seconds=0.5)
    pretend(one, HOME, 1, utc_now() - SECOND)
    first = eventually(lambda: ended(ask(both, one, ttl_seconds=0.5, clock_allowance_seconds=0.1)), "the end")
    again = ask(both, one, ttl_seconds=0.5, clock_allowance_seconds=0.1)
    assert again == first
    one.lease.claim(one.lease.read(), AWAY, 0.5, allowance=0.1, claimed_by="test")
    claimed = ask(both, one, ttl_seconds=0.5, clock_allowance_seconds=0.1)
    assert (claimed["from"], claimed["until"], claimed["predicted"]) == (first["from"], first["until"], False)


def ended(bound: dict[str, Any]) -> dict[str, Any] | None:
    return bound if "the lease of us-east-1 has ended" in bound["basis"] else None


def test_the_guards_receipt_ends_it_earlier(both: BothWays, one: Regions) -> None:
    pretend(one, HOME, 1, utc_now() - 9 * SECOND)
    view = one.claim(AWAY)
    assert view.record is not None and view.record.previous is not None
    later = ask(both, one)
    key = receipt_key(one.witness.key, HOME, view.record.epoch)
    fenced_at = utc_now()
    body = {"subject": HOME, "epoch": view.record.epoch, "method": "guard_fenced", "fenced_at": to_iso(fenced_at)}
    one.lease.stores[0].put(key, json.dumps(body).encode())
    bound = ask(both, one)
    assert later["until"] == view.record.previous.expires_at
    assert bound["until"] == to_iso(fenced_at)
    assert "the guard of us-east-1 had fenced it by then" in bound["basis"]
    # One that was written the day after, when the region came back, makes the loss no larger.
    tomorrow = {**body, "fenced_at": to_iso(fenced_at + dt.timedelta(days=1))}
    one.lease.stores[0].put(key, json.dumps(tomorrow).encode())
    assert ask(both, one)["until"] == later["until"]


def test_a_position_in_the_lease_counts_where_it_is_replayed(both: BothWays, one: Regions) -> None:
    now = utc_now()
    lsn = pretend(one, HOME, 1, now - 9 * SECOND)
    samples = ((to_iso(now - 5 * SECOND), lsn), (to_iso(now - 2 * SECOND), "F/0"))
    one.renew(samples=samples)
    predicted = ask(both, one)
    one.claim(AWAY)
    stated = ask(both, one)
    assert predicted["from"] == stated["from"] == to_iso(now - 5 * SECOND)
    assert "the position that us-east-1 left in the lease" in stated["basis"]


def test_a_position_of_another_history_does_not_count(both: BothWays, one: Regions) -> None:
    """The target has no heartbeat of the holder's epoch: it may follow another branch, whose positions say nothing."""
    now = utc_now()
    one.claim(HOME)
    lsn = pretend(one, HOME, 1, now - 9 * SECOND)
    one.renew(samples=((to_iso(now - 5 * SECOND), lsn),))
    assert ask(both, one)["from"] == to_iso(now - 9 * SECOND)


def test_heartbeats_of_the_target_itself_do_not_count(both: BothWays, one: Regions) -> None:
    """Whoever asks again after the failover hears the same loss, and not that there was none."""
    now = utc_now()
    pretend(one, HOME, 1, now - 9 * SECOND)
    one.claim(AWAY)
    before = ask(both, one)
    pretend(one, AWAY, 2, now + 99 * SECOND)
    assert ask(both, one) == before
    assert before["from"] == to_iso(now - 9 * SECOND)


def test_a_released_lease(both: BothWays, one: Regions) -> None:
    now = utc_now()
    pretend(one, HOME, 1, now - 9 * SECOND)
    one.lease.release(one.lease.read())
    released = ask(both, one)
    one.claim(AWAY)
    claimed = ask(both, one)
    for bound in (released, claimed):
        assert from_iso(bound["until"]) >= now - SECOND
        assert bound["seconds"] >= 8
    assert "has released the lease" in released["basis"]
    assert "had released the lease" in claimed["basis"]


def test_no_heartbeat_no_bound(both: BothWays, one: Regions) -> None:
    bound = ask(both, one)
    assert (bound["seconds"], bound["from"], bound["until"]) == (None, None, None)
    assert bound["basis"] == "us-west-2 has replayed no heartbeat of us-east-1, nor of who served before it"


def test_no_lease_no_bound(both: BothWays, one: Regions) -> None:
    assert ask(both, one, key="no-such-lease.json")["basis"] == "nobody has ever held lease no-such-lease.json"


def test_who_followed_nobody_lost_nothing_that_is_known(both: BothWays, one: Regions) -> None:
    given = {"servers": one.servers()[:1], "lease": one.witness.option(), "target": HOME}
    bound = both("pg_heartbeat", given)["loss_bound"]
    assert (bound["seconds"], bound["basis"]) == (None, "us-east-1 holds the lease and followed nobody")


def test_a_primary_without_the_lease_has_no_bound(both: BothWays, one: Regions) -> None:
    one.claim(AWAY)
    given = {"servers": one.servers()[:1], "lease": one.witness.option(), "target": HOME}
    bound = both("pg_heartbeat", given)["loss_bound"]
    assert (bound["seconds"], bound["predicted"]) == (None, True)
    assert "is no standby" in bound["basis"]


def test_an_unreachable_witness_gives_no_bound(both: BothWays, one: Regions) -> None:
    pretend(one, HOME, 1, utc_now())
    one.witness.set("refuse")
    bound = ask(both, one)
    assert bound["seconds"] is None
    assert "Check the witness" in bound["basis"]


def test_an_unreachable_target_gives_no_bound(both: BothWays, one: Regions) -> None:
    given = one.bound()
    given["servers"][0]["postgres"]["port"] = 1
    found = both("pg_heartbeat", given)
    assert found["loss_bound"]["seconds"] is None
    assert "Connection refused" in found["loss_bound"]["basis"]


def test_after_a_promotion_the_bound_is_the_same(
    both: BothWays, postgres_factory: PostgresFactory, s3_server: S3Server
) -> None:
    with regions(make_pair(postgres_factory), s3_server) as own:
        with own.heartbeats():
            next_beat(own)
            own.primary.kill()
        own.claim(AWAY)
        before = ask(both, own)
        own.standby.sql("SELECT pg_promote()")
        own.primary, former = own.standby, own.primary
        own.standby = own.primary
        with own.heartbeats(AWAY):
            serving = "SELECT 1 FROM dr.heartbeat WHERE region = 'us-west-2' AND sequence > 1"
            eventually(lambda: own.primary.sql(serving), "heartbeats of the new primary")
            after = ask(both, own)
        own.standby.stop()
    assert former.pid() is None
    assert after == before
    assert after["seconds"] > 0
