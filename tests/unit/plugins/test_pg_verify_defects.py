"""Planted defects: each is named by the right rung of pg_verify, and by no other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.verify_support import (
    PAGE,
    Case,
    Corpus,
    ScratchServer,
    assert_found,
    build,
    changed,
    cut,
    flip,
    zero,
)
from tests.unit.servers import give_to_server_user

SUPERUSER = "SET allow_system_table_mods = on"


@pytest.fixture(scope="module")
def corpus(servers_directory: Path) -> Iterator[Corpus]:
    directory = servers_directory / "verify-defects"
    directory.mkdir(mode=0o755)
    yield build(directory, lambda arguments: run_action("pg_verify", arguments))


@pytest.fixture(scope="module")
def running(corpus: Corpus) -> Iterator[ScratchServer]:
    """A clone whose database `shop` is copied for each case; nobody writes into that."""
    server = corpus.clone()
    yield server
    server.remove()


@pytest.fixture
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


STRUCTURE, COMPLETENESS, INVARIANTS, FRESHNESS, ISOLATED = (
    {name} for name in ("structure", "completeness", "invariants", "freshness", "isolated")
)
MISSING_INDEX_ENTRIES = (
    "UPDATE pg_index SET indisready = false, indisvalid = false WHERE indexrelid = 'archive_pkey'::regclass",
    "INSERT INTO archive SELECT generate_series(2001, 2100)",
    "UPDATE pg_index SET indisready = true, indisvalid = true WHERE indexrelid = 'archive_pkey'::regclass",
)
ORPHANS = (
    "SET session_replication_role = replica", "INSERT INTO orders (customer, total) VALUES (9999, 1)",
)  # fmt: skip

#: defects of one database, in SQL
IN_SQL = [
    Case("index order", STRUCTURE, ("index public.ordered_v", "order"), (
        "UPDATE pg_amproc SET amproc = 'downwards'::regproc WHERE amproc = 'upwards'::regproc",)),
    Case("index entries missing", STRUCTURE, ("index public.archive_pkey", "lacks matching index"),
         MISSING_INDEX_ENTRIES),
    Case("invalid index", STRUCTURE, ("index public.shapes_hash of public.shapes is invalid", "REINDEX"), (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'shapes_hash'::regclass",)),
    Case("serial behind", COMPLETENESS, ("sequence public.customers_id_seq is behind", "300"), (
        "SELECT setval('customers_id_seq', 7)",)),
    Case("identity never called", COMPLETENESS, ("sequence public.orders_id_seq is behind",), (
        "ALTER SEQUENCE orders_id_seq RESTART",)),
    Case("descending sequence behind", COMPLETENESS, ("sequence public.counters_descending_seq is behind", "-20"), (
        "SELECT setval('counters_descending_seq', -3)",)),
    Case("sequence without a column behind", COMPLETENESS, ("sequence public.ticket is behind", "70"), (
        "SELECT setval('ticket', 69)",)),
    Case("sequence missing", COMPLETENESS, ("sequence public.never_used is missing",), ("DROP SEQUENCE never_used",)),
    Case("grant missing", COMPLETENESS, ("grant on table public.orders is missing: readers: SELECT",), (
        "REVOKE SELECT ON orders FROM readers",)),
    Case("column grant missing", COMPLETENESS, ("column public.customers.name is missing: auditor: SELECT",), (
        "REVOKE SELECT (name) ON customers FROM auditor",)),
    Case("function open to everybody", COMPLETENESS, ("more than the source had: PUBLIC: EXECUTE", "twice"), (
        "GRANT EXECUTE ON FUNCTION twice TO PUBLIC",)),
    Case("default privileges missing", COMPLETENESS, ("creates in stock", "readers: SELECT"), (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA stock REVOKE SELECT ON TABLES FROM readers",)),
    Case("extension missing", COMPLETENESS, ("extension pg_trgm is missing", "index public.shapes_trgm is missing"), (
        "DROP EXTENSION pg_trgm CASCADE",)),
    Case("extension older", COMPLETENESS, ("extension hstore is version 1.2, the source had 1.8", "UPDATE"), (
        "UPDATE pg_extension SET extversion = '1.2' WHERE extname = 'hstore'",)),
    Case("collation of an index changed", COMPLETENESS, ("de-x-icu", "shapes_icu", "REINDEX"), (
        "UPDATE pg_collation SET collversion = '1.1' WHERE collname = 'de-x-icu'",)),
    Case("collation of the database changed", COMPLETENESS, ("the database's own was version 2.31", "REINDEX"), (
        "UPDATE pg_database SET datcollversion = '2.31' WHERE datname = current_database()",)),
    Case("constraint not valid", COMPLETENESS, ("constraint public.orders: customer_exists is NOT VALID",), (
        "ALTER TABLE orders DROP CONSTRAINT customer_exists, ADD CONSTRAINT customer_exists FOREIGN KEY (customer)"
        " REFERENCES customers DEFERRABLE INITIALLY DEFERRED NOT VALID",)),
    Case("constraint dropped", COMPLETENESS, ("constraint public.customers: customers_code_check is missing",), (
        "ALTER TABLE customers DROP CONSTRAINT customers_code_check",)),
    Case("constraint weaker", COMPLETENESS, ("customers_code_check is defined otherwise",), (
        "ALTER TABLE customers DROP CONSTRAINT customers_code_check,"
        " ADD CONSTRAINT customers_code_check CHECK (code <> '')",)),
    Case("domain without its check", COMPLETENESS, ("positive_check is missing",), (
        "ALTER DOMAIN positive DROP CONSTRAINT positive_check",)),
    Case("rows without their parent", COMPLETENESS, (
        "foreign key customer_exists is violated: 1 rows of public.orders",), ORPHANS),
    Case("foreign key triggers off", COMPLETENESS, ("foreign key triggers of public.readings_0 are disabled",), (
        "ALTER TABLE readings_0 DISABLE TRIGGER ALL",)),
    Case("trigger dropped", COMPLETENESS, ("trigger public.orders: stamped is missing",), (
        "DROP TRIGGER stamped ON orders",)),
    Case("trigger disabled", COMPLETENESS, ("trigger public.orders: stamped is disabled",), (
        "ALTER TABLE orders DISABLE TRIGGER stamped",)),
    Case("view without data", COMPLETENESS, ("materialized view public.totals is not populated", "REFRESH"), (
        "REFRESH MATERIALIZED VIEW totals WITH NO DATA",)),
    Case("table missing", COMPLETENESS, ("table public.child is missing",), ("DROP TABLE child",)),
    Case("partition missing", COMPLETENESS, ("table public.readings_0 is missing",), ("DROP TABLE readings_0",)),
    Case("column missing", COMPLETENESS, ("table public.archive has other columns",), (
        "ALTER TABLE archive DROP note",)),
    Case("table logged no more", COMPLETENESS, ("table public.wide has another persistence",), (
        "ALTER TABLE wide SET UNLOGGED",)),
    Case("owner changed", COMPLETENESS, ("table public.wide has another owner",), ("ALTER TABLE wide OWNER TO app",)),
    Case("index missing", COMPLETENESS, ("index public.shapes_lower is missing",), ("DROP INDEX shapes_lower",)),
    Case("view missing", COMPLETENESS, ("view public.dear is missing",), ("DROP VIEW dear",)),
    Case("function missing", COMPLETENESS, ("function public.nothing_much() is missing",), (
        "DROP PROCEDURE nothing_much",)),
    Case("function changed", COMPLETENESS, ("function public.stamp() differs",), (
        "CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN old; END'",)),
    Case("policy missing", COMPLETENESS, ("policy public.customers: own is missing",), (
        "DROP POLICY own ON customers",)),
    Case("row security off", COMPLETENESS, ("table public.customers has row security switched otherwise",), (
        "ALTER TABLE customers DISABLE ROW LEVEL SECURITY",)),
    Case("enum label more", COMPLETENESS, ("type public.colour differs",), ("ALTER TYPE colour ADD VALUE 'blue'",)),
    Case("large objects lost", COMPLETENESS, ("1 large objects are missing",), ("SELECT lo_unlink(4711)",)),
    Case("table emptied", COMPLETENESS, ("table public.archive is empty, the source had 1000 rows",), (
        "TRUNCATE archive",)),
    Case("partition emptied", COMPLETENESS, ("public.measures_2a is empty", "rows of public.measures: 200"), (
        "ALTER TABLE readings DROP CONSTRAINT readings_measure_part_fkey", "TRUNCATE measures_2a")),
    Case("too few rows of the source's", COMPLETENESS, ("rows of public.orders: 500", "600", "10.0%"), (
        "DELETE FROM orders WHERE id > 500",)),
    Case("wrong database", COMPLETENESS, ("identity: another shop, expected shop",), (
        "UPDATE identity SET name = 'another shop'",)),
    Case("encoding", COMPLETENESS, ("encoding is SQL_ASCII, the source had UTF8",), (
        "UPDATE pg_database SET encoding = 0 WHERE datname = current_database()",)),
    Case("invariant of a missing table", INVARIANTS, ("all sent:", "does not exist"), (), expected={"invariants": [
        {"name": "all sent", "query": "SELECT count(*) FROM parcels", "expect": "0"}]}),
    Case("invariant that errors", INVARIANTS, ("one could not be checked", "division by zero"), (), expected={
        "invariants": [{"name": "one", "query": "SELECT 1/0", "expect": "0"}]}, outcome="unverified"),
    Case("invariant that takes too long", INVARIANTS, ("one could not be checked", "statement timeout"), (), expected={
        "invariants": [{"name": "one", "query": "SELECT 0 FROM pg_sleep(600)", "expect": "0"}]},
        outcome="unverified", options={"statement_timeout": 3.0}),
    Case("invariant that writes", INVARIANTS, ("one could not be checked", "read-only"), (), expected={
        "invariants": [{"name": "one", "query": "SELECT nextval('ticket')", "expect": "71"}]}, outcome="unverified"),
    Case("invariant on another server", INVARIANTS, ("one: it reads a foreign table",), (), expected={
        "invariants": [{"name": "one", "query": "SELECT count(*) FROM far", "expect": "0"}]}, outcome="unverified"),
    Case("no canary", FRESHNESS, ("names no canary",), (), expected={"canaries": [], "pitr": []}, outcome="unverified"),
    Case("only one side of the target", FRESHNESS, ("no row after the target is named",), (), expected={
        "pitr": "one side"}, outcome="unverified"),
    Case("wrong by itself, without facts", COMPLETENESS, (
        "sequence public.by_hand_id_seq is behind", "never_checked is NOT VALID", "public.later is not populated"), (),
        expected={"facts": None, "row_counts": "absolute"}),
    Case("owner of the database", COMPLETENESS, ("owner is postgres, the source had app",), (
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO postgres', current_database()); END $$",)),
    Case("too few rows", INVARIANTS, ("rows of orders: 50, expected 100 to 1000",), (
        "DELETE FROM orders WHERE id > 50",), expected={"row_counts": "absolute"}),
    Case("too many rows", INVARIANTS, ("rows of orders: 1600, expected 100 to 1000",), (
        "INSERT INTO orders (customer, total) SELECT 1, 1 FROM generate_series(1, 1000)",),
        expected={"row_counts": "absolute"}),
    Case("invariant broken", INVARIANTS, ("no debts: 2, expected 0",), ("UPDATE orders SET total = -1 WHERE id < 3",)),
    Case("canary stale", FRESHNESS, ("canary heartbeat.at", "110 s before", "60 s are allowed"), (
        "DELETE FROM heartbeat WHERE at > '2026-01-02 03:04:00+00'",)),
    Case("canary gone", FRESHNESS | COMPLETENESS, ("heartbeat: there is no such table",), ("DROP TABLE heartbeat",)),
    Case("recovery ended early", FRESHNESS, (
        "ended before its target: rows 2 are missing", "newest row is of 2026-01-02T02:59:58"), (
        "DELETE FROM markers WHERE id = 2",)),
    Case("recovery went beyond", FRESHNESS, (
        "beyond its target: rows 3 are there", "a row is of 2026-01-02T03:00:01"), (
        "INSERT INTO markers VALUES (3, '2026-01-02 03:00:01+00')",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "both"), list(zip(IN_SQL, itertools.cycle(["main", "action"]))), indirect=["both"], ids=str
)
def test_defect_of_a_database(case: Case, both: BothWays, corpus: Corpus, running: ScratchServer) -> None:
    database = f"case_{IN_SQL.index(case)}"
    running.sql_in("postgres", f"CREATE DATABASE {database} TEMPLATE shop OWNER app STRATEGY file_copy")
    running.sql_in(database, SUPERUSER, *case.sql)
    expected = expectations_of(case, corpus, database)
    try:
        result = both("pg_verify", corpus.arguments(running, database, expectations=expected, **case.options))
    finally:
        running.sql_in("postgres", f"DROP DATABASE {database} WITH (FORCE)")
    assert_found(case, result)


def expectations_of(case: Case, corpus: Corpus, database: str) -> dict[str, Any]:
    """The case's own, for its copy of the database."""
    expected = dict(case.expected)
    if expected.get("row_counts") == "absolute":
        counts = corpus.expectations(database)["row_counts"]
        expected["row_counts"] = [one for one in counts if "relative" not in one]
    if expected.get("pitr") == "one side":
        expected["pitr"] = [{"database": database, "table": "markers", "present": ["1"]}]
    if "invariants" in expected:
        expected["invariants"] = [{**one, "database": database} for one in expected["invariants"]]
    return expected


