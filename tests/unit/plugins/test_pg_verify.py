"""pg_verify on healthy clusters of many shapes: no false alarm; and what it returns on every path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.verify_support import Corpus, ScratchServer, build, dump_and_load

KEYS = {
    "added_extensions", "changed", "evidence", "facts", "outcome", "problems", "rungs", "seconds", "unverified",
}  # fmt: skip
RUNGS = ["isolated", "structure", "completeness", "invariants", "freshness"]


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture(scope="module")
def corpus(servers_directory: Path) -> Iterator[Corpus]:
    directory = servers_directory / "verify"
    directory.mkdir(mode=0o755)
    yield build(directory, lambda arguments: run_action("pg_verify", arguments))


@pytest.fixture(scope="module")
def healthy(corpus: Corpus) -> Iterator[ScratchServer]:
    server = corpus.clone()
    yield server
    server.remove()


def verify(arguments: dict[str, Any]) -> dict[str, Any]:
    return run_action("pg_verify", arguments)


def everything(corpus: Corpus, server: ScratchServer, **more: Any) -> dict[str, Any]:
    """Options for all databases of a copy of the corpus."""
    expectations = {**corpus.expectations(), "facts": corpus.facts, **more}
    return {"postgres": server.options(), "scratch": True, "jobs": 2, "expectations": expectations}


def test_healthy_in_every_shape(both: BothWays, corpus: Corpus, healthy: ScratchServer) -> None:
    result = both("pg_verify", everything(corpus, healthy))
    assert result["problems"] == [] and result["unverified"] == []
    assert set(result) >= KEYS and result["outcome"] == "passed" and result["facts"] is None
    assert [rung["rung"] for rung in result["rungs"]] == RUNGS


def test_healthy_after_a_crash_that_empties_unlogged_tables(corpus: Corpus) -> None:
    server = corpus.clone()
    server.kill()
    server.start()
    assert server.sql_in("shop", "SELECT count(*) FROM passing") == [(0,)]
    result = verify(everything(corpus, server))
    assert result["problems"] == [] and result["unverified"] == [] and result["outcome"] == "passed"
    server.remove()


def test_healthy_after_dump_and_load(corpus: Corpus, healthy: ScratchServer, tmp_path: Path) -> None:
    target = corpus.clone(corpus.empty)
    dump_and_load(healthy, target, tmp_path)
    result = verify(everything(corpus, target, physical=False))
    assert result["problems"] == [] and result["unverified"] == [] and result["outcome"] == "passed"
    target.remove()


def test_facts_hold_no_secret_and_no_rows(both: BothWays, healthy: ScratchServer) -> None:
    result = both("pg_verify", {"postgres": healthy.options(), "capture": True})
    assert set(result) >= KEYS and result["rungs"] == [] and result["outcome"] == "passed"
    text = json.dumps(result["facts"])
    assert "SCRAM-SHA-256" not in text and "a-password" not in text and "customer 7" not in text and "8MB" not in text
    shop = result["facts"]["databases"]["shop"]
    assert shop["tables"]["public.orders"]["rows"] == 600 and shop["tables"]["public.measures"]["rows"] == 400
    assert shop["sequences"]["stock.invoice"]["last"] == 400 and shop["large_objects"] == 1
    assert "closed" not in result["facts"]["databases"]
