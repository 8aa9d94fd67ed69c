# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restores a dump, plain, custom or directory, into a server, and judges it by every message, not by the exit status.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .errors import RecoveryError
from .logical_archive import Archive, is_complete_plain, recognise
from .logical_globals import restore_globals
from .logical_messages import Problem, Problems, Reader, outcome_of
from .logical_process import Tell, run_program, silent
from .logical_rows import row_problems
from .logical_tools import Tools, client_environment, connection_arguments, find_tools
from .sql import Postgres

_CUT = "Fetch another copy of the recovery point, or use another one."
_STATISTICS = "SELECT count(*), coalesce(sum(pg_database_size(oid)), 0)::int8 FROM pg_database WHERE datname = %s"
_TABLES = """
SELECT count(*) FROM pg_class
WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text !~ '^(pg_catalog|information_schema|pg_toast.*)$'
"""


@dataclass(frozen=True)
class Restore:
    """One dump and where it goes.

    `options` reach the target as a superuser. With `create` the dump's own database is created with all its
    properties, else its objects go into `options.database`. `tablespaces` is where the target's tablespaces go; None:
    where they were. `facts` are those of the backup: its rows are counted again.
    """

    dump: Path
    options: t.Mapping[str, t.Any]
    jobs: int = 2
    create: bool = True
    globals: Path | None = None
    tablespaces: Path | None = None
    facts: t.Mapping[str, t.Any] = field(default_factory=dict)
    analyze: bool = False
    bin_directory: str | None = None
    timeout: float = 21600.0
    #: `whole`: in one transaction, or not at all. `stop`: psql ends at its first error. `more`: arguments of pg_restore
    whole: bool = False
    stop: bool = False
    more: tuple[str, ...] = ()
    settings: t.Mapping[str, str] = field(default_factory=dict)
    #: told of each message of pg_restore, and every few seconds of the restored bytes; in place of lines to `tell`
    on_note: t.Callable[[str], None] | None = None
    on_tick: t.Callable[[int], None] | None = None


