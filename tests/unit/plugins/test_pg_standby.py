"""pg_standby against real pairs: a primary that returns becomes a standby of the one that took over."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.standby_support import Pair, make_pair
from tests.unit.servers import PostgresFactory, S3Server, kill

KEYS = {
    "bytes_copied", "changed", "diff", "diverged", "end", "evidence", "fork", "kept", "lag_bytes", "log", "method",
    "reason", "region", "running", "seconds", "slot", "slots_removed", "source_lsn", "source_timeline", "streaming",
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
    manifest = Path(pair.save(tmp_path)["manifest"])
    right = manifest.read_text()
    manifest.write_text(json.dumps({**json.loads(right), "last_change_lsn": "0/1"}))
    assert "pg_divergence again" in pair.call(divergence_saved=str(manifest))["msg"]
    manifest.write_text(right)
    own = pair.own_files("log/yesterday.log")
    done = pair.call(divergence_saved=str(manifest))
    assert (done["method"], done["changed"], done["kept"]) == ("rewind", True, []), done
    assert done["bytes_copied"] > 0 and "servers diverged" in Path(done["log"]).read_text()
    assert done["evidence"]["divergence"] == f"saved: {manifest}"
    assert pair.own_files("log/yesterday.log") == own
    pair.streams_after_start()
    assert pair.left_over() == []


def test_wal_without_a_committed_write_is_no_loss(pair: Pair) -> None:
    """A primary that was cut off writes its last checkpoint where nobody gets it."""
    pair.promote_west()
    pair.east.stop("fast")
    assert pair.call(check=True)["diverged"]
    done = pair.call()
    assert done["method"] == "rewind" and done["evidence"]["divergence"].startswith("nothing to lose: no commit"), done
    pair.streams_after_start()


def test_a_crash_is_recovered_from_where_nobody_can_connect(pair: Pair) -> None:
    pair.diverge(crash=True)
    done = pair.call(acceptance=ACCEPTANCE)
    assert (done["method"], done["evidence"]["divergence"]) == ("rewind", f"accepted: {ACCEPTANCE}"), done
    pair.streams_after_start()


@pytest.fixture
def unhinted(postgres_factory: PostgresFactory, both: BothWays) -> Iterator[Pair]:
    """A pair with neither checksums nor hints: pg_rewind cannot work."""
    made = make_pair(postgres_factory, both, hints=False)
    yield made
    made.end()


def test_without_checksums_and_hints_it_is_copied_beside_and_the_old_one_kept(unhinted: Pair) -> None:
    pair = unhinted
    pair.diverge()
    assert "wal_log_hints" in pair.call(method="rewind", acceptance=ACCEPTANCE)["msg"]
    predicted = pair.call(check=True, acceptance=ACCEPTANCE)
    assert (predicted["method"], predicted["evidence"]["needs"]) == ("copy", None), predicted
    own, inode = pair.own_files(), os.stat(pair.east.data).st_ino
    done = pair.call(acceptance=ACCEPTANCE)
    assert (done["method"], "wal_log_hints" in done["reason"], done["changed"]) == ("copy", True, True), done
    kept = done["kept"][0]
    assert kept["path"] == f"{pair.east.data}.kept-INC-7" and kept["bytes"] > 10_000_000
    assert os.stat(kept["path"]).st_ino == inode
    assert done["bytes_copied"] > 10_000_000 and done["evidence"]["disk"]["free"] > done["evidence"]["disk"]["needed"]
    assert pair.own_files() == own
    pair.streams_after_start()


def test_a_standby_that_was_left_behind_on_an_old_timeline_is_brought_over(pair: Pair) -> None:
    """East becomes the standby of west, misses the end of west's timeline, and finds a third one promoted."""
    pair.switch_over()
    assert pair.call()["method"] == "follow"
    pair.east.start()
    assert pair.call(state="streaming")["streaming"]
    third = pair.third()
    third.sql("SELECT pg_promote()")
    pair.write(pair.west, 300)  # east follows west past the fork
    pair.caught_up()
    pair.west.stop()
    former, pair.west = pair.west, third
    refused = pair.call()
    assert refused["failed"] and refused["diverged"] and refused["timeline"] == 2, refused
    assert pair.east.pid() is not None and refused["changed"] is False
    done = pair.call(acceptance=ACCEPTANCE)
    assert (done["method"], done["source_timeline"], done["slot"]["created"]) == ("rewind", 3, True), done
    pair.streams_after_start()
    former.stop()


