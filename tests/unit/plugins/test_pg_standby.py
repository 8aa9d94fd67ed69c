"""pg_standby against real pairs: a primary that returns becomes a standby of the one that took over."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.standby_support import SLOT, Pair, make_pair
from tests.unit.servers import PostgresFactory, S3Server

KEYS = {
    "bytes_copied", "changed", "diff", "diverged", "end", "evidence", "fork", "kept", "lag_bytes", "log", "method", "reason",
    "region", "running", "seconds", "slot", "slots_removed", "source_lsn", "source_timeline", "streaming",
    "system_identifier", "timeline", "waits",
}  # fmt: skip
ACCEPTANCE = "discard the divergent writes of east"


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def pair(postgres_factory: PostgresFactory, both: BothWays) -> Iterator[Pair]:
    """East, which was primary, and west, which follows it."""
    made = make_pair(postgres_factory, both)
    yield made
    made.end()


def test_after_a_clean_switchover_it_follows_and_copies_nothing(pair: Pair) -> None:
    pair.switch_over()
    predicted = pair.call(check=True)
    assert (predicted["method"], predicted["changed"], pair.is_standby()) == ("follow", True, False), predicted
    done = pair.call()
    assert set(done) >= KEYS and (done["method"], done["changed"], done["diverged"]) == ("follow", True, False), done
    assert done["end"] == done["fork"] and (done["timeline"], done["source_timeline"]) == (1, 2)
    assert (done["bytes_copied"], done["kept"], done["slots_removed"]) == (0, [], ["standby"])
    pair.east.start()
    streaming = pair.call(state="streaming")
    assert (streaming["streaming"], streaming["changed"], streaming["waits"][0]["name"]) == (
        True,
        False,
        "standby_catch_up",
    )
    pair.is_replicated()
    again = pair.call()
    assert (again["changed"], again["method"], again["streaming"], again["running"]) == (False, None, True, True), again


def test_divergent_writes_are_rewound_only_once_they_are_saved(pair: Pair, tmp_path: Path) -> None:
    pair.diverge()
    refused = pair.call()
    assert refused["failed"] and "pg_divergence" in refused["msg"] and ACCEPTANCE in refused["msg"], refused
    assert not pair.is_standby()
    predicted = pair.call(check=True)
    assert (predicted["method"], predicted["diverged"]) == ("rewind", True) and predicted["evidence"]["needs"], (
        predicted
    )
    manifest = tmp_path / "manifest.json"
    saved = {name: refused[name] for name in ("system_identifier", "fork", "end")}
    manifest.write_text(json.dumps({**saved, "end": "0/1"}))
    assert "pg_divergence again" in pair.call(divergence_saved=str(manifest))["msg"]
    manifest.write_text(json.dumps(saved))
    own = pair.own_files()
    done = pair.call(divergence_saved=str(manifest))
    assert (done["method"], done["changed"], done["kept"]) == ("rewind", True, []), done
    assert done["bytes_copied"] > 0 and "servers diverged" in Path(done["log"]).read_text()
    assert done["evidence"]["divergence"] == f"saved: {manifest}"
    assert pair.own_files() == own
    pair.streams_after_start()
    assert pair.left_over() == []


def test_a_crash_is_recovered_from_where_nobody_can_connect(pair: Pair) -> None:
    pair.diverge(crash=True)
    done = pair.call(acceptance=ACCEPTANCE)
    assert (done["method"], done["evidence"]["divergence"]) == ("rewind", f"accepted: {ACCEPTANCE}"), done
    pair.streams_after_start()
