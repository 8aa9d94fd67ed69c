"""What a promoted server has written since, on a real pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.guard_support import know_passwords, prepare_database
from tests.unit.servers import PostgresFactory, PostgresServer, eventually


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def pair(postgres_factory: PostgresFactory) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    primary = postgres_factory()
    prepare_database(primary)
    standby = postgres_factory.standby_of(primary)
    know_passwords(standby)
    yield primary, standby
    primary.stop()
    standby.stop()


def info(both: BothWays, server: PostgresServer, *databases: str) -> dict[str, Any]:
    return both(
        "pg_promotion_info",
        {"region": "west", "postgres": server.options("dr_operator"), "databases": list(databases)},
    )


def test_a_standby_has_written_nothing_and_a_promoted_server_what_came_after(
    both: BothWays, pair: tuple[PostgresServer, PostgresServer]
) -> None:
    primary, standby = pair
    primary.sql("INSERT INTO writes (at) SELECT now() FROM generate_series(1, 50)")
    before = info(both, standby, "postgres")
    assert (before["in_recovery"], before["rows"], before["promoted_at"]) == (True, 0, None)
    standby.sql("SELECT pg_promote(true, 30)")
    [(promoted_after,)] = standby.sql("SELECT now() - interval '1 minute'")
    standby.sql("INSERT INTO writes (at) SELECT now() FROM generate_series(1, 7)", "SELECT pg_stat_force_next_flush()")

    def counted() -> dict[str, Any] | None:
        found = info(both, standby, "postgres")
        return found if found["rows"] else None

    after = eventually(counted, "the statistics")
    assert (after["timeline"], after["rows"], after["in_recovery"]) == (2, 7, False)
    written = {"database": "postgres", "schema": "public", "table": "writes"}
    assert after["tables"] == [{**written, "inserted": 7, "updated": 0, "deleted": 0}]
    assert from_iso(after["promoted_at"]) > promoted_after and after["seconds"] >= 0
    assert after["unverified"] == [] and after["evidence"]["rows"] == 7


def test_what_cannot_be_told_is_said(both: BothWays, pair: tuple[PostgresServer, PostgresServer]) -> None:
    primary, _standby = pair
    found = info(both, primary, "postgres", "no_such_database")
    assert found["promoted_at"] is None
    assert any("never promoted" in one for one in found["unverified"])
    assert any("no_such_database" in one for one in found["unverified"])


def test_a_server_that_does_not_answer_is_unverified(
    both: BothWays, pair: tuple[PostgresServer, PostgresServer]
) -> None:
    """The way out of a region that died must not need it."""
    _primary, standby = pair
    standby.stop()
    found = info(both, standby, "postgres")
    assert not found.get("failed"), found
    assert (found["in_recovery"], found["timeline"], found["promoted_at"], found["rows"]) == (None, None, None, 0)
    assert any("west" in one for one in found["unverified"])
