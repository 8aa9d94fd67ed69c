# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SQL on a stopped cluster in PostgreSQL's single-user mode: no port, no socket, nobody else can reach it.

Read-only transactions, no configuration of the cluster's own, no libraries preloaded, nothing archived, no WAL removed.

PRIVATE to the collection.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import select
import subprocess
import tempfile
import typing as t

from .clock import wait_until
from .errors import RecoveryError, Refused, failed
from .postgres_cluster import Cluster, last_words

_PROMPT = b"backend> "
_GREETING = b"PostgreSQL stand-alone backend"
_IS_ERROR = re.compile(r"\b(ERROR|FATAL|PANIC):")
_ESCAPED = re.compile(rb"\\(.)", re.S)
_PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_SETTINGS = {
    "archive_mode": "off",
    "wal_keep_size": "2000000",
    "max_slot_wal_keep_size": "-1",
    "default_transaction_read_only": "on",
    "search_path": "pg_catalog",
    "lock_timeout": "5s",  # a prepared transaction may hold a lock for ever
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_min_messages": "error",
    "timezone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}

Row = list[bytes | None]


class SessionFailed(RecoveryError):
    """The server answered a statement with an error."""


class Session:
    """One process for one database. `with Session(...) as session: session.rows("SELECT ...")`."""

    def __init__(self, cluster: Cluster, database: str, timeout: float) -> None:
        self.cluster, self.database, self.timeout = cluster, database, timeout
        self._name = f"database {database} of {cluster.data}"
        self._number = 0
        #: lines that were read and not asked for yet, and the beginning of the next one
        self._ready: collections.deque[bytes] = collections.deque()
        self._rest = b""
        self._said = 0

    def __enter__(self) -> Session:
        await_end(self.cluster)
        with contextlib.ExitStack() as stack:
            configuration = stack.enter_context(self.cluster.temporary_configuration())
            self._errors = stack.enter_context(tempfile.TemporaryFile())
            settings = {**self.cluster.control().settings, **_SETTINGS, "config_file": str(configuration)}
            given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            command = [self.cluster.program("postgres"), "--single", "-D", str(self.cluster.data), *given]
            arguments = {**self.cluster.as_owner(), "stdin": subprocess.PIPE}
            self._process = subprocess.Popen(
                [*command, self.database], stdout=subprocess.PIPE, stderr=self._errors, bufsize=0, **arguments
            )
            stack.callback(self._end)
            encoding = b"".join(row[0] or b"" for row in self.rows("SELECT current_setting('server_encoding')", ""))
            #: a database of encoding SQL_ASCII says nothing of its bytes
            self.encoding = "" if encoding == b"SQL_ASCII" else "UTF8"
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def rows(self, query: str, encoding: str | None = None) -> t.Iterator[Row]:
        """Yield a query's rows, each a list of texts in bytes, while the server sends them.

        Raises SessionFailed at the end when the server refused or broke off; RecoveryError when it is gone.
        """
        if not query.isascii() or "\n" in query:
            raise ValueError("a statement in single-user mode is one line of ASCII")
        self._number += 1
        marker = f"end of {os.getpid()}.{self._number}".encode()
        wanted = self.encoding if encoding is None else encoding
        options = f" WITH (ENCODING '{wanted}')" if wanted else ""
        self._send(f"COPY ({query}) TO STDOUT{options}\n".encode())
        self._send(b"COPY (SELECT '" + marker + b"') TO STDOUT\n")
        for line in self._lines(marker):
            yield [None if field == rb"\N" else _ESCAPED.sub(_unescape, field) for field in line.split(b"\t")]
        error = self._error()
        if error:
            raise SessionFailed(failed("read", self._name, error))

    def _send(self, statement: bytes) -> None:
        try:
            t.cast("t.IO[bytes]", self._process.stdin).write(statement)
        except OSError:
            raise self._gone() from None

    def _lines(self, marker: bytes) -> t.Iterator[bytes]:
        while True:
            line = self._line()
            while line.startswith(_PROMPT):
                line = line[len(_PROMPT) :]
            if line == marker:
                return
            if line and not line.startswith(_GREETING):
                yield line

    def _line(self) -> bytes:
        while not self._ready:
            pieces, pipe = [self._rest], t.cast("t.IO[bytes]", self._process.stdout)
            while b"\n" not in pieces[-1]:
                ready, _write, _failed = select.select([pipe], [], [], self.timeout)
                if not ready:
                    cause = f"no answer within {self.timeout:g} s"
                    raise RecoveryError(failed("read", self._name, cause, "Give it more time (timeout)."))
                piece = pipe.read(1 << 16)
                if not piece:
                    raise self._gone()
                pieces.append(piece)
            *lines, self._rest = b"".join(pieces).split(b"\n")
            self._ready.extend(lines)
        return self._ready.popleft()

    def _error(self) -> str:
        """Return what the server said since it was last asked; errors go to its log before the next prompt."""
        self._errors.seek(self._said)
        said = self._errors.read()
        self._said += len(said)
        lines = said.decode("utf-8", "replace").splitlines()
        errors = [line for line in lines if _IS_ERROR.search(line)]  # beside what it says of its start
        return last_words("\n".join(errors), 1) if errors else ""

    def _gone(self) -> RecoveryError:
        self._process.wait()
        remedy = "Look at its files, or copy the new primary instead."
        return RecoveryError(failed("read", self._name, self._error() or "the server process ended", remedy))

    def _end(self) -> None:
        """Let it end by itself, which leaves the cluster shut down in order; kill what does not."""
        with contextlib.suppress(OSError):
            t.cast("t.IO[bytes]", self._process.stdin).close()
        with contextlib.suppress(OSError):
            t.cast("t.IO[bytes]", self._process.stdout).close()
        try:
            self._process.wait(max(60.0, self.timeout))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def await_end(cluster: Cluster) -> None:
    """Wait for a single-user process of an earlier run that was killed: it ends by itself. Raises Refused."""
    if not cluster.running:
        return
    if cluster.postmaster.pid() is None:
        with contextlib.suppress(RecoveryError):
            wait_until(lambda: not cluster.running, 10.0, "the end of a process of an earlier run")
    if cluster.running:
        remedy = "Stop it first: it is read while nobody can connect, and before it is rebuilt."
        raise Refused(failed("read", f"the cluster in {cluster.data}", "its server runs", remedy))


def _unescape(found: re.Match[bytes]) -> bytes:
    return _PLAIN.get(found[1], found[1])
