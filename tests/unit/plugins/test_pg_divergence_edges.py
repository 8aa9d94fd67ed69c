"""pg_divergence where something is missing, damaged, in the way, or nothing diverged at all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.divergence_files import Directory

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.divergence_support import Parted, Row, by_operation, parted, table_of
from tests.unit.servers import PostgresFactory, eventually, give_to_server_user

TABLE = ("CREATE TABLE item (id int PRIMARY KEY, text text)", "INSERT INTO item VALUES (1, 'a'), (2, 'b'), (3, 'c')")
WRAP = 1 << 32
ENOUGH = "wal_keep_size = 256MB"


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


def run(pair: Parted, **more: Any) -> Row:
    result = run_action("pg_divergence", pair.options(**more))
    assert not result.get("failed"), result
    return result


@pytest.mark.parametrize("how", ["fast", "immediate", "kill"])
def test_nothing_diverged(how: str, postgres_factory: PostgresFactory, tmp_path: Path, both: BothWays) -> None:
    """The shutdown's own WAL, statistics and a transaction that was rolled back are no writes of anybody."""
    with parted(postgres_factory, tmp_path, *TABLE) as pair:
        pair.part()
        pair.old.sql("ANALYZE item", "BEGIN", "DELETE FROM item", "ROLLBACK", "CHECKPOINT")
        pair.stop(how)
        result = both("pg_divergence", pair.options())
        assert not result.get("failed"), result
        assert (result["diverged"], result["changed"], result["tables"], result["others"]) == (False, False, [], [])
        assert result["manifest"] is None
        assert not list(tmp_path.iterdir())


def test_orderly_switchover_has_no_fork_to_save(
    postgres_factory: PostgresFactory, tmp_path: Path, both: BothWays
) -> None:
    with parted(postgres_factory, tmp_path, *TABLE) as pair:
        pair.stop("fast")
        pair.new.sql("SELECT pg_promote()")
        result = both("pg_divergence", pair.options())
        assert not result.get("failed"), result
        assert (result["diverged"], result["changed"]) == (False, False)


def test_refusals(postgres_factory: PostgresFactory, tmp_path: Path, both: BothWays) -> None:
    with parted(postgres_factory, tmp_path, *TABLE) as pair:
        running = both("pg_divergence", pair.options())
        assert running["failed"] and "its server runs" in running["msg"]
        pair.stop("immediate")
        standby = both("pg_divergence", pair.options())
        assert standby["failed"] and "it is a standby" in standby["msg"]
        named = both("pg_divergence", pair.options(region="../other"))
        assert named["failed"] and "no plain name" in named["msg"]
        elsewhere = both("pg_divergence", pair.options(data_directory=str(tmp_path)))
        assert elsewhere["failed"] and "PG_VERSION" not in elsewhere["msg"]
        pair.new.stop()
        away = both("pg_divergence", pair.options())
        assert away["failed"] and "replication protocol" in away["msg"]
        assert not list(tmp_path.iterdir())


def test_rows_that_the_new_primary_changed_too(postgres_factory: PostgresFactory, tmp_path: Path) -> None:
    """A row changed on both sides is a conflict: it is named, and its content is not made up."""
    with parted(postgres_factory, tmp_path, *TABLE) as pair:
        pair.part()
        pair.new.sql("DELETE FROM item WHERE id = 1", "UPDATE item SET text = 'there' WHERE id = 2", "VACUUM item")
        pair.new.sql("INSERT INTO item SELECT g, 'in its place' FROM generate_series(10, 20) g")
        assert pair.new.sql("SELECT id FROM item WHERE ctid = '(0,1)'") == [(10,)]
        pair.old.sql("DELETE FROM item WHERE id = 1", "UPDATE item SET text = 'here' WHERE id = 2")
        pair.old.sql("DELETE FROM item WHERE id = 3")
        pair.stop("immediate")
        item = table_of(run(pair), "item")
        assert (item["deleted"], item["updated"], item["unresolved"], item["previous_missing"]) == (2, 1, 1, 1)
        lines = pair.lines("postgres.public.item")
        gone = by_operation(lines, "delete")
        assert [(line["previous"], line["ctid"]) for line in gone] == [
            (None, "(0,1)"),
            ({"id": 3, "text": "c"}, "(0,3)"),
        ]
        assert "the new primary has changed this row too" in gone[0]["unresolved"]
        assert [line["row"] for line in by_operation(lines, "update")] == [{"id": 2, "text": "here"}]


