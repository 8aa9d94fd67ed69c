# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs pg_dump and pg_dumpall, says how far they are, and explains why they stopped.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import subprocess
import time
import typing as t
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from .errors import RecoveryError, Refused, Unreachable, failed
from .logical_destination import files_of
from .logical_process import Tell, run_program
from .logical_tools import Tools, client_environment, connection_arguments
from .postgres_cluster import last_words

#: pg_dump's argument for each compression; 1 is gzip's fastest, which other programs decompress as fast as 6
_ARGUMENTS = {"gzip": "gzip:1", "lz4": "lz4", "zstd": "zstd:3", "none": "none"}
_BEFORE_16 = {"gzip": "1", "none": "0"}

#: not what pg_dump says about its way, such as "reading row-level security policies"
_ERROR = re.compile(r"\b(error|detail|hint|fatal):", re.I)
#: what stops pg_dump, its class, and what to do
_CAUSES: tuple[tuple[str, type[RecoveryError], str], ...] = (
    ("No space left on device", RecoveryError, "Free space there, or name a directory on another disk."),
    ("File too large", RecoveryError, "Raise the limit of file sizes there, or name another directory."),
    ("Disk quota exceeded", RecoveryError, "Raise the quota, or name a directory on another disk."),
    ("permission denied for", Refused, "GRANT pg_read_all_data to the role."),
    ("row-level security", Refused, "Use a role with BYPASSRLS, or the tables' owner."),
    ("conflict with recovery", RecoveryError, "Set hot_standby_feedback = on there, or back up from the primary."),
    ("server version mismatch", Refused, "Install PostgreSQL's client programs of the server's version."),
    ("lock timeout", RecoveryError, "Somebody holds the table locked: see pg_locks, or raise lock_timeout."),
    ("could not connect", Unreachable, "Check the server and the network to it."),
    ("connection to server", Unreachable, "Check the server and the network to it."),
    ("server closed the connection", Unreachable, "Check the server and the network to it."),
)


def choose_compression(tools: Tools, wanted: str) -> str:
    """Return the compression that this pg_dump can write: the wanted one, or the best of `auto`. Raises Refused."""
    if wanted != "auto":
        if _can(tools, wanted):
            return wanted
        remedy = "Use another compression, or a pg_dump of version 16 or newer that was built with it."
        raise Refused(failed("compress with", wanted, f"pg_dump {tools.version} cannot", remedy))
    return next(one for one in ("zstd", "lz4", "gzip", "none") if _can(tools, one))


def _can(tools: Tools, method: str) -> bool:
    if tools.major < 16:
        return method in _BEFORE_16
    try:  # it answers before it connects
        done = subprocess.run(
            [tools.path("pg_dump"), f"--compress={method}", "-h", "/nonexistent", "-w"], capture_output=True,
            text=True, check=False, timeout=20, stdin=subprocess.DEVNULL, env=client_environment({}),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return "support compression" not in done.stderr


@dataclass
class Progress:
    """How far pg_dump is. `total` tables are to be dumped; bytes are those on disk, compressed."""

    directory: Path
    total: int
    tell: Tell
    parallel: bool
    begun: float = field(default_factory=time.monotonic)
    started: int = 0
    finished: int = 0

    def line(self, text: str) -> None:
        """Take notice of one of pg_dump's messages."""
        self.started += text.startswith("pg_dump: dumping contents of table")
        self.finished += text.startswith("pg_dump: finished item") and " TABLE DATA " in text

    @property
    def done(self) -> int:
        """Tables whose rows are written."""
        return self.finished if self.parallel else max(0, self.started - 1)

    def tick(self) -> None:
        """Say where we are."""
        written = sum(size for _path, size in files_of(self.directory))
        rate = written / max(0.001, time.monotonic() - self.begun)
        self.tell(f"pg_dump: {self.done} of {self.total} tables, {written / 1e6:.0f} MB written, {rate / 1e6:.1f} MB/s")


@dataclass
class Dumper:
    """PostgreSQL's dump programs for one database. `jobs` tables at once, at most `timeout` seconds each program."""

    tools: Tools
    options: t.Mapping[str, t.Any]
    jobs: int
    compression: str
    lock_timeout: float
    timeout: float

    def dump(self, target: Path, snapshot: str, progress: Progress) -> None:
        """Write the database into the new directory `target`, as of the snapshot. Raises RecoveryError."""
        last: deque[str] = deque(maxlen=40)

        def line(text: str) -> None:
            progress.line(text)
            last.append(text)

        argv = [
            self.tools.path("pg_dump"), *connection_arguments(self.options, self._database), "--format=directory",
            f"--jobs={self.jobs}", f"--compress={self._compress}", f"--snapshot={snapshot}", "--verbose",
            f"--lock-wait-timeout={self.lock_timeout * 1000:.0f}", f"--file={target}",
        ]  # fmt: skip
        status = run_program(argv, client_environment(self.options), self.timeout, line, progress.tick)
        if status != 0:
            raise self._explained("\n".join(last), f"the database {self._database}")

    def dump_globals(self, target: Path) -> None:
        """Write roles, memberships and tablespaces into `target`, without any password."""
        last: deque[str] = deque(maxlen=40)
        argv = [
            self.tools.path("pg_dumpall"), *connection_arguments(self.options), f"--database={self._database}",
            "--globals-only", "--no-role-passwords", f"--file={target}",
        ]  # fmt: skip
        env = client_environment(self.options)
        if run_program(argv, env, self.timeout, last.append) != 0:
            raise self._explained("\n".join(last), "the roles and tablespaces")
        target.chmod(0o600)

    @property
    def _database(self) -> str:
        return str(self.options.get("database") or "postgres")

    @property
    def _compress(self) -> str:
        return (_BEFORE_16 if self.tools.major < 16 else _ARGUMENTS)[self.compression]

    def _explained(self, said: str, what: str) -> RecoveryError:
        where = f"{what} of {self.options['host']}:{self.options.get('port') or 5432}"
        errors = "\n".join(line for line in said.splitlines() if _ERROR.search(line)) or said
        reason = last_words(errors)
        for words, kind, remedy in _CAUSES:
            if words in errors:
                return kind(failed("dump", where, reason, remedy))
        return RecoveryError(failed("dump", where, reason))
