"""The last transaction before the damage: real backups, real WAL, damage of every kind, found without being told."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import backrest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError

from tests.unit.plugins.bisect_support import DAMAGES, Keeper, Story
from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.logical_support import small_disk
from tests.unit.servers import PostgresFactory, eventually

pytestmark = pytest.mark.skipif(
    shutil.which("pgbackrest") is None, reason="pgbackrest is not installed here: apt-get install pgbackrest"
)
ALWAYS = {"name": "always", "query": "SELECT 1", "expect": "1"}
NEVER = {"name": "never", "query": "SELECT 1", "expect": "2"}
#: what every result has
KEYS = {"outcome", "answer", "problems", "last_good", "first_bad", "exact", "repository", "label", "target", "timeline",
        "seconds", "candidates", "bases", "history", "needed_bytes", "probes_asked", "restores", "steps", "segments",
        "gap", "removed", "error_kind", "evidence", "diff", "changed"}  # fmt: skip


@pytest.fixture(scope="module")
def story(servers_directory: Path, postgres_factory: PostgresFactory) -> Story:
    """One history for all cases: 400 transactions over five backups."""
    return Story(Keeper(servers_directory / "bisect", postgres_factory), seed=7, transactions=400, backups=5)


@pytest.fixture(scope="module")
def keeper(story: Story) -> Keeper:
    """The story's server and repository."""
    return story.keeper


