# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A PostgreSQL in a scratch directory: made or found there, started where nobody but its owner reaches it.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .clock import wait_until
from .errors import RecoveryError, Refused, TimedOut, Unreachable, failed
from .guard_postmaster import Postmaster
from .logical_process import Tell, run_program
from .logical_tools import Tools
from .postgres_cluster import Cluster, last_words
from .scratch_log import Log
from .scratch_owner import Scratch
from .scratch_settings import ASKED, Settings, neutralise
from .sql import Postgres, WriteRefused

#: bytes that the path of a Unix socket may have
_SOCKET_BYTES = 107
#: how long a server that no longer answers may take to be gone
_ENDING_SECONDS = 5.0
_HBA = "# Only who may enter the socket's directory: the owner of this server, and root. No replication.\n"


@dataclass(frozen=True)
class Account:
    """Whom the server runs as: never root."""

    uid: int
    gid: int

    @classmethod
    def of(cls, name: str | None) -> Account:
        """Return the account of that name; `postgres` for root, else ourselves. Raises Refused."""
        mine = os.geteuid()
        if name is None and mine != 0:
            return cls(mine, os.getegid())
        try:
            found = pwd.getpwnam(name or "postgres")
        except KeyError:
            remedy = "Name an account in user."
            raise Refused(failed("run", "a scratch PostgreSQL", f"no account {name or 'postgres'}", remedy)) from None
        if found.pw_uid == 0 or mine not in (0, found.pw_uid):
            cause = f"user id {mine} cannot run a server as {found.pw_name}"
            raise Refused(failed("run", "a scratch PostgreSQL", cause, "PostgreSQL needs an unprivileged account."))
        return cls(found.pw_uid, found.pw_gid)

    def give(self, path: Path) -> None:
        """Make a path the account's own."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def popen(self) -> dict[str, t.Any]:
        """Return subprocess's arguments for a program that runs as the account."""
        drop = os.geteuid() == 0
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if drop else {}