def test_what_is_no_primary_or_another_system_or_down_is_not_followed(
    pair: Pair, postgres_factory: PostgresFactory
) -> None:
    pair.east.stop("fast")
    before = pair.data_directory_listing()
    standby = pair.call()
    assert standby["failed"] and "standby itself" in standby["msg"] and standby["changed"] is False
    assert set(standby) >= KEYS
    other = pair.other_system(postgres_factory)
    refused = pair.call(source=other)
    assert "never one cluster" in refused["msg"], refused
    pair.west.stop()
    down = pair.call()
    assert "may still be down" in down["msg"], down
    assert pair.data_directory_listing() == before


def test_a_running_primary_and_a_server_of_other_files_are_left_alone(pair: Pair) -> None:
    pair.promote_west()
    assert "runs as a primary" in pair.call()["msg"]
    pair.east.stop("fast")
    pair.call(acceptance=ACCEPTANCE)
    pair.east.start()
    assert pair.call(state="streaming")["streaming"]
    wrong = pair.call(postgres=pair.west.options("dr_operator"))
    assert wrong["failed"] and "accepts writes" in wrong["msg"], wrong


def test_only_the_holder_of_the_lease_is_followed(pair: Pair, s3_server: S3Server) -> None:
    option = {
        "key": f"{uuid.uuid4().hex}.json",
        "ttl_seconds": 5.0,
        "clock_allowance_seconds": 0.2,
        "stores": [s3_server.store("standbys")],
    }
    lease = Lease.from_options(option)
    lease.claim(lease.read(), "east", 5.0, allowance=0.2, claimed_by="test")
    pair.switch_over()
    refused = pair.call(lease=option, source_region="west")
    assert refused["failed"] and "east holds lease" in refused["msg"] and not pair.is_standby(), refused
    lease.claim(lease.read(), "west", 5.0, allowance=0.2, claimed_by="test")
    assert pair.call(lease=option, source_region="west")["method"] == "follow"


def test_wal_that_is_gone_from_the_source_is_no_way_to_follow(pair: Pair) -> None:
    pair.switch_over()
    pair.forget_wal()
    predicted = pair.call(check=True)
    assert (predicted["method"], predicted["diverged"]) == ("copy", False) and "no WAL file" in predicted["reason"]
    assert "no WAL file" in pair.call(method="follow")["msg"]
    done = pair.call()
    assert (done["method"], done["evidence"]["divergence"]) == ("copy", "nothing to lose"), done
    pair.streams_after_start()


def test_a_copy_that_does_not_fit_or_cannot_be_swapped_is_refused(pair: Pair) -> None:
    pair.switch_over()
    elsewhere = Path("/dev/shm")
    assert "not on its file system" in pair.call(method="copy", keep_directory=str(elsewhere))["msg"]
    assert not pair.is_standby() and pair.left_over() == []
    assert "plain name" in pair.call(incident="../INC")["msg"]
    assert "password" in pair.call(conninfo={"password": "secret"})["msg"]


def test_a_fenced_pg_hba_stays_closed_until_it_is_a_standby(pair: Pair) -> None:
    """The file of the lease guard, and the original beside it, are the region's own; west's are not taken over."""
    pair.diverge()
    hba = pair.east.data / "pg_hba.conf"
    original = hba.read_bytes() + b"# of east\n"
    hba.with_name("pg_hba.conf.dr-open").write_bytes(original)
    hba.write_text("# FENCED by the disaster-recovery lease guard.\nhost all all all reject\n")
    (pair.west.data / "pg_hba.conf.dr-open").write_text("# of west\n")
    (pair.west.data / "only-in-west.conf").write_text("# of west\n")
    assert pair.call()["failed"] and hba.read_text().startswith("# FENCED")
    assert pair.call(acceptance=ACCEPTANCE)["method"] == "rewind"
    assert hba.read_bytes() == original and not (pair.east.data / "only-in-west.conf").exists()
    pair.streams_after_start()


def test_a_missing_slot_is_made_and_one_that_is_in_use_is_refused(pair: Pair) -> None:
    pair.switch_over()
    other = pair.occupy_slot()
    assert "another standby uses it" in pair.call(wait_timeout=1)["msg"]
    done = pair.call(slot="east_2")
    assert done["slot"] == {"name": "east_2", "created": True} and done["method"] == "follow", done
    kill(other)


def test_a_data_directory_that_is_none_is_named(pair: Pair, tmp_path: Path) -> None:
    refused = pair.call(data_directory=str(tmp_path))
    assert refused["failed"] and str(tmp_path) in refused["msg"], refused