@pytest.fixture(params=["module", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    """Calls the module one way, then the other."""
    return BothWays(request.param, capsys)


def refusal(keeper: Keeper, *probes: dict[str, Any], **options: Any) -> RecoveryError:
    with pytest.raises(RecoveryError) as raised:
        keeper.find(*probes, **options)
    assert set(raised.value.facts) >= KEYS
    assert keeper.leftovers() == []
    return raised.value


@pytest.mark.parametrize("number", range(len(DAMAGES)))
def test_the_last_transaction_before_the_damage_is_found(story: Story, number: int) -> None:
    case = story.cases[number]
    found = story.keeper.find(case.probe)
    assert (found["answer"], found["exact"], found["problems"]) == ("found", True, [])
    assert (found["last_good"]["xid"], found["first_bad"]["xid"]) == (case.last_good, case.first_bad), case.name
    assert set(found) == KEYS and json.loads(json.dumps(found)) == found
    assert story.keeper.leftovers() == []


def test_its_target_restores_to_just_before(story: Story, keeper: Keeper, both: BothWays) -> None:
    case = next(one for one in story.cases if one.name == "table dropped")
    found = both("pg_bisect", keeper.options(case.probe, progress_file=str(keeper.directory / "progress")))
    assert not found.get("failed"), found["msg"]
    assert found["first_bad"]["xid"] == case.first_bad
    assert "candidates 1.." in (keeper.directory / "progress").read_text()
    directory = keeper.directory / "restored"
    options = {name: one.get("default") for name, one in backrest.SPECIFICATION.argument_spec.items()}
    given = {"state": "restored", "config": str(keeper.config), "directory": str(directory), "label": found["label"]}
    try:
        restored = backrest.run({**options, **given, "target": found["target"]}, False)["restored"]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    wanted = found["first_bad" if found["target"]["exclusive"] else "last_good"]["lsn"]
    assert restored["recovery"]["recovery_target_lsn"] == wanted


class TestNothingToFind:
    def test_good_everywhere(self, keeper: Keeper) -> None:
        found = keeper.find(ALWAYS)
        assert (found["answer"], found["exact"], found["first_bad"]) == ("good", True, None)
        assert found["restores"] == 1

    def test_bad_everywhere(self, keeper: Keeper) -> None:
        error = refusal(keeper, NEVER)
        assert error.facts["answer"] == "bad" and "the oldest backup" in str(error)
        assert len(error.facts["history"]) <= 4

    @pytest.mark.parametrize(
        ("option", "value", "cause"),
        [
            ("not_after", "2099-01-01T00:00:00Z", "it is in the future"),
            ("not_before", "2026-11-23T10:31:00", "time without a zone"),
            ("not_before", "yesterday", "Invalid isoformat"),
            ("not_after", "2001-01-01T00:00:00Z", "its first one ended at"),
            ("not_before", "0/1", "its first one ended at"),
            ("timeline", "7", "repo1 (repo1) has 1"),
            ("timeline", "newest", "it is no number"),
            ("repository", "north", "has repo1"),
        ],
    )
    def test_what_nobody_could_mean_is_refused(self, keeper: Keeper, option: str, value: str, cause: str) -> None:
        with pytest.raises(RecoveryError, match=cause.replace("(", r"\(").replace(")", r"\)")) as raised:
            keeper.find(ALWAYS, **{option: value})
        assert raised.value.facts["restores"] == 0

    def test_in_the_live_directory_nothing_is_made(self, keeper: Keeper) -> None:
        before = sorted(keeper.postgres.data.iterdir())
        with pytest.raises(RecoveryError, match="is the live data directory"):
            keeper.find(ALWAYS, directory=str(keeper.postgres.data / "s"))
        assert sorted(keeper.postgres.data.iterdir()) == before

    def test_a_probe_that_expects_nothing_is_refused(self, keeper: Keeper) -> None:
        assert "says of no answer" in str(refusal(keeper, {"name": "x", "query": "SELECT 1"}))

    def test_a_probe_that_cannot_be_asked_ends_the_search(self, keeper: Keeper) -> None:
        error = refusal(keeper, {"name": "x", "query": "SELECT 1 / 0", "expect": "1"})
        assert error.facts["answer"] == "unverified" and "division by zero" in str(error)

    def test_a_full_disk_is_told_before_it_begins(self, keeper: Keeper, tmp_path: Path) -> None:
        with small_disk(tmp_path / "small", 30000) as disk, pytest.raises(RecoveryError, match="are needed") as raised:
            keeper.find(ALWAYS, directory=str(disk / "s"))
        assert (raised.value.facts["error_kind"], raised.value.facts["restores"]) == ("NoRoom", 0)

    def test_check_mode_restores_nothing(self, keeper: Keeper, both: BothWays) -> None:
        found = both("pg_bisect", keeper.options(ALWAYS), check=True)
        assert (found["answer"], found["restores"], found["changed"]) == ("unverified", 0, False)
        assert set(found) >= KEYS and len(found["bases"]) == 5 and found["needed_bytes"] > found["bases"][0]["bytes"]
        assert keeper.leftovers() == []


class TestBounds:
    def test_the_search_begins_and_ends_where_it_is_told(self, story: Story, keeper: Keeper) -> None:
        case = story.cases[0]
        whole = keeper.find(case.probe)
        bounds = {"not_before": whole["last_good"]["time"], "not_after": whole["first_bad"]["lsn"]}
        found = keeper.find(case.probe, **bounds)
        assert (found["last_good"], found["first_bad"]) == (whole["last_good"], whole["first_bad"])
        assert found["probes_asked"] <= 3
        assert keeper.find(case.probe, not_after=whole["last_good"]["lsn"])["answer"] == "good"

    def test_a_lower_bound_that_is_bad_is_told(self, story: Story, keeper: Keeper) -> None:
        case = story.cases[0]
        late = keeper.find(case.probe)["first_bad"]["lsn"]
        assert refusal(keeper, case.probe, not_before=late).facts["answer"] == "bad"

    def test_what_a_limit_leaves_is_said(self, story: Story, keeper: Keeper) -> None:
        found = keeper.find(story.cases[1].probe, max_probes=5)
        assert (found["answer"], found["exact"], found["probes_asked"]) == ("narrowed", False, 5)
        assert "max_probes is reached" in found["problems"][0]
        assert found["last_good"]["xid"] <= story.cases[1].last_good < found["first_bad"]["xid"]

    def test_what_is_missing_may_be_good(self, story: Story, keeper: Keeper) -> None:
        case = next(one for one in story.cases if one.name == "table dropped")
        assert keeper.find({**case.probe, "missing": "good"})["answer"] == "good"
        gone = {"name": "x", "database": "none", "query": "SELECT 1", "expect": "1"}
        assert keeper.find(gone, missing="good")["answer"] == "good"
        assert "no such database" in str(refusal(keeper, gone))


_CALL = """
import json, os, sys
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import bisect
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.process_identity import ProcessIdentity
bisect.run({**json.load(sys.stdin), "owner": ProcessIdentity.of(os.getpid(), "test").as_dict()}, False)
"""


def test_killed_in_the_middle_the_next_call_goes_on(story: Story, keeper: Keeper) -> None:
    case = story.cases[2]
    progress = keeper.directory / "killed"
    given = {**keeper.defaults(), **keeper.options(case.probe, progress_file=str(progress))}
    process = subprocess.Popen(
        [sys.executable, "-c", _CALL], stdin=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdin
    process.stdin.write(json.dumps(given))
    process.stdin.close()
    eventually(lambda: progress.exists() and progress.read_text().count("candidates ") > 3, "the search", patience=120)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert keeper.leftovers()
    predicted = keeper.find(case.probe, check=True)
    assert predicted["removed"] and predicted["changed"] and keeper.leftovers()
    found = keeper.find(case.probe)
    assert found["removed"] == predicted["removed"]
    assert (found["last_good"]["xid"], found["first_bad"]["xid"]) == (case.last_good, case.first_bad)
    known = [one for one in found["history"] if one["known"]]
    assert len(known) >= 4 and found["probes_asked"] == len(found["history"]) - len(known)
    assert keeper.leftovers() == []


@contextlib.contextmanager
def missing(keeper: Keeper, segment: str) -> Iterator[None]:
    """A segment is not in the archive for the block."""
    path = keeper.segment(segment)
    assert path
    away = keeper.directory / path.name
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


@pytest.fixture(scope="module")
def segments(keeper: Keeper) -> list[str]:
    tables = [f"CREATE TABLE gap{n} AS SELECT 1 AS v" for n in range(3)]
    keeper.postgres.sql(*tables)
    keeper.backup()
    found = []
    for number in range(3):
        keeper.postgres.sql(*["INSERT INTO n0 (v) VALUES ('x')"] * 5, f"UPDATE gap{number} SET v = 2")
        keeper.postgres.sql("INSERT INTO n0 (v) VALUES ('x')")
        found.append(keeper.switch())
    return found


class TestMissingWal:
    """These write on: the story's own answers stay what they were."""

    @staticmethod
    def probe(number: int) -> dict[str, Any]:
        return {"name": f"gap{number}", "query": f"SELECT v FROM gap{number}", "expect": "1"}

    def test_damage_before_the_gap_is_found(self, keeper: Keeper, segments: list[str]) -> None:
        whole = keeper.find(self.probe(0))
        with missing(keeper, segments[1]):
            found = keeper.find(self.probe(0))
        assert (found["answer"], found["exact"], found["first_bad"]) == ("found", True, whole["first_bad"])
        assert found["gap"]["segment"] == segments[1] and whole["gap"] is None

    def test_damage_behind_the_gap_is_told(self, keeper: Keeper, segments: list[str]) -> None:
        with missing(keeper, segments[1]):
            error = refusal(keeper, self.probe(2))
        assert (error.facts["error_kind"], error.facts["answer"]) == ("WalGap", "narrowed")
        assert segments[1] in str(error) and error.facts["last_good"]["lsn"] < error.facts["gap"]["lsn"]

    def test_a_segment_that_is_damaged_is_a_gap(self, keeper: Keeper, segments: list[str]) -> None:
        path = keeper.segment(segments[1])
        assert path
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :])
        try:
            error = refusal(keeper, self.probe(2))
        finally:
            path.write_bytes(whole)
        assert error.facts["gap"] and error.facts["gap"]["segment"] == segments[1], str(error)

    def test_over_two_timelines(self, keeper: Keeper, segments: list[str], story: Story) -> None:
        keeper.postgres.sql("CREATE TABLE later AS SELECT 1 AS v")
        keeper.backup()
        keeper.postgres.stop("fast")
        (keeper.postgres.data / "standby.signal").touch()
        keeper.postgres.start()
        keeper.postgres.sql("SELECT pg_promote()")
        keeper.postgres.sql(*["INSERT INTO n0 (v) VALUES ('x')"] * 5)
        ((good,),) = keeper.postgres.sql("INSERT INTO n0 (v) VALUES ('y') RETURNING txid_current()")
        ((bad,),) = keeper.postgres.sql("UPDATE later SET v = 2 RETURNING txid_current()")
        keeper.switch()
        probe = {"name": "later", "query": "SELECT v FROM later", "expect": "1"}
        found = keeper.find(probe)
        assert (found["last_good"]["xid"], found["first_bad"]["xid"]) == (good, bad)
        assert (found["timeline"], found["first_bad"]["timeline"], found["target"]["timeline"]) == (2, 2, "2")
        assert keeper.find(probe, timeline="1")["answer"] == "good"
        case = story.cases[3]
        assert keeper.find(case.probe)["last_good"]["xid"] == case.last_good
