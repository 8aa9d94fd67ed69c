"""pg_promote that is cut off, comes late or finds its work half done: it says what is known, and converges."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.guard_support import ALLOWANCE, TTL
from tests.unit.plugins.heartbeat_support import AWAY, HOME, Regions, make_pair, regions
from tests.unit.plugins.test_pg_promote import KEYS
from tests.unit.servers import PostgresFactory, S3Server, eventually


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def own(postgres_factory: PostgresFactory, s3_server: S3Server) -> Iterator[Regions]:
    """A pair of its own, fenced by a lease that HOME had released and AWAY has claimed."""
    with regions(make_pair(postgres_factory), s3_server) as found:
        found.lease.release(found.lease.read())
        found.claim(AWAY)
        yield found
        found.primary.stop()
        found.standby.stop()


def promote(both: BothWays, own: Regions, check: bool = False, **more: Any) -> dict[str, Any]:
    receipt = {"subject": HOME, "method": "lease_released", "epoch": own.epoch}
    given = {
        "postgres": own.options(own.standby),
        "region": AWAY,
        "subject": HOME,
        "lease": own.witness.option(),
        "receipts": [receipt],
        "wait_timeout": 30,
        **more,
    }
    found = both("pg_promote", given, check)
    assert set(found) - {"failed", "msg", "exception"} == KEYS, found
    return found


def test_whoever_was_killed_after_the_order_proves_the_write_in_the_next_run(both: BothWays, own: Regions) -> None:
    own.standby.sql("SELECT pg_promote()")
    assert promote(both, own, check=True)["changed"] is False
    assert own.standby.sql("SELECT count(*) FROM dr.probe") == [(0,)]
    found = promote(both, own)
    assert (found["changed"], found["promoted"], found["timeline"], found["waits"]) == (False, True, 2, [])
    assert own.standby.sql("SELECT region FROM dr.probe") == [(AWAY,)]


def test_a_write_that_cannot_be_proved_does_not_hide_the_promotion(both: BothWays, own: Regions) -> None:
    own.primary.sql("ALTER TABLE dr.probe RENAME TO probe_away")
    own.replays()
    found = promote(both, own)
    assert found["failed"]
    assert "Failed to prove a write" in found["msg"]
    assert "schema.sql" in found["msg"]
    assert (found["changed"], found["promoted"]) == (True, True)
    assert found["diff"] == {"before": {"in_recovery": True}, "after": {"in_recovery": False}}
    own.standby.sql("ALTER TABLE dr.probe_away RENAME TO probe")
    again = promote(both, own)
    assert (again["changed"], again["promoted"], again.get("failed")) == (False, True, None)


def test_a_session_that_is_cut_during_the_order_is_taken_up_again(both: BothWays, own: Regions) -> None:
    """The replay waits for a lock that another session holds, so that the promotion takes until that one ends."""
    blocker = own.standby.connect("app")
    own.standby.sql("ALTER SYSTEM SET max_standby_streaming_delay = -1", "SELECT pg_reload_conf()")
    with contextlib.closing(blocker), blocker.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM writes")
        own.primary.sql("ALTER TABLE writes ADD COLUMN more int")  # its lock is replayed once the reader ends

        def cut() -> None:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT CASE %pg_promote%'"
            eventually(lambda: own.standby.sql(query), "the order")
            cursor.execute("COMMIT")

        thread = threading.Thread(target=cut)
        thread.start()
        found = promote(both, own)
        thread.join()
    assert not found.get("failed"), found
    assert (found["changed"], found["promoted"]) == (True, True)
    assert [wait["name"] for wait in found["waits"]] == ["promotion"]


def test_a_promotion_that_does_not_end_in_time_is_reported_as_ordered(both: BothWays, own: Regions) -> None:
    blocker = own.standby.connect("app")
    own.standby.sql("ALTER SYSTEM SET max_standby_streaming_delay = -1", "SELECT pg_reload_conf()")
    with contextlib.closing(blocker), blocker.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM writes")
        own.primary.sql("ALTER TABLE writes ADD COLUMN more int")
        waiting = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event_type = 'Lock'"
        eventually(lambda: own.standby.sql(waiting), "the replay to wait for the reader")
        found = promote(both, own, wait_timeout=1)
        cursor.execute("COMMIT")
    assert found["failed"]
    assert "was ordered and did not end within 1 s" in found["msg"]
    assert found["changed"] is True
    assert found["promoted"] is not True
    assert [wait["name"] for wait in found["waits"]] == ["promotion"]
    eventually(lambda: own.standby.sql("SELECT NOT pg_is_in_recovery()")[0][0], "the promotion that was ordered")
    assert promote(both, own)["promoted"] is True


def test_a_paused_replay_does_not_stop_a_promotion(both: BothWays, own: Regions) -> None:
    own.standby.sql("SELECT pg_wal_replay_pause()")
    own.write()
    found = promote(both, own)
    assert found["promoted"] is True
    assert own.lost() == []  # what was received is replayed before the new timeline begins


def test_in_check_mode_the_end_that_the_lease_names_is_awaited_by_nobody(both: BothWays, own: Regions) -> None:
    lease = Lease.from_options(own.witness.option())
    lease.claim(lease.read(), HOME, TTL, allowance=ALLOWANCE, claimed_by="test")
    view = own.claim(AWAY)
    assert view.record is not None and view.record.previous is not None
    receipt = {"subject": HOME, "method": "lease_expired", "epoch": own.epoch}
    named = {**receipt, "certain_at": view.record.previous.expires_at}
    assert promote(both, own, check=True, receipts=[named])["changed"] is True
    assert promote(both, own, receipts=[named])["failed"]
    assert promote(both, own, check=True, receipts=[{**receipt, "certain_at": "2026-01-01T00:00:00Z"}])["failed"]
    assert own.standby.sql("SELECT pg_is_in_recovery()") == [(True,)]


def test_a_wait_of_nothing_is_refused(both: BothWays, own: Regions) -> None:
    found = promote(both, own, wait_timeout=0)
    assert "wait_timeout is 0 s" in found["msg"]
    assert found["changed"] is False


def test_an_unreachable_witness_changes_nothing(both: BothWays, own: Regions) -> None:
    own.witness.set("refuse")
    found = promote(both, own)
    assert "Check the witness" in found["msg"]
    assert (found["changed"], found["promoted"]) == (False, None)
    assert own.standby.sql("SELECT pg_is_in_recovery()") == [(True,)]
