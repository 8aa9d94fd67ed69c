"""What pg_verify could not look at is unverified, never passed, and never failed either."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.verify_isolated import check_libraries
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.verify_pool import Progress
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.verify_rung import MOST, Rung

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.verify_support import Corpus, ScratchServer, build
from tests.unit.servers import eventually

RUNGS = ["isolated", "structure", "completeness", "invariants", "freshness"]


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture(scope="module")
def corpus(servers_directory: Path) -> Iterator[Corpus]:
    directory = servers_directory / "verify-unverified"
    directory.mkdir(mode=0o755)
    yield build(directory, lambda arguments: run_action("pg_verify", arguments))


@pytest.fixture
def server(corpus: Corpus) -> Iterator[ScratchServer]:
    server = corpus.clone()
    yield server
    server.remove()


def outcomes(result: dict[str, Any]) -> dict[str, str]:
    return {rung["rung"]: rung["outcome"] for rung in result["rungs"]}


def test_no_server(both: BothWays, corpus: Corpus) -> None:
    server = corpus.clone(start=False)
    result = both("pg_verify", corpus.arguments(server))
    assert outcomes(result) == dict.fromkeys(RUNGS, "unverified") and result["outcome"] == "unverified"
    assert result["problems"] == [] and "Start it" in result["unverified"][0]
    refused = both("pg_verify", {"postgres": server.options(), "capture": True})
    assert refused["failed"] and "Start it" in refused["msg"]
    server.remove()


def test_no_permission(both: BothWays, corpus: Corpus, server: ScratchServer) -> None:
    arguments = {**corpus.arguments(server), "postgres": server.options("nobody_special")}
    result = both("pg_verify", arguments)
    assert outcomes(result) == dict.fromkeys(RUNGS, "unverified"), result["problems"]
    told = "\n".join(result["unverified"])
    assert "permission denied" in told and "Grant pg_read_all_settings" in told


def test_rows_that_row_security_hides(corpus: Corpus, server: ScratchServer) -> None:
    server.sql_in("shop", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO nobody_special")
    bound = {"database": "shop", "table": "customers", "minimum": 1}
    arguments = corpus.arguments(server, rungs=["invariants"], expectations={"row_counts": [bound], "invariants": []})
    result = run_action("pg_verify", {**arguments, "postgres": server.options("nobody_special")})
    assert outcomes(result) == {"invariants": "unverified"} and "row-level security" in result["unverified"][0]


@contextlib.contextmanager
def locked(server: ScratchServer) -> Iterator[None]:
    """Somebody has a table for themselves."""
    with contextlib.closing(server.session("shop")) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE archive IN ACCESS EXCLUSIVE MODE")
        yield


def test_table_that_is_locked(corpus: Corpus, server: ScratchServer) -> None:
    server.sql_in("shop", "CREATE EXTENSION amcheck", "CREATE EXTENSION pageinspect")
    with locked(server):
        result = run_action("pg_verify", corpus.arguments(server, rungs=["structure"], lock_timeout=0.2))
    assert outcomes(result) == {"structure": "unverified"}
    assert "database shop could not be checked: canceling statement due to lock timeout" in result["unverified"][0]


def test_server_that_is_killed_half_way(corpus: Corpus, server: ScratchServer) -> None:
    server.sql_in("shop", "CREATE EXTENSION amcheck", "CREATE EXTENSION pageinspect")
    found: list[dict[str, Any]] = []
    arguments = corpus.arguments(server, lock_timeout=500.0, statement_timeout=500.0)
    thread = threading.Thread(target=lambda: found.append(run_action("pg_verify", arguments)))
    with contextlib.suppress(Exception), locked(server):  # its own session dies, too
        thread.start()
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'archive'::regclass"
        eventually(lambda: server.sql_in("shop", waiting), "the check that waits for the lock")
        server.kill()
    thread.join(120)
    [result] = found
    assert result["problems"] == []
    expected = {"isolated": "passed", **dict.fromkeys(RUNGS[1:], "unverified")}
    assert outcomes(result) == expected and result["outcome"] == "unverified"


def test_run_that_takes_too_long(corpus: Corpus, server: ScratchServer) -> None:
    result = run_action("pg_verify", corpus.arguments(server, timeout=0.000001))
    assert outcomes(result) == dict.fromkeys(RUNGS, "unverified") and "Raise timeout" in result["unverified"][0]


INSTALLED = "SELECT count(*) FROM pg_extension WHERE extname IN ('amcheck', 'pageinspect')"


@pytest.mark.parametrize(
    ("scratch", "owner", "check", "added", "words"),
    [
        (True, True, False, 2, ""),
        (True, True, True, 0, "check mode adds nothing"),
        (True, False, False, 0, "there is no owner.json above its data directory"),
        (False, True, False, 0, "say scratch: true"),
    ],
)
def test_extensions_are_added_to_what_is_certainly_scratch(
    scratch: bool, owner: bool, check: bool, added: int, words: str, corpus: Corpus, server: ScratchServer
) -> None:
    if not owner:
        (server.directory / "owner.json").unlink()
    arguments = corpus.arguments(server, rungs=["structure"], scratch=scratch)
    result = run_action("pg_verify", arguments, check)
    assert server.sql_in("shop", INSTALLED) == [(added,)]
    assert outcomes(result) == {"structure": "unverified" if words else "passed"}
    assert words in "\n".join(result["unverified"])
    assert result["changed"] == bool(result["added_extensions"]) == (scratch and owner)
    again = run_action("pg_verify", arguments, check)
    assert again["changed"] == (result["changed"] and check) and outcomes(again) == outcomes(result)


def test_without_facts_nothing_tells_what_is_missing(corpus: Corpus, server: ScratchServer) -> None:
    arguments = corpus.arguments(server, "empty", rungs=["completeness"])
    result = run_action("pg_verify", {**arguments, "expectations": {}})
    assert outcomes(result) == {"completeness": "unverified"} and "is not known" in result["unverified"][0]


def test_facts_of_nobody_and_moments_that_are_none(corpus: Corpus, server: ScratchServer) -> None:
    expectations = {"facts": {"version": 7}, "as_of": "yesterday"}
    arguments = corpus.arguments(server, rungs=["completeness", "freshness"], expectations=expectations)
    result = run_action("pg_verify", arguments)
    assert outcomes(result) == {"completeness": "unverified", "freshness": "unverified"}
    assert "version 7" in result["unverified"][0] and any("'yesterday'" in one for one in result["unverified"])


def test_what_is_ignored_is_said(corpus: Corpus, server: ScratchServer) -> None:
    server.sql_in("shop", "DROP TABLE child")
    arguments = corpus.arguments(server, rungs=["completeness"], expectations={"ignore": ["public.chil*", "*.child"]})
    [rung] = run_action("pg_verify", arguments)["rungs"]
    assert rung["outcome"] == "passed" and rung["details"]["ignored"] == ["public.child"]


def test_a_serving_cluster_is_not_asked_whether_it_is_isolated(corpus: Corpus, server: ScratchServer) -> None:
    result = run_action("pg_verify", corpus.arguments(server, scratch=False))
    assert "isolated" not in outcomes(result)


def test_progress_says_how_far_it_is(corpus: Corpus, server: ScratchServer, tmp_path: Path) -> None:
    run_action("pg_verify", corpus.arguments(server, rungs=["structure"], progress_file=str(tmp_path / "progress")))
    lines = (tmp_path / "progress").read_text().splitlines()
    assert " structure: begins" in lines[0] and lines[-1].endswith(" structure: passed")
    assert any(" objects, " in line and " MB" in line for line in lines)


@pytest.mark.parametrize("preloaded", ["pg_cron", '"$libdir/pg_cron"', "pg_stat_statements, timescaledb"])
def test_libraries_that_run_jobs(preloaded: str) -> None:
    rung = Rung("isolated")
    check_libraries(rung, preloaded)
    assert rung.outcome == "failed" and "whose jobs would run here" in rung.reasons("failed")[0]


def test_a_rung_tells_so_many_reasons_and_how_many_more() -> None:
    rung = Rung("structure")
    check_libraries(rung, "pg_stat_statements, auto_explain")
    assert rung.outcome == "passed"
    for number in range(MOST + 5):
        rung.failed(f"page {number:04} is damaged")
    assert len(rung.reasons("failed")) == MOST + 1 and rung.reasons("failed")[-1] == "and 5 more of these"
    Progress(None).tell("nobody listens", now=True)
