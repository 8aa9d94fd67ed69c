"""A PostgreSQL with a repository of pgBackRest in a directory, and a long history with damage at known places."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils import bisect
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.process_identity import ProcessIdentity

from tests.unit.servers import PostgresFactory, PostgresServer, as_server_user, eventually, give_to_server_user

Result = dict[str, Any]


class Keeper:
    """One server and what it archives to."""

    def __init__(self, directory: Path, factory: PostgresFactory) -> None:
        directory.mkdir(mode=0o755)
        self.directory, self.factory = directory, factory
        self.postgres = factory()
        self.repository, self.scratches = directory / "repository", directory / "s"
        self.config = directory / "pgbackrest.conf"
        for path in (self.repository, directory / "lock", directory / "log", directory / "spool"):
            path.mkdir()
            give_to_server_user(path)
        self.configure(self.postgres)
        self.pgbackrest("stanza-create")
        command = f"pgbackrest --config={self.config} --stanza=main archive-push %p"
        self.postgres.sql(
            f"ALTER SYSTEM SET archive_command = '{command}'", "ALTER SYSTEM SET archive_mode = on",
            "ALTER SYSTEM SET max_prepared_transactions = 5", "ALTER SYSTEM SET autovacuum = off",
        )  # fmt: skip
        self.postgres.stop("fast")
        self.postgres.start()

    def configure(self, server: PostgresServer) -> None:
        """Write the configuration, for one server."""
        text = (
            f"[global]\nrepo1-path={self.repository}\nrepo1-retention-full=99\nlock-path={self.directory}/lock\n"
            f"log-path={self.directory}/log\nspool-path={self.directory}/spool\nstart-fast=y\ncompress-type=lz4\n"
            f"[main]\npg1-path={server.data}\npg1-port={server.port}\npg1-user=postgres\n"
            f"pg1-socket-path={server.directory}\n"
        )
        self.config.unlink(missing_ok=True)
        self.config.write_text(text)
        self.config.chmod(0o600)
        give_to_server_user(self.config)

    def pgbackrest(self, *arguments: str) -> str:
        """Run the program as its user would."""
        done = subprocess.run(
            ["pgbackrest", f"--config={self.config}", "--stanza=main", *arguments], check=False, text=True, cwd="/",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"]}, **as_server_user(),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def backup(self) -> None:
        """Take a full backup."""
        self.pgbackrest("--type=full", "--no-archive-check", "backup")

    def switch(self) -> str:
        """End the WAL segment and wait until it is in the repository; its name."""
        ((name,),) = self.postgres.sql("SELECT pg_create_restore_point('x')", "SELECT pg_walfile_name(pg_switch_wal())")
        eventually(lambda: self.segment(name), f"{name} in the archive")
        return str(name)

    def segment(self, name: str) -> Path | None:
        """The file of an archived segment."""
        return next(iter(self.repository.glob(f"archive/main/*/*/{name}-*")), None)

    def options(self, *probes: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The module's options."""
        return {
            "config": str(self.config), "directory": str(self.scratches), "run": "INC-7", "probes": list(probes), **more
        }  # fmt: skip

    def find(self, *probes: dict[str, Any], check: bool = False, **more: Any) -> Result:
        """Call the service itself, with every option's default."""
        given = [{"database": "postgres", **probe} for probe in probes]
        mine = ProcessIdentity.of(os.getpid(), "test").as_dict()
        return bisect.run({**self.defaults(), "owner": mine, **self.options(*given, **more)}, check)

    @staticmethod
    def defaults() -> dict[str, Any]:
        """Every option's default."""
        return {name: one.get("default") for name, one in bisect.SPECIFICATION.argument_spec.items()}

    def leftovers(self) -> list[str]:
        """What lies in the directory of scratches, and servers that run there."""
        found = [path.name for path in self.scratches.iterdir()] if self.scratches.is_dir() else []
        return found + [line for line in _commands() if str(self.scratches) in line]


def _commands() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")


@dataclass
class Case:
    """One planted damage: `probe` sees it, `last_good` and `first_bad` are what the session itself was told."""

    name: str
    probe: dict[str, Any]
    last_good: int = 0
    first_bad: int = 0