Plant = Callable[[Corpus, ScratchServer], None]


def on(victim: str, how: Callable[[Path], None]) -> Plant:
    """Damage the file of a victim while the server is stopped."""

    def plant(corpus: Corpus, server: ScratchServer) -> None:
        how(corpus.damage(server, victim))
        server.start()

    return plant


def beside(path: Path, suffix: str) -> Path:
    """The file of another fork."""
    return path.with_name(path.name + suffix)


def settings(text: str) -> Plant:
    """Start it with other settings."""

    def plant(_corpus: Corpus, server: ScratchServer) -> None:
        server.stop("fast")
        server.settings = text
        server.start()

    return plant


def standby(_corpus: Corpus, server: ScratchServer) -> None:
    """Let it follow another server."""
    server.stop("fast")
    (server.data / "standby.signal").touch()
    give_to_server_user(server.data / "standby.signal")
    server.settings = "primary_conninfo = 'host=/nonexistent'\n"
    server.start()


def in_postgres(*statements: str) -> Plant:
    """Run SQL on the whole cluster."""

    def plant(_corpus: Corpus, server: ScratchServer) -> None:
        server.sql_in("postgres", *statements)

    return plant


def without_checksums(_corpus: Corpus, server: ScratchServer) -> None:
    server.stop("fast")
    server.run("pg_checksums", "--disable", "-D", server.data)
    server.start()


