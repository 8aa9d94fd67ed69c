"""Scratch clusters for pg_verify's tests: one healthy corpus, built once and copied for each defect."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from tests.unit.plugins.verify_corpus import CANARY, CLUSTER, DATABASES, LATIN, MARKERS, ODD, ODD_TABLE, SHOP
from tests.unit.servers import PostgresServer, give_to_server_user

PAGE = 8192
#: relations whose files are damaged
VICTIMS = (
    "archive", "archive_pkey", "documents", "documents_words", "counters_descending_seq", "unindexed", "measures_1",
)  # fmt: skip

Options = dict[str, Any]


class ScratchServer(PostgresServer):
    """A cluster on a Unix socket in a directory of its own, below a scratch directory that has its owner file."""

    settings = ""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.socket = directory / "socket"
        self.host = str(self.socket)

    def initialise(self) -> ScratchServer:
        """Create the cluster with page checksums; its superuser needs no password."""
        self._make_directory()
        self.run(
            "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync", "--wal-segsize=1", "-k",
            "--encoding=UTF8", "--locale=C",
        )  # fmt: skip
        return self

    def _make_directory(self) -> None:
        super()._make_directory()
        self.socket.mkdir(mode=0o700)
        give_to_server_user(self.socket)
        (self.directory / "owner.json").write_text("{}")

    def configure(self) -> None:
        """Nothing listens but the socket."""
        (self.data / "postgresql.conf").write_text(
            f"listen_addresses = ''\nport = {self.port}\nunix_socket_directories = '{self.socket}'\nfsync = off\n"
            "max_wal_size = 64MB\nmin_wal_size = 2MB\nshared_buffers = 16MB\nautovacuum = off\nmax_connections = 20\n"
            + self.settings
        )

    def sql_in(self, database: str, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in a database, each committing by itself; rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        with contextlib.closing(self.session(database)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def session(self, database: str = "postgres", user: str = "postgres") -> Any:
        """A connection that commits each statement."""
        connection = psycopg2.connect(host=self.host, port=self.port, user=user, dbname=database)
        connection.autocommit = True
        return connection

    def options(self, user: str = "postgres", **more: Any) -> Options:
        return {"host": self.host, "port": self.port, "user": user, "database": "postgres", **more}

    def remove(self) -> None:
        """Stop it and take its files away."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


@dataclass
class Corpus:
    """The healthy cluster, stopped: its files, its facts, and where the files of the victims are."""

    directory: Path
    template: ScratchServer
    empty: ScratchServer
    facts: Options
    paths: dict[str, str]
    count: int = 0

    def clone(self, template: ScratchServer | None = None, start: bool = True) -> ScratchServer:
        """One more copy."""
        self.count += 1
        server = ScratchServer(self.directory / f"case-{self.count}")
        server.copy_of(template or self.template)
        return server.start() if start else server  # type: ignore[return-value]

    def expectations(self, database: str = "shop", **more: Any) -> Options:
        """What holds for the database `shop`, or for a copy of it by another name."""
        facts = copy.deepcopy(self.facts)
        facts["databases"] = {database: facts["databases"]["shop"]}
        return {
            "facts": facts,
            "physical": True,
            "identity": [{"database": database, "query": "SELECT name FROM identity", "expect": "shop"}],
            "invariants": [
                {"name": "no debts", "database": database, "query": "SELECT count(*) FROM orders WHERE total < 0",
                 "expect": "0"},
                {"name": "truth", "database": database, "query": "SELECT true;", "expect": "t"},
            ],
            "row_counts": [
                {"database": database, "table": "orders", "minimum": 100, "maximum": 1000},
                {"database": database, "table": "public.orders", "relative": 0.1},
                {"database": database, "table": "public.measures", "relative": 0.0},
            ],
            "as_of": CANARY,
            "canaries": [{"database": database, "table": "heartbeat", "column": "at", "max_age_seconds": 60}],
            "pitr": [
                {"database": database, "table": "markers", "present": ["1", "2"], "absent": ["3"]},
                {"database": database, "table": "markers", "column": "at", **MARKERS},
            ],
            **more,
        }  # fmt: skip

    def arguments(self, server: ScratchServer, database: str = "shop", **more: Any) -> Options:
        """pg_verify's options for a clone."""
        given = more.pop("expectations", {})
        return {
            "postgres": server.options(),
            "databases": [database],
            "scratch": True,
            "statement_timeout": 30.0,
            "jobs": 2,
            "expectations": self.expectations(database, **given),
            **more,
        }

    def damage(self, server: ScratchServer, victim: str) -> Path:
        """The file of a victim; stops the server."""
        server.stop("fast")
        return server.data / self.paths[victim]