class ScratchServer:
    """The server of one scratch directory. `superuser` is who is asked, over the socket."""

    def __init__(self, scratch: Scratch, account: Account, superuser: str, port: int, timeout: float) -> None:
        self.scratch = scratch
        self.account = account
        self.superuser = superuser
        self.port = port
        self.timeout = timeout
        self.socket = scratch.path / "socket"
        self.log = Log(scratch.path / "log")
        self._process: subprocess.Popen[bytes] | None = None
        if len(os.fsencode(f"{self.socket}/.s.PGSQL.{port}")) > _SOCKET_BYTES:
            cause = f"the path of its socket would have more than {_SOCKET_BYTES} bytes"
            remedy = "Name a directory with a shorter path, or a shorter run."
            raise Refused(failed("make", f"the scratch {scratch.path}", cause, remedy))

    @property
    def running(self) -> bool:
        """True while its postmaster lives."""
        return Postmaster(self.scratch.data).pid() is not None

    def options(self, database: str = "postgres") -> dict[str, t.Any]:
        """Return the `postgres` option that reaches it; there is no password."""
        return {
            "host": str(self.socket), "port": self.port, "database": database, "user": self.superuser,
            "passfile": None, "sslmode": "disable", "connect_timeout": 5,
        }  # fmt: skip

    def prepare(self) -> None:
        """Make the directories that the server writes to, each its own."""
        for path in (self.scratch.data, self.socket, self.scratch.path / "tablespaces"):
            path.mkdir(mode=0o700, exist_ok=True)
            self.account.give(path)

    def initialise(self, tools: Tools, encoding: str, locale: t.Mapping[str, str | None], checksums: bool) -> None:
        """Make a new cluster in the empty data directory. Raises RecoveryError with initdb's words."""
        given = [
            f"--pgdata={self.scratch.data}", f"--username={self.superuser}", "--auth=trust", "--no-sync",
            f"--encoding={encoding}", *(f"--{name}={value}" for name, value in locale.items() if value),
        ]  # fmt: skip
        if checksums:
            given.append("--data-checksums")
        elif tools.major >= 18:
            given.append("--no-data-checksums")
        said: list[str] = []
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}
        if run_program([tools.path("initdb"), *given], env, self.timeout, said.append, **self.account.popen()) != 0:
            remedy = "Install the locale and the version that the source has, or free space."
            what = f"a cluster in {self.scratch.data} (encoding {encoding}, {dict(locale)})"
            words = last_words("\n".join(said))
            raise RecoveryError(failed("initialise", what, words, remedy), outcome="unverified")

    def start(self, settings: Settings, bin_directory: str | None) -> None:
        """Start it and return at once. What the data directory brings in settings is not read."""
        neutralise(self.scratch.data)
        self._write("postgresql.conf", settings.text())
        self._write("pg_hba.conf", f"{_HBA}local all all trust\n")
        self._write("pg_ident.conf", "")
        cluster = Cluster(self.scratch.data, bin_directory)
        argv = [
            cluster.program("postgres"), "-D", str(self.scratch.data),
            "-c", f"config_file={self.scratch.path / 'postgresql.conf'}",
        ]  # fmt: skip
        self.log.begin(self.account)
        with self.log.path.open("ab") as out:
            self._process = subprocess.Popen(
                argv, stdout=out, stderr=out, start_new_session=True, **{**cluster.as_owner(), **self.account.popen()}
            )

    def _write(self, name: str, content: str) -> None:
        path = self.scratch.path / name
        path.write_text(content, encoding="utf-8", errors="surrogateescape")
        path.chmod(0o600)
        self.account.give(path)

    def await_answers(self, tell: Tell) -> None:
        """Wait until it takes connections. Raises RecoveryError with the log's words when it ended, TimedOut."""
        progress = self.log.progress(tell)

        def answers() -> bool:
            progress()
            if not self.running and (self._process is None or self._process.poll() is not None):
                raise self.log.explained(self.scratch.path)
            try:
                with Postgres(self.options("template1")) as server:
                    server.rows("SELECT 1")
            except (Unreachable, WriteRefused):
                return False
            return True

        wait_until(answers, self.timeout, f"the scratch PostgreSQL in {self.scratch.path} to answer", interval=0.1)

    @contextlib.contextmanager
    def explaining(self) -> t.Iterator[None]:
        """Let an error of a server that has ended be the reason that its log names."""
        try:
            yield
        except (Unreachable, WriteRefused):
            with contextlib.suppress(TimedOut):
                wait_until(lambda: not self.running, _ENDING_SECONDS, "the server's end")
                raise self.log.explained(self.scratch.path) from None
            raise

    def ask(self) -> dict[str, str]:
        """Return what the server says of its isolation. When it is not isolated, it is stopped: RecoveryError."""
        right = {
            **ASKED,
            "unix_socket_directories": str(self.socket),
            "hba_file": str(self.scratch.path / "pg_hba.conf"),
            "config_file": str(self.scratch.path / "postgresql.conf"),
            "data_directory": str(self.scratch.data),
        }
        query = "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)"
        with Postgres(self.options("template1")) as server:
            said = dict(server.rows(query, ([*right, "archive_command", "shared_preload_libraries"],)))
        wrong = [f"{name} is {said.get(name)!r}" for name in right if said.get(name) != right[name]]
        if said.get("archive_command") not in ("", "(disabled)"):
            wrong.append(f"archive_command is {said.get('archive_command')!r}")
        if wrong:
            Postmaster(self.scratch.data).stop(10.0)
            cause = f"its server says {', '.join(wrong)}; it was stopped"
            raise RecoveryError(failed("isolate", f"the scratch {self.scratch.path}", cause))
        return dict(sorted(said.items()))

    def version(self) -> str:
        """Return the server's version."""
        with Postgres(self.options("template1")) as server:
            return str(server.row("SELECT current_setting('server_version')")[0])
