"""health_probe's PostgreSQL checks against a real server."""

from __future__ import annotations

import os
import signal
import typing as t
from pathlib import Path

import pytest

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.probe_servers import closed_port, silent_tcp
from tests.unit.servers import PostgresFactory, PostgresServer, eventually


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


def ask(
    both: BothWays, postgres: dict[str, t.Any], query: str = "SELECT 1", timeout: float = 5, **more: t.Any
) -> tuple[str, str]:
    """Return outcome and reason."""
    points = {"vantage_points": more.pop("vantage_points")} if "vantage_points" in more else {}
    check = {"name": "database", "kind": "postgresql", "postgres": postgres, "query": query, **more}
    given = {"checks": [check], "required": False, "retries": 0, "timeout": timeout, **points}
    result = both("health_probe", given)
    return result["outcome"], result["checks"][0]["reason"]


VALUES = [
    pytest.param(("SELECT 1", None), "passed", "", id="any"),
    pytest.param(("SELECT 41 + 1", "42"), "passed", "", id="number"),
    pytest.param(("SELECT pg_is_in_recovery()", "f"), "passed", "", id="boolean-as-psql-writes-it"),
    pytest.param(("SELECT 1.50::numeric", "1.50"), "passed", "", id="numeric"),
    pytest.param(("SELECT date '2026-01-02'", "2026-01-02"), "passed", "", id="date"),
    pytest.param(("SELECT 'a', 'b'", "a"), "passed", "", id="first-column"),
    pytest.param(("SELECT 41", "42"), "failed", "answers '41', expected '42'", id="another"),
    pytest.param(("SELECT NULL", "1"), "failed", "answers NULL", id="null"),
    pytest.param(("SELECT 1 WHERE false", None), "failed", "returned 0 rows", id="no-row"),
    pytest.param(("SELECT generate_series(1, 2)", None), "failed", "returned 2 rows", id="two-rows"),
    pytest.param(("SELECT nothing", None), "failed", 'column "nothing" does not exist', id="error"),
    pytest.param(("DEALLOCATE ALL", None), "failed", "returned no rows", id="no-result"),
    pytest.param(("CREATE TABLE written (id int)", None), "failed", "in a read-only transaction", id="a-write"),
]


@pytest.mark.parametrize(("asked", "outcome", "reason"), VALUES)
def test_the_value(
    both: BothWays, postgres_server: PostgresServer, asked: tuple[str, str | None], outcome: str, reason: str
) -> None:
    query, expected = asked
    more = {} if expected is None else {"expect": expected}
    told = ask(both, postgres_server.options(), query, **more)
    assert told[0] == outcome
    assert reason in told[1]


def test_a_server_that_does_not_answer_fails(both: BothWays, postgres_server: PostgresServer) -> None:
    options = postgres_server.options()
    assert ask(both, {**options, "port": closed_port(), "host": "127.0.0.1"})[0] == "failed"
    with silent_tcp() as silent:
        host, port = silent.split(":")
        outcome, reason = ask(both, {**options, "host": host, "port": int(port)}, timeout=0.3)
    assert (outcome, "no answer within 0.3 s" in reason) == ("failed", True)


def test_a_query_that_takes_too_long_fails(both: BothWays, postgres_server: PostgresServer) -> None:
    query = "SELECT pg_sleep(60) /* too long */"
    outcome, reason = ask(both, postgres_server.options(), query, timeout=0.5)
    assert outcome == "failed"
    assert "no answer within 0.5 s" in reason or "statement timeout" in reason
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%too%long%' AND pid != pg_backend_pid()"
    eventually(lambda: postgres_server.sql(running) == [(0,)], "the end of the query")


def test_a_frozen_server_fails(both: BothWays, postgres_factory: PostgresFactory) -> None:
    """Its kernel still takes connections and acknowledges what is sent; only a deadline of ours helps."""
    server = postgres_factory()
    pid = server.pid()
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        outcome, reason = ask(both, server.options(), timeout=0.5)
    finally:
        os.kill(pid, signal.SIGCONT)
        server.stop()
    assert (outcome, "no answer within 0.5 s" in reason) == ("failed", True)


def test_credentials_that_are_wrong_tell_nothing_of_the_server(
    both: BothWays, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:*:wrong-and-secret\n")
    passfile.chmod(0o600)
    outcome, reason = ask(both, {**postgres_server.options(), "passfile": str(passfile)})
    assert outcome == "unverified"
    assert "cannot log in" in reason
    assert "wrong-and-secret" not in reason


def test_it_is_asked_from_the_vantage_points_that_can(both: BothWays, postgres_server: PostgresServer) -> None:
    bound = {"name": "bound", "source_address": "127.9.9.9"}
    options = postgres_server.options()
    assert ask(both, options, vantage_points=[{"name": "here"}, bound])[0] == "passed"
    outcome, reason = ask(both, options, vantage_points=[bound])
    assert (outcome, "libpq cannot bind a source address" in reason) == ("unverified", True)