@dataclass
class Restored:
    """What came of it. `outcome` is passed without a problem. Sizes in bytes, as the server has them now."""

    outcome: str = "failed"
    format: str | None = None
    database: str | None = None
    server_version: str | None = None
    dump_version: str | None = None
    tool_version: str | None = None
    seconds: float = 0.0
    bytes: int | None = None
    tables: int | None = None
    roles: int = 0
    tablespaces: int = 0
    problems: list[dict[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, t.Any]:
        """Return JSON-safe members."""
        return dict(vars(self))


def restore_logical(what: Restore, tell: Tell | None = None) -> Restored:
    """Restore: roles and tablespaces first, then the dump, every message classified.

    Raises Unreachable when the target does not answer before it begins, TimedOut; what is wrong with the dump, or
    missing in the target, is a problem and not an exception.
    """
    return _Run(what, tell or silent).run()


class _Run:
    def __init__(self, what: Restore, tell: Tell) -> None:
        self.what = what
        self.tell = tell
        self.problems = Problems()
        self.result = Restored()
        self.begun = time.monotonic()
        self.finished = 0
        self.name = what.dump.name

    def run(self) -> Restored:
        with Postgres(self.what.options) as server:
            server.rows("SELECT 1")  # unreachable is not the dump's fault
        try:
            archive = recognise(self.what.dump)
        except RecoveryError as error:
            self.problems.add(Problem("damaged_toc", self.name, str(error), _CUT))
            return self._done()
        self._take(archive)
        tools = self._tools(archive)
        if tools is not None:
            self.result.tool_version = tools.version
            self._globals()
            self._restore(archive, tools)
            self._count()
        return self._done()

    def _take(self, archive: Archive) -> None:
        self.result.format = archive.format
        self.result.database = archive.database if self.what.create else None
        self.result.database = self.result.database or str(self.what.options.get("database") or "postgres")
        self.result.server_version, self.result.dump_version = archive.server_version, archive.dump_version

    def _tools(self, archive: Archive) -> Tools | None:
        """Return programs that are not older than the one that wrote the dump."""
        program = "psql" if archive.format == "plain" else "pg_restore"
        wrote = f"pg_dump {archive.dump_version} wrote the dump, and an older {program} cannot read it"
        try:
            return find_tools(program, archive.dump_major or 0, self.what.bin_directory, wrote)
        except RecoveryError as error:
            remedy = f"Install PostgreSQL's client programs of version {archive.dump_major}, or correct bin_directory."
            self.problems.add(Problem("newer_than_tool", self.name, str(error), remedy))
            return None

    def _globals(self) -> None:
        if self.what.globals is None:
            return
        done = restore_globals(
            self.what.globals, self.what.options, self.what.tablespaces, min(60.0, self.what.timeout)
        )
        self.result.roles, self.result.tablespaces = done.roles, done.tablespaces
        for problem in done.problems:
            self.problems.add(problem)

    def _restore(self, archive: Archive, tools: Tools) -> None:
        reader = Reader(self.problems, self._note)
        argv = self._psql(tools) if archive.format == "plain" else self._pg_restore(tools)
        env = client_environment(self.what.options)
        # what the restored database or role sets for its sessions must not end the restore
        settings = {"default_transaction_read_only": "off", **self.what.settings}
        env["PGOPTIONS"] += "".join(f" -c {name}={value}" for name, value in settings.items())
        status = run_program(argv, env, self.what.timeout, reader.line, self._tick)
        reader.end()
        if archive.format == "plain" and not is_complete_plain(self.what.dump):
            cause = "its last line, 'PostgreSQL database dump complete', is missing: it was cut"
            self.problems.add(Problem("cut_dump", self.name, cause, _CUT))
        if status != 0 and not self.problems and not (reader.harmless and reader.ignored):
            cause = f"{argv[0]} ended with status {status} and said nothing that is known"
            self.problems.add(Problem("other", self.name, cause, "Run it by hand and read what it says."))

    def _pg_restore(self, tools: Tools) -> list[str]:
        database = "template1" if self.what.create else self.result.database
        return [
            tools.path("pg_restore"), *connection_arguments(self.what.options, database), "--verbose",
            *(["--create"] if self.what.create else []), f"--jobs={1 if self.what.whole else self.what.jobs}",
            *(["--single-transaction"] if self.what.whole else []), *self.what.more, str(self.what.dump),
        ]  # fmt: skip

    def _psql(self, tools: Tools) -> list[str]:
        return [
            tools.path("psql"), *connection_arguments(self.what.options, self.result.database), "--no-psqlrc",
            "--quiet", f"--set=ON_ERROR_STOP={int(self.what.stop)}",
            *(["--single-transaction"] if self.what.whole else []), "--file", str(self.what.dump),
        ]  # fmt: skip

    def _note(self, line: str) -> None:
        self.finished += line.startswith("pg_restore: finished item") and " TABLE DATA " in line
        if self.what.on_note is not None:
            self.what.on_note(line)

    def _tick(self) -> None:
        try:
            size = self._size()
        except RecoveryError:  # it may not have been created yet
            return
        if self.what.on_tick is not None:
            self.what.on_tick(size)
            return
        seconds = max(0.001, time.monotonic() - self.begun)
        self.tell(
            f"pg_restore: {self.finished} tables, {size / 1e6:.0f} MB in {self.result.database}, "
            f"{size / seconds / 1e6:.1f} MB/s"
        )

    def _size(self) -> int:
        with Postgres({**self.what.options, "database": "template1"}) as server:
            return int(server.row(_STATISTICS, (self.result.database,))[1])

    def _count(self) -> None:
        try:
            with Postgres({**self.what.options, "database": self.result.database}) as server:
                self.result.tables = int(server.row(_TABLES, timeout=60.0)[0])
                if self.what.analyze:
                    server.rows("ANALYZE", timeout=self.what.timeout)
            self.result.bytes = self._size()
            for problem in row_problems(
                self.what.facts, self.what.options, str(self.result.database), self.what.timeout
            ):
                self.problems.add(problem)
        except RecoveryError as error:
            remedy = "See the problems before it."
            self.problems.add(Problem("no_database", str(self.result.database), str(error), remedy))

    def _done(self) -> Restored:
        self.result.problems = self.problems.as_list()
        self.result.outcome = outcome_of(self.result.problems)
        self.result.seconds = round(time.monotonic() - self.begun, 3)
        return self.result