def _damages() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Name, what prepares it before the first backup, what does it, and the probe. {t} is a table of the case's own."""
    ten = "CREATE TABLE {t} (id int PRIMARY KEY, v int); INSERT INTO {t} SELECT i, 10 * i FROM generate_series(1, 10) i"
    total, count = {"query": "SELECT sum(v) FROM {t}", "expect": "550"}, {"query": "SELECT count(*) FROM {t}"}
    third = {"query": "SELECT v FROM {t} WHERE id = 3", "expect": "30"}
    child = "; CREATE TABLE {t}_of (id int REFERENCES {t} ON DELETE CASCADE); INSERT INTO {t}_of SELECT id FROM {t}"
    one = "CREATE FUNCTION {t}() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    call = {"query": "SELECT {t}()", "expect": "1"}
    nested = "SAVEPOINT a; DELETE FROM {t}; ROLLBACK TO a; SAVEPOINT b; UPDATE {t} SET v = 0; RELEASE b"
    return {
        "one value": (ten, "UPDATE {t} SET v = 31 WHERE id = 3", third),
        "all values": (ten, "UPDATE {t} SET v = v + 1", total),
        "value to null": (ten, "UPDATE {t} SET v = NULL WHERE id = 3", third),
        "one row gone": (ten, "DELETE FROM {t} WHERE id = 3", {**count, "minimum": 10}),
        "all rows gone": (ten, "DELETE FROM {t}", {**count, "minimum": 1}),
        "truncated": (ten, "TRUNCATE {t}", {**count, "expect": "10"}),
        "table dropped": (ten, "DROP TABLE {t}", {**count, "minimum": 1}),
        "column dropped": (ten, "ALTER TABLE {t} DROP v", total),
        "table renamed": (ten, "ALTER TABLE {t} RENAME TO {t}_away", total),
        "rows twice": (ten, "INSERT INTO {t} SELECT id + 10, v FROM {t}", {**count, "maximum": 10}),
        "a row too many": (ten, "INSERT INTO {t} VALUES (11, -1)", {**count, "expect": "10"}),
        "type changed": (ten, "ALTER TABLE {t} ALTER v TYPE bigint USING v * 2", total),
        "in a subtransaction": (ten, nested, total),
        "rows swapped": (ten, "UPDATE {t} SET v = 50 - v WHERE id IN (2, 3)", third),
        "function replaced": (one, one.replace("CREATE", "CREATE OR REPLACE").replace("SELECT 1", "SELECT 2"), call),
        "function dropped": (one, "DROP FUNCTION {t}()", call),
        "view replaced": ("CREATE VIEW {t} AS SELECT 1 AS v", "CREATE OR REPLACE VIEW {t} AS SELECT 2 AS v",
                          {"query": "SELECT v FROM {t}", "expect": "1"}),
        "cascade": (ten + child, "DELETE FROM {t} WHERE id = 3",
                    {"query": "SELECT count(*) FROM {t}_of", "expect": "10"}),
        "schema dropped": ("CREATE SCHEMA {t}; CREATE TABLE {t}.x AS SELECT 1 AS v", "DROP SCHEMA {t} CASCADE",
                           {"query": "SELECT v FROM {t}.x", "expect": "1"}),
        "role dropped": ("CREATE ROLE {t}", "DROP ROLE {t}",
                         {"query": "SELECT count(*) FROM pg_roles WHERE rolname = '{t}'", "expect": "1"}),
        "large object gone": ("SELECT lo_from_bytea({n}, 'x')", "SELECT lo_unlink({n})",
                              {"query": "SELECT count(*) FROM pg_largeobject_metadata WHERE oid = {n}", "expect": "1"}),
        "prepared": (ten, "UPDATE {t} SET v = v + 1", total),
        "open for long": (ten, "DELETE FROM {t} WHERE id = 3", total),
    }  # fmt: skip


DAMAGES = _damages()
#: cases whose transaction begins long before it commits
_EARLY, _AHEAD = ("prepared", "open for long"), 11


