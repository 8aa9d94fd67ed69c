"""pg_restore with a real server: every format comes back beside the live database, in whole or in part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.restore_marker import Marker, split_comment

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.logical_support import NEWER_PROGRAMS, back_up, data_file, sql_in
from tests.unit.plugins.restore_support import COUNTS, FORMATS, Place, dump, make_place
from tests.unit.servers import PostgresFactory, PostgresServer

KEYS = {
    "bytes", "changed", "connection", "created", "database", "definitions_only", "diff", "dump_server_version",
    "dump_version", "dumped", "evidence", "foreign_keys", "format", "jobs", "left_behind", "left_out", "outcome",
    "problems", "refreshed", "roles", "seconds", "sequences", "server_version", "source", "space", "src",
    "subscriptions", "tables", "tool_version", "validated", "waits",
}  # fmt: skip
AWFUL = "we \"ird\" 'name' ö %s; \\"


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture(scope="module")
def filled(postgres_factory: PostgresFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    server = postgres_factory()
    yield make_place(server, tmp_path_factory.mktemp("dumps"))
    server.stop()


@pytest.fixture
def place(filled: Place) -> Iterator[Place]:
    yield filled
    filled.clear()


def restored(place: Place, src: str | Path, database: str, **more: Any) -> dict[str, Any]:
    result = run_action("pg_restore", place.given(src, database, **more))
    assert not result.get("failed"), result["msg"]
    assert result["outcome"] == "passed" and result["problems"] == []
    return result


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_comes_back_beside_the_live_one(both: BothWays, place: Place, kind: str, tmp_path: Path) -> None:
    log = tmp_path / "progress"
    given = place.given(kind, "back", jobs=2, progress_file=str(log))
    predicted = both("pg_restore", given, check=True)
    assert set(predicted) == KEYS and predicted["changed"] and predicted["created"] and not predicted.get("failed")
    assert predicted["outcome"] == "unverified" and "back" not in place.databases() and not log.exists()

    done = both("pg_restore", given)
    assert set(done) == KEYS and done["changed"] and done["created"] and done["outcome"] == "passed", done
    assert done["format"] == kind and done["jobs"] == (2 if kind in ("custom", "directory") else 1)
    assert place.counts("back") == COUNTS and done["diff"] == predicted["diff"]
    tables = {one["table"]: one for one in done["tables"]}
    assert tables["shop.bought"]["rows"] == 6000 and tables["shop.bought"]["bytes"] > 0
    if kind != "plain":
        assert tables["shop.bought"]["bytes_per_second"] and tables["shop.bought"]["seconds"]
    total = 10 if kind == "plain" else 11  # the table with a line's end in its name is not seen in plain text
    assert f"{total} of {total} tables" in log.read_text()

    again = both("pg_restore", given)
    assert set(again) == KEYS and not again["changed"] and not again["created"] and again["outcome"] == "passed"
    live = sql_in(place.server, "shop", "SELECT count(*) FROM shop.bought")
    assert live == [(6000,)]


def test_an_archive_brings_what_belongs_to_the_database_itself(place: Place) -> None:
    place.server.sql('GRANT CREATE ON DATABASE shop TO "re\'ader; "')
    path = dump(place.server, place.dumps["custom"].parent / "granted", "-F", "c")
    done = restored(place, path, AWFUL)
    assert done["subscriptions"] == ["pulls"] and done["foreign_keys"] == 3
    [(encoding, memory, acl)] = place.ask(
        AWFUL,
        "SELECT pg_encoding_to_char(encoding), current_setting('work_mem'), datacl::text FROM pg_database"
        " WHERE datname = current_database()",
    )  # fmt: skip
    assert (encoding, memory) == ("UTF8", "5MB") and "ader" in acl
    own, _line, mark = place.comment(AWFUL).rpartition("\n")
    assert own == "what the shop's own people wrote" and json.loads(mark.split("] ", 1)[1])["state"] == "finished"
    assert place.ask(AWFUL, "SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid"
                  " WHERE datname = current_database()") == [(0,)]  # fmt: skip
    query = "SELECT relpersistence::text FROM pg_class WHERE relname = 'cache'"
    assert place.ask(AWFUL, query) == [("u",)]
    assert place.ask(AWFUL, "SELECT convert_from(lo_get(4711), 'UTF8')") == [("a large object",)]
    [(analyzed,)] = place.ask(AWFUL, "SELECT count(*) FROM pg_stats WHERE schemaname = 'shop'")
    assert analyzed > 0


def test_a_plain_dumps_subscription_pulls_nothing(place: Place) -> None:
    done = restored(place, "plain", "back")
    assert done["subscriptions"] == ["pulls"]
    query = (
        "SELECT subenabled FROM pg_subscription JOIN pg_database d ON d.oid = subdbid"
        " WHERE datname = current_database()"
    )
    assert sql_in(place.server, "back", query) == [(False,)]


@pytest.mark.parametrize("kind", ["custom", "directory", "tar"])
def test_a_table_comes_back_with_all_that_hangs_on_it(both: BothWays, place: Place, kind: str) -> None:
    """Its identity was behind its rows in the source: the next row would have met an old one."""
    given = place.given(kind, "rescue", tables=["shop.numbered", "public.part", "shop.animal", 'public.we ird."\nö'])
    done = both("pg_restore", given)
    assert done["outcome"] == "passed" and not done.get("failed"), done
    assert {one["table"]: one["rows"] for one in done["tables"]} == {
        "shop.numbered": 500, "public.part_1": 100, 'public.we ird."\nö': 2, "shop.animal": 0, "shop.dog": 1,
    }  # fmt: skip
    assert done["sequences"] == [
        {"sequence": "shop.numbered_id_seq", "was": 1, "set_to": 500, "column": "shop.numbered.id"}
    ]
    assert sql_in(place.server, "rescue", "INSERT INTO shop.numbered (note) VALUES ('x') RETURNING id") == [(501,)]
    assert sql_in(place.server, "rescue", "SELECT count FROM shop.notes") == [(500,)]
    present = sql_in(place.server, "rescue", "SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal")
    indexes = sql_in(place.server, "rescue", "SELECT indexname::text FROM pg_indexes WHERE schemaname = 'shop'")
    assert present == [("stamped",)] and {"numbered_note", "numbered_pkey"} <= {row[0] for row in indexes}


def test_what_needs_other_tables_is_left_out_and_told(place: Place) -> None:
    done = restored(place, "custom", "rescue", tables=["shop.line", "shop.numbered", "public.part_1"])
    left = {one["object"]: one["reason"] for one in done["left_out"]}
    assert left == {"shop.line line_item_fkey": "needs shop.item"}
    assert done["foreign_keys"] == 1 and done["definitions_only"] == ["public.part"]
    assert sql_in(place.server, "rescue", "SELECT count(*) FROM part") == [(100,)]
    whole = restored(place, "custom", "rescue 2", tables=["shop.line", "shop.numbered", "shop.item"])
    assert whole["foreign_keys"] == 2 and whole["left_out"] == []


def test_a_foreign_key_that_was_not_valid_is_validated_in_a_selection(place: Place) -> None:
    server = place.server
    sql_in(
        server, "shop", "CREATE TABLE shop.loose (item int)", "INSERT INTO shop.loose VALUES (1)",
        "ALTER TABLE shop.loose ADD CONSTRAINT tied FOREIGN KEY (item) REFERENCES shop.item NOT VALID",
    )  # fmt: skip
    path = place.dumps["custom"].parent / "loose"
    try:
        dump(server, path, "-F", "c")
        done = restored(place, path, "rescue", tables=["shop.loose", "shop.item"])
        assert done["validated"] == ["shop.loose tied"] and done["foreign_keys"] == 1
        sql_in(server, "shop", "ALTER TABLE shop.loose DISABLE TRIGGER ALL", "INSERT INTO shop.loose VALUES (-1)")
        dump(server, path, "-F", "c")
        failed = run_action("pg_restore", place.given(path, "broken", tables=["shop.loose", "shop.item"]))
        assert failed["failed"] and [one["kind"] for one in failed["problems"]] == ["broken_constraint"]
        assert "broken" not in place.databases()
    finally:
        sql_in(server, "shop", "DROP TABLE shop.loose")


def test_roles_that_are_missing_are_told_or_created_and_those_that_exist_stay_as_they_are(
    both: BothWays, place: Place, postgres_factory: PostgresFactory, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    back_up(place.server, backup)
    other = postgres_factory()
    try:
        other.sql("CREATE ROLE owner NOLOGIN")
        given = place.given("custom", "back", postgres=other.options())
        missing = both("pg_restore", given)
        assert missing["failed"] and set(missing) == {*KEYS, "msg", "failed"} and missing["outcome"] == "failed"
        assert [one["kind"] for one in missing["problems"]] == ["missing_role"] and "globals" in missing["msg"]
        assert other.sql("SELECT 1 FROM pg_database WHERE datname = 'back'") == []
        done = both("pg_restore", {**given, "globals": str(backup / "globals.sql")})
        assert not done.get("failed") and done["roles"] == ["re'ader; "], done
        assert other.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'owner'") == [(False,)]
        assert other.sql("SELECT 1 FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = setrole") == []
    finally:
        other.stop()


def test_a_logical_backup_brings_its_roles_and_its_counted_rows(place: Place, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    back_up(place.server, backup, compression="lz4", bin_directory=NEWER_PROGRAMS)
    done = restored(place, backup, "back", bin_directory=NEWER_PROGRAMS)
    assert done["dumped"] == "shop" and done["space"]["needed_bytes"] > 0
    part = restored(place, backup, "part", bin_directory=NEWER_PROGRAMS, tables=["shop.item"])
    assert [one["rows"] for one in part["tables"]] == [3000]
    file = data_file(backup / "dump", "bought")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    failed = run_action("pg_restore", place.given(backup, "cut", bin_directory=NEWER_PROGRAMS))
    assert failed["failed"] and "missing_rows" in [one["kind"] for one in failed["problems"]], failed["problems"]
    assert "cut" not in place.databases() and not failed["left_behind"]


def test_a_tablespace_that_is_missing_is_told_or_done_without(place: Place, tmp_path: Path) -> None:
    server = place.server
    server.sql("SET allow_in_place_tablespaces = on", "CREATE TABLESPACE fast LOCATION ''")
    server.sql("CREATE DATABASE spaced")
    sql_in(server, "spaced", "CREATE TABLE here (id int) TABLESPACE fast", "INSERT INTO here VALUES (1)")
    path, plain = (dump(server, tmp_path / kind, "-F", kind, database="spaced") for kind in "cp")
    server.sql("DROP DATABASE spaced", "DROP TABLESPACE fast")
    for src in (path, plain):
        missing = run_action("pg_restore", place.given(src, "back"))
        assert [one["kind"] for one in missing["problems"]] == ["missing_tablespace"] and missing["failed"]
        assert "no_tablespaces" in missing["problems"][0]["remedy"] and "back" not in place.databases()
    restored(place, path, "back", no_tablespaces=True)
    assert sql_in(server, "back", "SELECT id FROM here") == [(1,)]


def test_a_mark_that_a_later_dump_carries_is_not_believed() -> None:
    mark = Marker("finished", "abc", "7", 16384, True, "2026-11-23T10:00:00Z")
    text = mark.in_comment("own\nwords")
    assert split_comment(text, "7", 16384) == ("own\nwords", mark)
    assert split_comment(text, "7", 16385) == ("own\nwords", None) == split_comment(text, "8", 16384)
    assert split_comment("own\nwords", "7", 1) == ("own\nwords", None) and split_comment(None, "7", 1) == ("", None)


def test_a_standby_takes_no_restore(postgres_pair: tuple[PostgresServer, PostgresServer], place: Place) -> None:
    refused = run_action("pg_restore", place.given("custom", "back", postgres=postgres_pair[1].options()))
    assert refused["failed"] and "standby" in refused["msg"] and refused["outcome"] == "unverified"