def build(directory: Path, verify: Any) -> Corpus:
    """Make the healthy cluster; `verify` takes its facts."""
    empty = ScratchServer(directory / "empty").initialise()
    template = ScratchServer(directory / "template")
    template.copy_of(empty)
    template.start()
    template.sql_in("postgres", *CLUSTER, *DATABASES)
    template.sql_in("shop", *SHOP)
    template.sql_in(ODD, *ODD_TABLE)
    template.sql_in("latin", *LATIN)
    paths = template.sql_in(
        "shop", f"SELECT relname, pg_relation_filepath(oid) FROM pg_class WHERE relname IN {VICTIMS}"
    )
    toast = template.sql_in(
        "shop", "SELECT pg_relation_filepath(reltoastrelid) FROM pg_class WHERE relname = 'documents'"
    )
    result = verify({"postgres": template.options(), "capture": True})
    template.sql_in("postgres", "CHECKPOINT")
    template.stop("fast")
    facts = json.loads(json.dumps(result["facts"]))
    return Corpus(directory, template, empty, facts, {**dict(paths), "toast": toast[0][0]})


@contextlib.contextmanager
def changed(path: Path) -> Iterator[bytearray]:
    """The content of a file, written back."""
    content = bytearray(path.read_bytes())
    yield content
    with path.open("r+b") as file:
        file.write(content)
        file.truncate(len(content))


def flip(path: Path, page: int) -> None:
    """Change one byte in the rows of a page."""
    with changed(path) as content:
        content[page * PAGE + PAGE - 20] ^= 0xFF


def zero(path: Path, first: int, last: int) -> None:
    """Overwrite pages with zeros."""
    with changed(path) as content:
        content[first * PAGE : (last + 1) * PAGE] = bytes((last + 1 - first) * PAGE)


def cut(path: Path, size: int) -> None:
    """Leave the first bytes only."""
    with path.open("r+b") as file:
        file.truncate(size)


def dump_and_load(source: ScratchServer, target: ScratchServer, directory: Path) -> None:
    """Roles and all databases, by PostgreSQL's own programs, into an empty cluster."""
    where = ["-h", source.host, "-p", str(source.port), "-U", "postgres"]
    dumped = directory / "all.sql"
    with dumped.open("wb") as file:
        subprocess.run([str(source.bin / "pg_dumpall"), *where], stdout=file, check=True, cwd="/")
    there = ["-h", target.host, "-p", str(target.port), "-U", "postgres", "-d", "postgres", "-q", "-X"]
    text = dumped.read_text(encoding="utf-8", errors="surrogateescape").replace("CREATE ROLE postgres;", "")
    dumped.write_text(text, encoding="utf-8", errors="surrogateescape")
    with dumped.open("rb") as file:
        subprocess.run([str(source.bin / "psql"), *there, "-v", "ON_ERROR_STOP=1"], stdin=file, check=True, cwd="/",
                       stdout=subprocess.DEVNULL)  # fmt: skip


@dataclass
class Case:
    """One defect: SQL, or a function on the data directory of a stopped server; the rungs that fail and their words."""

    name: str
    rungs: set[str]
    words: tuple[str, ...]
    sql: tuple[str, ...] = ()
    expected: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    outcome: str = "failed"

    def __str__(self) -> str:
        return self.name


def assert_found(case: Case, result: dict[str, Any]) -> None:
    """Exactly the rungs of the case have its outcome, and say its words; none fails beside them."""
    found = {rung["rung"]: rung["outcome"] for rung in result["rungs"]}
    told = "\n".join(result["problems"] if case.outcome == "failed" else result["unverified"])
    assert {name for name, outcome in found.items() if outcome == case.outcome} == case.rungs, told
    assert case.outcome == "failed" or "failed" not in found.values(), result["problems"]
    assert result["outcome"] == case.outcome
    for word in case.words:
        assert word in told