def swap_pages(path: Path) -> None:
    """Two pages whose checksums hold their own place."""
    with changed(path) as content:
        one, other = content[PAGE : 2 * PAGE], content[2 * PAGE : 3 * PAGE]
        content[PAGE : 2 * PAGE], content[2 * PAGE : 3 * PAGE] = other, one


#: defects of a whole cluster, or of its files: each has a clone of its own
PLANTED: list[tuple[Case, Plant]] = [
    (Case("flipped byte", STRUCTURE, ("table public.archive: page 3 is damaged",)),
     on("archive", lambda path: flip(path, 3))),
    (Case("two flipped bytes", STRUCTURE, ("archive: page 1 is damaged", "archive: page 9 is damaged")),
     on("archive", lambda path: (flip(path, 1), flip(path, 9)))),
    (Case("swapped pages", STRUCTURE, ("archive: page 1 is damaged", "archive: page 2 is damaged")),
     on("archive", swap_pages)),
    (Case("zeroed page", STRUCTURE, ("public.archive has lost rows: page 2 has no line",)),
     on("archive", lambda path: zero(path, 2, 2))),
    (Case("truncated file", STRUCTURE, ("public.archive has lost rows: page 10 has no line",)),
     on("archive", lambda path: cut(path, 10 * PAGE))),
    (Case("file cut within a page", STRUCTURE, ("public.archive ends 100 bytes into page 4",)),
     on("archive", lambda path: cut(path, 4 * PAGE + 100))),
    (Case("file gone", STRUCTURE, ("table public.archive", "could not open file")), on("archive", Path.unlink)),
    (Case("zeroed page without an index", STRUCTURE, (
        "table public.unindexed: pages 3 hold zeros",), outcome="unverified"),
     on("unindexed", lambda path: zero(path, 3, 3))),
    (Case("damaged index", STRUCTURE, ("index public.archive_pkey of public.archive: page 2 is damaged",)),
     on("archive_pkey", lambda path: flip(path, 2))),
    (Case("damaged GIN index", STRUCTURE, ("index public.documents_words of public.documents: page 1 is damaged",)),
     on("documents_words", lambda path: flip(path, 1))),
    (Case("toast values lost", STRUCTURE, ("table public.documents", "column body", "not found in toast table")),
     on("toast", lambda path: zero(path, 0, 5))),
    (Case("damaged visibility map", STRUCTURE, ("public.archive (its vm file): page 0 is damaged",)),
     on("archive", lambda path: flip(beside(path, "_vm"), 0))),
    (Case("damaged partition", STRUCTURE, ("public.measures_1: page 0 is damaged",)),
     on("measures_1", lambda path: flip(path, 0))),
    (Case("no page checksums", STRUCTURE, ("no page checksums", "pg_checksums --enable"), outcome="unverified"),
     without_checksums),
    (Case("role missing", COMPLETENESS, ("role nobody_special is missing",)), in_postgres("DROP ROLE nobody_special")),
    (Case("role may do less", COMPLETENESS, ("role auditor differs", "login is False, not True")),
     in_postgres("ALTER ROLE auditor NOLOGIN")),
    (Case("membership missing", COMPLETENESS, ("membership auditor in readers is missing",)),
     in_postgres("REVOKE readers FROM auditor")),
    (Case("setting of a role missing", COMPLETENESS, ("role app differs", "settings")),
     in_postgres("ALTER ROLE app RESET work_mem")),
    (Case("database missing", COMPLETENESS | INVARIANTS, ("database shop is missing", "there is no such database")),
     in_postgres("ALTER DATABASE shop RENAME TO boutique")),
    (Case("another cluster", COMPLETENESS, ("system identifier", "7000000000000000001 was expected"),
          expected={"system_identifier": "7000000000000000001"}), lambda _corpus, _server: None),
    (Case("archiving", ISOLATED, ("archive_mode is 'on'", "archive_command is set")),
     settings("archive_mode = on\narchive_command = 'true'\n")),
    (Case("listening", ISOLATED, ("listen_addresses is '127.0.0.1'",)), settings("listen_addresses = '127.0.0.1'\n")),
    (Case("socket open to others", ISOLATED, ("is open to others",)),
     lambda _corpus, server: server.socket.chmod(0o755)),
    (Case("replication slot", ISOLATED, ("replication slot left_over is there",)),
     in_postgres("SELECT pg_create_physical_replication_slot('left_over')")),
    (Case("subscription", ISOLATED, ("subscription follows is enabled",)), in_postgres(
        "CREATE SUBSCRIPTION follows CONNECTION 'host=/nonexistent' PUBLICATION p"
        " WITH (connect = false, slot_name = s)",
        "ALTER SUBSCRIPTION follows ENABLE")),
]  # fmt: skip


@pytest.mark.parametrize(("case", "plant"), PLANTED, ids=lambda value: str(value) if isinstance(value, Case) else "")
def test_defect_of_a_cluster(case: Case, plant: Plant, corpus: Corpus) -> None:
    server = corpus.clone()
    try:
        plant(corpus, server)
        arguments = corpus.arguments(server, expectations=case.expected, **case.options)
        assert_found(case, run_action("pg_verify", arguments))
    finally:
        server.remove()


def test_in_recovery_and_following(corpus: Corpus) -> None:
    server = corpus.clone()
    try:
        standby(corpus, server)
        result = run_action("pg_verify", corpus.arguments(server, rungs=["isolated", "structure"]))
        outcomes = {rung["rung"]: rung["outcome"] for rung in result["rungs"]}
        assert outcomes == {"isolated": "failed", "structure": "unverified"}
        assert any("in recovery, and was expected out of recovery" in one for one in result["problems"])
        assert any("primary_conninfo is in use" in one for one in result["problems"])
        assert any("Promote" in one or "promote" in one for one in result["unverified"])
    finally:
        server.remove()