def test_role_that_may_not_read(postgres_factory: PostgresFactory, tmp_path: Path) -> None:
    with parted(postgres_factory, tmp_path, *TABLE, "CREATE ROLE looker LOGIN REPLICATION PASSWORD 'p'") as pair:
        pair.part()
        pair.old.sql("DELETE FROM item WHERE id = 1", "INSERT INTO item VALUES (4, 'd')")
        pair.stop("immediate")
        pair.new.add_password("looker", "p")
        result = run(pair, source={**pair.new.options("looker"), "sslmode": "disable"})
        item = table_of(result, "item")
        assert (item["inserted"], item["deleted"], item["unresolved"]) == (1, 1, 1)
        assert "permission denied" in pair.lines("postgres.public.item")[-1]["unresolved"]


def test_transaction_whose_beginning_is_in_no_wal(postgres_factory: PostgresFactory, tmp_path: Path) -> None:
    """It began long before the fork: its rows are found by their transaction, and that its deletes are not is said."""
    with parted(postgres_factory, tmp_path, *TABLE, "CREATE TABLE filler (text text)") as pair:
        session = pair.session()
        with session.cursor() as cursor:
            cursor.execute("INSERT INTO item VALUES (50, 'long ago')")
            for _turn in range(4):
                pair.old.sql(
                    "INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 2000)",
                    "SELECT pg_switch_wal()",
                )
                pair.caught_up()
                pair.old.sql("CHECKPOINT")
            pair.part()
            cursor.execute("INSERT INTO item VALUES (51, 'now')")
        session.commit()
        pair.stop("immediate")
        result = run(pair)
        found = {line["row"]["id"]: line["operation"] for line in pair.lines("postgres.public.item")}
        assert found == {50: "written", 51: "insert"}
        assert "wal_before_the_fork_gone" in {one["kind"] for one in result["others"]}


def test_wal_of_the_divergence_is_gone(postgres_factory: PostgresFactory, tmp_path: Path, both: BothWays) -> None:
    """Neither a missing nor a damaged segment passes as the WAL's end."""
    with parted(postgres_factory, tmp_path, *TABLE, settings=ENOUGH) as pair:
        pair.part()
        fork = pair.old.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")[0][0]
        for _turn in range(3):
            pair.old.sql("INSERT INTO item SELECT max(id) + 1, 'x' FROM item", "SELECT pg_switch_wal()")
        pair.old.sql("CHECKPOINT")
        pair.stop("fast")
        segment = pair.old.data / "pg_wal" / fork
        whole = segment.read_bytes()
        segment.write_bytes(bytes(len(whole)))
        damaged = both("pg_divergence", pair.options())
        segment.rename(segment.with_name("aside"))
        missing = both("pg_divergence", pair.options())
        segment.with_name("aside").rename(segment)
        segment.write_bytes(whole)
        for result in (damaged, missing):
            assert result["failed"], result
            assert "Failed to read the WAL of" in result["msg"]
        assert not list(tmp_path.iterdir())
        assert table_of(run(pair), "item")["inserted"] == 3


