"""pg_divergence on real pairs of servers: each kind of write that the old primary made alone."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.postgres_cluster import Cluster

from tests.unit.plugins.both_ways import BothWays, run_main
from tests.unit.plugins.divergence_support import Parted, Row, by_operation, kinds_of, parted, table_of
from tests.unit.servers import PostgresFactory

KEYS = {
    "bytes", "changed", "diff", "diverged", "end_lsn", "evidence", "fork_lsn", "manifest", "others", "seconds",
    "tables", "totals", "transactions",
}  # fmt: skip
ODD = 'we ird."\nö'
QUOTED = '"we ird.""\nö"'
ODD_FILE = "postgres.public.we%20ird%2E%22%0A%C3%B6"

PREPARE = (
    "CREATE TABLE item (id int PRIMARY KEY, text text)",
    "INSERT INTO item SELECT g, 'at the fork ' || g FROM generate_series(1, 20) g",
    "CREATE TYPE colour AS ENUM ('red', 'blue')",
    "CREATE TYPE pair AS (number int, text text)",
    "CREATE DOMAIN positive AS int CHECK (value > 0)",
    f"CREATE TABLE {QUOTED} (id int, colour colour, pair pair, pairs pair[], positive positive, bytes bytea,"
    " jsonb jsonb, json json, numeric numeric, float float8, ints int[], moved int[], at timestamptz, span interval,"
    ' range int4range, uuid uuid, "Mixed ""Case" text, twice int GENERATED ALWAYS AS (id * 2) STORED, net inet)',
    "CREATE TABLE measure (id int, part int) PARTITION BY LIST (part)",
    "CREATE TABLE measure_1 PARTITION OF measure FOR VALUES IN (1)",
    "CREATE TABLE measure_2 PARTITION OF measure FOR VALUES IN (2)",
    "INSERT INTO measure VALUES (1, 1), (2, 1)",
    "CREATE TABLE emptied (id int)", "INSERT INTO emptied VALUES (1), (2)",
    "CREATE TABLE packed (id int PRIMARY KEY)", "INSERT INTO packed SELECT generate_series(1, 5)",
    "CREATE TABLE altered (id int PRIMARY KEY)", "INSERT INTO altered SELECT generate_series(1, 3)",
    "CREATE TABLE dropped (id int)", "INSERT INTO dropped VALUES (1), (2)",
    "CREATE SEQUENCE counter", "CREATE UNLOGGED TABLE scratch (id int)",
    "CREATE MATERIALIZED VIEW shown AS SELECT id FROM item",
    "CREATE DATABASE second",
)  # fmt: skip


@pytest.fixture(scope="module")
def pair(postgres_factory: PostgresFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parted]:
    """Everything that can diverge, at once; the old primary is stopped."""
    directory = tmp_path_factory.mktemp("divergence")
    with parted(postgres_factory, directory, *PREPARE, settings="wal_keep_size = 256MB") as pair:
        pair.part()
        write_everything(pair)
        pair.new.sql("INSERT INTO item VALUES (1000, 'only on the new primary')", "VACUUM FREEZE packed")
        pair.stop("immediate")
        yield pair


def write_everything(pair: Parted) -> None:
    """Writes that only the old primary has, one kind after the other."""
    old = pair.old
    old.sql(
        "BEGIN", "UPDATE item SET text = 'new text' WHERE id = 2", "SAVEPOINT a", "DELETE FROM item WHERE id = 3",
        "ROLLBACK TO a", "SAVEPOINT b", "DELETE FROM item WHERE id = 4", "RELEASE b", "COMMIT",
    )  # fmt: skip
    old.sql("BEGIN", "INSERT INTO item VALUES (666, 'rolled back')", "ROLLBACK")
    old.sql("INSERT INTO item VALUES (1, 'again') ON CONFLICT (id) DO UPDATE SET text = 'upserted'")
    with old.connect() as connection, connection.cursor() as cursor:
        cursor.copy_expert("COPY item FROM STDIN", io.StringIO("200\tcopied\n201\tcopied\n202\tcopied\n"))
    old.sql(
        "UPDATE item SET text = 'once' WHERE id = 201", "UPDATE item SET text = 'twice' WHERE id = 201",
        "DELETE FROM item WHERE id = 202", "INSERT INTO item VALUES (300, repeat('long', 100000))",
        "VACUUM FREEZE item",
    )  # fmt: skip
    old.sql(
        f"INSERT INTO {QUOTED} VALUES (7, 'blue', (1, 'a,\"b'), ARRAY[(2, 'x')::pair, NULL], 5, '\\xdeadbeef', 'null',"
        " E'{\"a\":\\n 1}', 1e40 + 0.5, 'NaN', '{1,NULL,3}', '[0:1]={4,5}', '2026-01-02 03:04:05.678901+00',"
        " '1 year 2 days 03:00', '[1,5)', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', E'tab\\there', DEFAULT, '10.0.0.1')",
        f"INSERT INTO {QUOTED} (id) VALUES (8)",
    )
    old.sql("INSERT INTO measure VALUES (5, 2)", "UPDATE measure SET part = 2 WHERE id = 1")
    old.sql("INSERT INTO emptied VALUES (3)", "TRUNCATE emptied", "INSERT INTO emptied VALUES (4)")
    old.sql(
        "INSERT INTO packed VALUES (9)", "DELETE FROM packed WHERE id = 1", "VACUUM FULL packed",
        "INSERT INTO packed VALUES (10)",
    )  # fmt: skip
    old.sql(
        "INSERT INTO altered VALUES (9)", "ALTER TABLE altered ALTER id TYPE bigint", "INSERT INTO altered VALUES (10)"
    )
    old.sql("DELETE FROM dropped WHERE id = 1", "DROP TABLE dropped")
    old.sql("CREATE TABLE created AS SELECT g AS id FROM generate_series(1, 3) g", "ANALYZE")
    old.sql(
        "SELECT nextval('counter')", "SELECT lo_from_bytea(4711, 'a large object')", "INSERT INTO scratch VALUES (1)"
    )
    old.sql("REFRESH MATERIALIZED VIEW shown")
    old.sql("BEGIN", "INSERT INTO item VALUES (999, 'prepared')", "PREPARE TRANSACTION 'two phases'")
    second = pair.session(autocommit=True, database="second")
    with second.cursor() as cursor:
        cursor.execute("CREATE SCHEMA app")
        cursor.execute("CREATE TABLE app.orders (id int)")
        cursor.execute("INSERT INTO app.orders VALUES (1), (2)")


@pytest.fixture(scope="module")
def saved(pair: Parted, observed: Row, predicted: Row) -> Row:
    """The result of saving, after looking and after check mode."""
    return run(pair)


@pytest.fixture(scope="module")
def observed(pair: Parted) -> Row:
    return run(pair, state="observed")


@pytest.fixture(scope="module")
def predicted(pair: Parted, observed: Row) -> Row:
    found = run(pair, check=True)
    assert not pair.directory.joinpath("INC-7").exists()
    assert Cluster(pair.old.data).control().state == "in production"  # it was not even recovered
    return found


def run(pair: Parted, check: bool = False, way: str = "action", **more: Any) -> Row:
    from tests.unit.plugins.both_ways import run_action

    assert way == "action"
    result = run_action("pg_divergence", pair.options(**more), check)
    assert not result.get("failed"), result
    assert set(result) >= KEYS
    return result


def test_nothing_is_saved_when_only_looking(observed: Row, predicted: Row) -> None:
    assert (observed["diverged"], observed["changed"]) == (True, False)
    assert (predicted["diverged"], predicted["changed"]) == (True, True)
    assert predicted["diff"] == {"before": {"saved": False}, "after": {"saved": True}}
    item = table_of(observed, "item")
    assert (item["inserted"], item["updated"], item["deleted"]) == (3 + 1 - 1, 2, 1)
    assert item["unresolved"] is None


def test_rows_of_a_table(pair: Parted, saved: Row) -> None:
    assert (saved["diverged"], saved["changed"]) == (True, True)
    item = table_of(saved, "item")
    counts = {"inserted": 3, "updated": 2, "deleted": 1, "unresolved": 0, "gone_again": 1, "updates": 4}
    assert {name: item[name] for name in counts} == counts
    assert item["key"] == ["id"]
    lines = pair.lines("postgres.public.item")
    inserted = {line["row"]["id"]: line["row"]["text"] for line in by_operation(lines, "insert")}
    assert inserted == {200: "copied", 201: "twice", 300: "long" * 100000}
    updated = {line["row"]["id"]: (line["previous"], line["row"]) for line in by_operation(lines, "update")}
    assert updated == {
        1: ({"id": 1, "text": "at the fork 1"}, {"id": 1, "text": "upserted"}),
        2: ({"id": 2, "text": "at the fork 2"}, {"id": 2, "text": "new text"}),
    }
    deleted = [line["previous"] for line in by_operation(lines, "delete")]
    assert deleted == [{"id": 4, "text": "at the fork 4"}]
    assert all(line["xid"] > 700 and line["committed_at"].endswith("Z") for line in lines)


def test_values_come_back_as_they_were(pair: Parted, saved: Row) -> None:
    """The way that the module documents, on the new primary: each value is the same one."""
    shown = pair.lines(ODD_FILE)
    assert [line.get("json_nulls") for line in shown] == [["jsonb"], None]
    columns = (
        "id, colour, pair, pairs, positive, bytes, jsonb, json, numeric, float, ints, moved, at, span, range, uuid,"
        ' "Mixed ""Case", net'
    )
    new = pair.new.connect()
    with new.cursor() as cursor, (pair.saved / "rows" / f"{ODD_FILE}.jsonl").open() as file:
        cursor.execute("CREATE TEMPORARY TABLE divergent (line jsonb)")
        cursor.copy_expert("COPY divergent FROM STDIN WITH (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')", file)
        cursor.execute(
            f"INSERT INTO {QUOTED} ({columns}) SELECT {columns} FROM divergent,"
            f" jsonb_populate_record(NULL::{QUOTED}, line -> 'row') WHERE line ->> 'operation' = 'insert'"
        )
        cursor.execute(
            "SELECT colour, pair::text, pairs::text, positive, encode(bytes, 'hex'), json::text, numeric::text,"
            " float::text, ints, moved::text, at AT TIME ZONE 'UTC', span::text, range::text, uuid::text,"
            f' "Mixed ""Case", twice, net::text FROM {QUOTED} WHERE id = 7'
        )
        back = [str(value) for value in cursor.fetchone()]
        cursor.execute(f"SELECT count(*) FROM {QUOTED} t WHERE id = 8 AND num_nulls(colour, pair, json, ints) = 4")
        assert cursor.fetchone() == (1,)
        cursor.execute(f"DELETE FROM {QUOTED}")
    new.close()
    assert back == [
        "blue", '(1,"a,""b")', '{"(2,x)",NULL}', "5", "deadbeef", '{"a": 1}', "1" + "0" * 40 + ".5", "NaN",
        "[1, None, 3]", "[0:1]={4,5}", "2026-01-02 03:04:05.678901", "1 year 2 days 03:00:00", "[1,5)",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "tab\there", "14", "10.0.0.1/32",
    ]  # fmt: skip


def test_partitions(pair: Parted, saved: Row) -> None:
    assert table_of(saved, "measure_1")["partition_of"] == "public.measure"
    moved = [line["previous"] for line in pair.lines("postgres.public.measure_1")]
    assert moved == [{"id": 1, "part": 1}]
    rows = [line["row"] for line in by_operation(pair.lines("postgres.public.measure_2"), "insert")]
    assert rows == [{"id": 5, "part": 2}, {"id": 1, "part": 2}]


def test_tables_that_were_rewritten(pair: Parted, saved: Row) -> None:
    kinds = {(one["kind"], one.get("name")) for one in saved["others"]}
    assert {("truncated_table", "emptied"), ("rewritten_table", "packed"), ("rewritten_table", "altered")} <= kinds
    assert [(line["operation"], line["row"]) for line in pair.lines("postgres.public.emptied")] == [
        ("insert", {"id": 4})
    ]
    packed = pair.lines("postgres.public.packed")
    assert [line["previous"] for line in by_operation(packed, "delete")] == [{"id": 1}]
    assert [line["row"] for line in by_operation(packed, "written")] == [{"id": 9}]
    assert [line["row"] for line in by_operation(packed, "insert")] == [{"id": 10}]
    altered = pair.lines("postgres.public.altered")
    assert [line["row"]["id"] for line in by_operation(altered, "written")] == [1, 2, 3, 9]
    assert [line["row"]["id"] for line in by_operation(altered, "insert")] == [10]


def test_tables_made_and_dropped(pair: Parted, saved: Row) -> None:
    kinds = {(one["kind"], one.get("name")) for one in saved["others"]}
    assert {("created_table", "created"), ("dropped_table", "dropped"), ("materialized_view", "shown")} <= kinds
    assert [line["row"]["id"] for line in pair.lines("postgres.public.created")] == [1, 2, 3]
    assert table_of(saved, "dropped")["dropped"] is True
    assert [line["previous"] for line in pair.lines("postgres.public.dropped")] == [{"id": 1}]
    ddl = [one for one in saved["others"] if one["kind"] == "ddl" and one["database"] == "postgres"]
    assert "pg_class" in ddl[0]["catalogs"]
    assert len(pair.lines("postgres.ddl")) == ddl[0]["transactions"]


def test_what_is_no_row(pair: Parted, saved: Row) -> None:
    found = {one["kind"]: one for one in saved["others"]}
    assert found["sequence"]["name"] == "counter"
    assert found["sequence"]["last_value"] >= 1
    assert found["unlogged"]["tables"] == ["public.scratch"]
    assert (found["prepared"]["name"], found["prepared"]["changes"]) == ("two phases", 1)
    pages = pair.lines("postgres.pg_catalog.pg_largeobject")
    assert [line["row"] for line in pages] == [{"loid": "4711", "pageno": 0, "data": "\\x" + b"a large object".hex()}]


def test_every_database(pair: Parted, saved: Row) -> None:
    assert table_of(saved, "orders")["database"] == "second"
    assert [line["row"] for line in pair.lines("second.app.orders")] == [{"id": 1}, {"id": 2}]


def test_files_are_private_and_listed(pair: Parted, saved: Row) -> None:
    manifest = json.loads(Path(saved["manifest"]).read_text())
    assert pair.saved.stat().st_mode & 0o777 == 0o700
    there = {str(path.relative_to(pair.saved)) for path in pair.saved.rglob("*") if path.is_file()}
    assert set(manifest["files"]) == there - {"manifest.json"}
    assert all((pair.saved / name).stat().st_mode & 0o077 == 0 for name in there)
    sums = subprocess.run(
        ["sha256sum", "-c", "-"], cwd=pair.saved, check=False, capture_output=True, text=True,
        input="".join(f"{one['sha256']}  {name}\n" for name, one in manifest["files"].items()),
    )  # fmt: skip
    assert sums.returncode == 0, sums.stdout
    assert saved["bytes"] == sum((pair.saved / name).stat().st_size for name in manifest["files"])


def test_no_row_leaves_the_files(saved: Row) -> None:
    told = json.dumps(saved)
    assert not [word for word in ("upserted", "at the fork", "deadbeef", "a large", "copied") if word in told]


def test_wal_is_kept_as_it_was(pair: Parted, saved: Row) -> None:
    """The copies alone, read by anybody, give the same transactions."""
    program = pair.old.bin / "pg_waldump"
    options = ["-p", str(pair.saved / "wal"), "-s", saved["fork_lsn"], "-r", "Transaction"]
    done = subprocess.run([str(program), *options], capture_output=True, text=True, check=False)
    committed = done.stdout.count("desc: COMMIT")
    assert committed >= saved["transactions"] > 30


def test_again_changes_nothing(pair: Parted, saved: Row) -> None:
    """Also both ways: the module and its action say the same."""
    again = run(pair)
    assert (again["changed"], again["diverged"]) == (False, True)
    same = ("tables", "others", "totals", "fork_lsn", "end_lsn", "manifest", "bytes", "transactions")
    assert {name: again[name] for name in same} == {name: saved[name] for name in same}


def test_module_says_what_the_action_says(
    pair: Parted, saved: Row, observed: Row, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_main("pg_divergence", pair.options(state="observed"), capsys)
    same = ("tables", "others", "fork_lsn", "transactions", "diverged", "changed")
    assert {name: found[name] for name in same} == {name: observed[name] for name in same}
    other = run_main("pg_divergence", pair.options(incident="INC-8"), capsys)
    assert other["changed"]
    assert other["tables"] == saved["tables"]


def test_killed_at_any_time(pair: Parted, saved: Row) -> None:
    """Killed at several moments, and run again: all of it is there."""
    code = (
        "import json, sys; from tests.unit.conftest import *\n"
        "from ansible_collections.terragon.disaster_recovery.plugins.module_utils.divergence import run\n"
        "run({**json.loads(sys.argv[1]), 'state': 'saved', 'source_databases': {}, 'bin_directory': None}, False)"
    )
    options = pair.options(incident="INC-9")
    root = Path(__file__).resolve().parents[3]
    for reached in ("identity.json", "wal/*", "rows/*"):
        process = subprocess.Popen([sys.executable, "-c", code, json.dumps(options)], cwd=root)
        while process.poll() is None and not any((pair.directory / "INC-9").glob(f"*/{reached}")):
            threading.Event().wait(0.005)
        process.kill()
        process.wait()
    result = run(pair, incident="INC-9")
    assert result["tables"] == saved["tables"]
    assert result["others"] == saved["others"]
    assert not list((pair.directory / "INC-9").rglob("*.part"))


def test_changed_files_are_refused(pair: Parted, saved: Row, both: BothWays) -> None:
    path = pair.directory / "INC-8" / "east-main" / "rows" / "postgres.public.item.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    found = both("pg_divergence", pair.options(incident="INC-8"))
    path.write_bytes(whole)
    assert found["failed"]
    assert "postgres.public.item.jsonl changed" in found["msg"]


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


def test_kinds_are_documented(saved: Row) -> None:
    from ansible_collections.terragon.disaster_recovery.plugins.modules import pg_divergence

    assert not [kind for kind in kinds_of(saved) if f"V({kind})" not in pg_divergence.RETURN]
