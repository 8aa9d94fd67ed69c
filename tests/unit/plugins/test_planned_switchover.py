"""A switchover loses nothing: claim, orderly fence, replay of the last record, promotion; real pair, real guard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.guard_support import Guard, Witness, Writer, know_passwords, prepare_database
from tests.unit.servers import PostgresFactory, PostgresServer, S3Server, eventually


@dataclass
class Scene:
    """A guarded primary in east that serves, its standby in west, and the lease between them."""

    both: BothWays
    primary: PostgresServer
    standby: PostgresServer
    guard: Guard
    option: dict[str, Any]

    def fence(self, **more: Any) -> dict[str, Any]:
        arguments = {"lease": self.option, "subject": "east", "claimant": "west", "claimed_by": "SW-1", **more}
        return self.both("pg_fence", {"planned": True, **arguments})

    def promote(self, fenced: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
        arguments = {
            "postgres": self.standby.options("dr_operator"),
            "region": "west",
            "subject": "east",
            "lease": self.option,
            "receipts": fenced["receipts"],
            "planned": True,
            "shutdown_lsn": fenced["shutdown_lsn"],
            "wait_timeout": 30,
            **more,
        }
        return self.both("pg_promote", arguments, check)


@pytest.fixture(params=["main", "action"])
def scene(
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    postgres_factory: PostgresFactory,
    s3_server: S3Server,
) -> Iterator[Scene]:
    primary = postgres_factory()
    prepare_database(primary)
    standby = postgres_factory.standby_of(primary)
    know_passwords(standby)
    witness = Witness(s3_server)
    guard = Guard(primary, "east", witness.option(), bootstrap=True)
    guard.start().becomes("serving")
    yield Scene(BothWays(request.param, capsys), primary, standby, guard, witness.option())
    guard.end()
    witness.close()
    primary.stop()
    standby.stop()


def identifiers(server: PostgresServer) -> set[int]:
    return {row[0] for row in server.sql("SELECT id FROM writes")}


def test_every_acknowledged_write_is_there_after_a_switchover_under_load(scene: Scene) -> None:
    writer = Writer(scene.primary).start(time.time)
    eventually(lambda: len(identifiers(scene.primary)) > 20, "some writes")
    fenced = scene.fence()
    acknowledged = {number for number, _at in writer.stop()}
    assert fenced["fenced"] and fenced["shutdown_lsn"], fenced
    assert "guard_fenced" in [one["method"] for one in fenced["receipts"]]
    assert scene.promote(fenced, check=True)["changed"]
    promoted = scene.promote(fenced)
    assert promoted["promoted"] and promoted["evidence"]["shutdown_lsn"] == fenced["shutdown_lsn"]
    assert [wait["name"] for wait in promoted["waits"]] == ["replay", "promotion"]
    assert acknowledged and acknowledged <= identifiers(scene.standby)


def test_a_standby_that_has_not_replayed_everything_is_not_promoted(scene: Scene) -> None:
    scene.standby.sql("SELECT pg_wal_replay_pause()")
    scene.primary.sql("INSERT INTO writes (at) SELECT now() FROM generate_series(1, 100)")
    fenced = scene.fence()
    assert fenced["shutdown_lsn"], fenced
    refused = scene.promote(fenced, wait_timeout=1)
    assert refused["failed"] and fenced["shutdown_lsn"] in refused["msg"], refused
    assert "region_failover_rollback.yml" in refused["msg"]
    assert scene.standby.sql("SELECT pg_is_in_recovery()") == [(True,)]
    scene.standby.sql("SELECT pg_wal_replay_resume()")
    assert scene.promote(fenced)["promoted"]
    assert len(identifiers(scene.standby)) >= 100


def test_without_the_guards_word_on_an_orderly_stop_nothing_is_promoted(scene: Scene) -> None:
    """The lease runs out: that fences, and says nothing of what the standby lacks."""
    scene.guard.end()
    scene.primary.kill()
    fenced = scene.fence()
    assert fenced["fenced"] and fenced["shutdown_lsn"] is None
    assert [one["method"] for one in fenced["receipts"]] == ["lease_expired"]
    refused = scene.promote(fenced)
    assert refused["failed"] and "stopped in order" in refused["msg"]
    assert scene.standby.sql("SELECT pg_is_in_recovery()") == [(True,)]