class Story:
    """Hundreds of transactions in an order that is known, with each damage somewhere among them, and backups between.

    One thread drives all sessions, so that the order of their commits is ours: `committed` has their ids in it.
    """

    def __init__(self, keeper: Keeper, seed: int, transactions: int, backups: int) -> None:
        self.keeper, self.random = keeper, random.Random(seed)
        self.server = keeper.postgres
        self.session, self.other = self.server.connect(), self.server.connect()
        self.committed: list[int] = []
        self.cases = [Case(name, {}) for name in DAMAGES]
        self.random.shuffle(self.cases)
        for number, case in enumerate(self.cases):
            prepare, _harm, probe = DAMAGES[case.name]
            self._run(self._filled(prepare, number))
            case.probe = {name: self._filled(str(value), number) if name in ("query", "expect") else value
                          for name, value in {"name": case.name, "database": "postgres", **probe}.items()}  # fmt: skip
        self._run("; ".join(f"CREATE TABLE n{i} (id serial, v text)" for i in range(20)))
        keeper.backup()
        self._tell(transactions, backups)
        self.segment = keeper.switch()
        self.session.close()
        self.other.close()

    def _tell(self, transactions: int, backups: int) -> None:
        moments = sorted(self.random.sample(range(20, transactions - 2), len(self.cases)))
        due = dict(zip(moments, self.cases, strict=True))
        between = {transactions * number // backups for number in range(1, backups)}
        for step in range(transactions):
            if step in between:
                self.keeper.backup()
            self._noise(step)
            if (soon := due.get(step + _AHEAD)) and soon.name in _EARLY:
                self._begin_early(soon)
            if step in due:
                self._damage(due[step])

    def _begin_early(self, case: Case) -> None:
        session = self.other if case.name == "open for long" else self.session
        harm = self._filled(DAMAGES[case.name][1], self.cases.index(case))
        with session.cursor() as cursor:
            cursor.execute(f"BEGIN; {harm}")
            cursor.execute("SELECT txid_current()")
            case.first_bad = cursor.fetchone()[0]
            if case.name == "prepared":
                cursor.execute("PREPARE TRANSACTION 'early'")

    def _damage(self, case: Case) -> None:
        case.last_good = self.committed[-1]
        if case.name == "prepared":
            self._alone("COMMIT PREPARED 'early'")
            self.committed.append(case.first_bad)
        elif case.name == "open for long":
            with self.other.cursor() as cursor:
                cursor.execute("COMMIT")
            self.committed.append(case.first_bad)
        else:
            self._run(self._filled(DAMAGES[case.name][1], self.cases.index(case)))
            case.first_bad = self.committed[-1]

    def _filled(self, text: str, number: int) -> str:
        return text.replace("{t}", f"c{number}").replace("{n}", str(70000 + number))

    def _alone(self, statement: str) -> None:
        with self.session.cursor() as cursor:
            cursor.execute(statement)

    def _run(self, statements: str, end: str = "COMMIT") -> None:
        """One transaction; its id is kept where it commits."""
        with self.session.cursor() as cursor:
            cursor.execute(f"BEGIN; {statements}")
            cursor.execute("SELECT txid_current()")
            xid = cursor.fetchone()[0]
            cursor.execute(end)
        if end == "COMMIT":
            self.committed.append(xid)

    def _noise(self, step: int) -> None:
        table = f"n{self.random.randrange(20)}"
        insert = (
            f"INSERT INTO {table} (v) SELECT md5(i::text) FROM generate_series(1, {self.random.randrange(1, 40)}) i"
        )
        kind = self.random.choice(
            ("insert", "insert", "update", "delete", "abort", "sub", "prepared", "ddl", "truncate")
        )
        if kind == "insert":
            self._run(insert)
        elif kind == "update":
            self._run(f"UPDATE {table} SET v = v || 'x' WHERE id % 3 = {step % 3}; {insert}")
        elif kind == "delete":
            self._run(f"DELETE FROM {table} WHERE id % 5 = {step % 5}; {insert}")
        elif kind == "abort":
            self._run(insert, "ROLLBACK")
        elif kind == "sub":
            self._run(f"SAVEPOINT s; {insert}; ROLLBACK TO s; SAVEPOINT u; {insert}; RELEASE u")
        elif kind == "prepared":
            self._run(insert, f"PREPARE TRANSACTION 'n{step}'")
            self._alone(f"ROLLBACK PREPARED 'n{step}'")
        elif kind == "ddl":
            self._run(f"CREATE TABLE d{step} AS SELECT 1; DROP TABLE d{step}; {insert}")
        else:
            self._run(f"TRUNCATE {table}; {insert}")