def test_later_timelines_and_transaction_ids_beyond_32_bits(postgres_factory: PostgresFactory, tmp_path: Path) -> None:
    """A primary that was promoted before, with an epoch, whose ids wrap around within the divergence."""
    first = postgres_factory(start=False)
    with (first.data / "postgresql.conf").open("a") as file:
        file.write("autovacuum = off\nwal_keep_size = 256MB\n")
    first.start()
    first.run("vacuumdb", "--all", "--freeze", "-q", "-U", "postgres", "-h", first.directory, "-p", first.port)
    first.stop("fast")
    first.run("pg_resetwal", "-D", first.data, "-e", 5, "-x", WRAP - 2048, "-u", WRAP - 100000000)
    page = first.data / "pg_xact" / "0FFF"
    page.write_bytes(bytes(256 * 1024))
    give_to_server_user(page)
    first.start()
    first.sql(*TABLE)
    old = postgres_factory.standby_of(first)
    first.stop("fast")
    old.sql("SELECT pg_promote()")
    eventually(lambda: not old.sql("SELECT pg_is_in_recovery()")[0][0], "the promotion")
    new = postgres_factory.standby_of(old)
    pair = Parted(old, new, tmp_path)
    spend = "DO $$ BEGIN FOR i IN 1..{} LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$"
    old.sql(spend.format(1900))
    pair.part()
    old.sql(
        "UPDATE item SET text = 'before' WHERE id = 1", spend.format(300), "UPDATE item SET text = 'after' WHERE id = 2"
    )
    old.sql("DELETE FROM item WHERE id = 3")
    pair.stop("immediate")
    result = run(pair)
    new.stop()
    lines = pair.lines("postgres.public.item")
    found = {line["previous"]["id"]: (line["operation"], line["xid"] >> 32) for line in lines}
    assert found == {1: ("update", 5), 2: ("update", 6), 3: ("delete", 6)}
    assert result["totals"]["unresolved"] == 0


def test_second_divergence_of_an_incident_gets_its_own_directory(tmp_path: Path) -> None:
    first = {"system_identifier": "1", "timeline": 1, "fork_lsn": "0/5000028"}
    one = Directory(tmp_path, "east-main", first)
    one.prepare()
    assert Directory(tmp_path, "east-main", first).path == one.path
    two = Directory(tmp_path, "east-main", {**first, "timeline": 3, "fork_lsn": "1/A0"})
    two.prepare()
    assert two.path == tmp_path / "east-main-3-1-A0"
    assert Directory(tmp_path, "east-main", two.identity).path == two.path


def made_ahead(directory: Path, timeline: str) -> None:
    """Files of zeros as a server makes them ahead of their use, until one of them is what a listing begins with."""
    for number in range(100, 1000):
        with (directory / f"{timeline}00000000{number:08X}").open("wb") as file:
            file.truncate(16 << 20)
        shutil.chown(file.name, directory.owner(), directory.group())
        names = [entry.name for entry in os.scandir(directory) if re.fullmatch("[0-9A-F]{24}", entry.name)]
        if int(names[0][16:], 16) >= 100:
            return
    raise AssertionError("no listing began with one")


def test_wal_that_was_made_ahead_is_not_taken_for_the_first(postgres_factory: PostgresFactory, tmp_path: Path) -> None:
    with parted(postgres_factory, tmp_path, *TABLE) as pair:
        pair.part()
        pair.old.sql("INSERT INTO item VALUES (4, 'd')")
        pair.stop("immediate")
        made_ahead(pair.old.data / "pg_wal", "00000001")
        run(pair)
        assert [line["row"]["id"] for line in pair.lines("postgres.public.item")] == [4]


def test_no_room(postgres_factory: PostgresFactory, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(small)], check=False)
    if done.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with parted(postgres_factory, small, *TABLE) as pair:
            pair.part()
            pair.old.sql("INSERT INTO item VALUES (4, 'd')")
            pair.stop("immediate")
            result = run_action("pg_divergence", pair.options())
            assert result["failed"]
            assert "do not fit" in result["msg"]
    finally:
        subprocess.run(["umount", str(small)], check=True)
