"""Real PostgreSQL servers for the tests, as processes on loopback, run as an unprivileged user."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from tests.unit.processes import eventually, free_address, free_ports

SUPERUSER_PASSWORD = "a-password-of-the-tests"


def postgres_bin() -> Path | None:
    """Directory of the newest PostgreSQL server's programs: PATH, else where Debian puts them."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def server_user() -> pwd.struct_passwd | None:
    """Whom to run PostgreSQL as: an unprivileged user where we are root, else ourselves (None)."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def as_server_user() -> dict[str, Any]:
    """Arguments for subprocess that drop to the server's user."""
    user = server_user()
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def give_to_server_user(*paths: Path) -> None:
    """Make the paths the server user's own."""
    user = server_user()
    for path in paths if user else ():
        os.chown(path, user.pw_uid, user.pw_gid)  # type: ignore[union-attr]


class PostgresServer:
    """One PostgreSQL in `directory` (data, log, socket, passfile), reached over TCP with passwords."""

    def __init__(self, directory: Path) -> None:
        programs = postgres_bin()
        assert programs, "PostgreSQL is missing: apt install postgresql"
        self.bin = programs
        self.directory = directory
        self.data = directory / "data"
        self.host = free_address()
        self.port = free_ports(self.host, 1)[0]
        self.passfile = directory / "pgpass"

    def initialise(self) -> PostgresServer:
        """Create the cluster with superuser `postgres`."""
        self._make_directory()
        password = self.directory / "password"
        password.write_text(SUPERUSER_PASSWORD)
        give_to_server_user(password)
        self.run(
            "initdb", "-D", self.data, "-U", "postgres", "-A", "scram-sha-256", "--no-sync", "--wal-segsize=1",
            "--encoding=UTF8", "--locale=C", f"--pwfile={password}",
        )  # fmt: skip
        hba = "local all postgres trust\nhost all all 127.0.0.0/8 scram-sha-256\n"
        (self.data / "pg_hba.conf").write_text(hba + "host replication all 127.0.0.0/8 scram-sha-256\n")
        return self

    def copy_of(self, template: PostgresServer) -> PostgresServer:
        """Become a copy of a stopped cluster: the same system, another address."""
        self._make_directory()
        subprocess.run(["cp", "-a", template.data, self.data], check=True)
        return self

    def basebackup_of(self, primary: PostgresServer) -> PostgresServer:
        """Become a streaming standby of `primary`, over its physical slot `standby`."""
        self._make_directory()
        primary.sql("SELECT pg_create_physical_replication_slot('standby', true)")
        self.run(
            "pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-S", "standby", "-c", "fast", "--no-sync",
            "-d", f"{primary.dsn('postgres')} passfile={primary.passfile} application_name=standby",
        )  # fmt: skip
        return self

    def start(self) -> PostgresServer:
        """Start and wait until it takes connections."""
        self.configure()
        self.run("pg_ctl", "start", "-w", "-s", "-D", self.data, "-l", self.directory / "log")
        return self

    def configure(self) -> None:
        """Write the settings of this server's own address."""
        (self.data / "postgresql.auto.test.conf").write_text(
            f"listen_addresses = '{self.host}'\nport = {self.port}\nunix_socket_directories = '{self.directory}'\n"
            "fsync = off\nmax_wal_size = 64MB\nmin_wal_size = 2MB\nwal_log_hints = on\nshared_buffers = 16MB\n"
            "wal_retrieve_retry_interval = 200ms\nmax_connections = 40\nhot_standby_feedback = on\n"
        )
        conf = self.data / "postgresql.conf"
        include = "include_if_exists = 'postgresql.auto.test.conf'\n"
        if include not in conf.read_text():
            with conf.open("a") as file:
                file.write(include)
        give_to_server_user(self.data / "postgresql.auto.test.conf")

    @property
    def start_argv(self) -> list[str]:
        """A command that starts it and returns at once; root drops to the server's user."""
        log, user = str(self.directory / "log"), server_user()
        drop = ["runuser", "-u", user.pw_name, "--"] if user else []
        return [*drop, str(self.bin / "pg_ctl"), "start", "-W", "-s", "-D", str(self.data), "-l", log]

    def stop(self, mode: str = "immediate") -> None:
        """Stop it if it runs. A guard under test may be stopping it too: that it is down is what counts."""
        if self.pid() is None:
            return
        try:
            self.run("pg_ctl", "stop", "-w", "-s", "-m", mode, "-D", self.data)
        except AssertionError:
            if self.pid() is not None:
                raise

    def pid(self) -> int | None:
        """Process id of the running postmaster."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(pid, 0)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        return pid

    def kill(self) -> None:
        """End postmaster and backends as a power failure would; the next start recovers from the crash."""
        pid = self.pid()
        if pid is None:
            return
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        eventually(lambda: self.pid() is None, "the postmaster's end")

    def options(self, user: str = "postgres", **more: Any) -> dict[str, Any]:
        """The `postgres` option."""
        base = {"host": self.host, "port": self.port, "user": user, "database": "postgres"}
        return {**base, "passfile": str(self.passfile), **more}

    def dsn(self, user: str = "postgres", database: str = "postgres") -> str:
        """A connection string without the password."""
        return f"host={self.host} port={self.port} user={user} dbname={database} connect_timeout=5"

    def connect(self, user: str = "postgres", database: str = "postgres") -> Any:
        """A connection that commits each statement; the password comes from the passfile."""
        connection = psycopg2.connect(self.dsn(user, database), passfile=str(self.passfile))
        connection.autocommit = True
        return connection

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as superuser on one connection; rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def add_password(self, user: str, password: str) -> None:
        """Let the passfile know one more role, for this and (by wildcards) every other server of the tests."""
        with self.passfile.open("a") as file:
            file.write(f"*:*:*:{user}:{password}\n")

    def run(self, program: str, *arguments: object) -> None:
        """Run one of PostgreSQL's programs as the server's user."""
        command = [str(self.bin / program), *map(str, arguments)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd=self.directory, check=False, **as_server_user(),
        ) if program != "pg_ctl" else self._detached(command)  # fmt: skip
        assert done.returncode == 0, f"{program} failed: {done.stdout}\n{self._log_end()}"

    def _detached(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """pg_ctl leaves a server that would hold a pipe open."""
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
            cwd=self.directory, check=False, **as_server_user(),
        )  # fmt: skip

    def _log_end(self) -> str:
        log = self.directory / "log"
        return log.read_text()[-2000:] if log.exists() else ""

    def _make_directory(self) -> None:
        self.directory.mkdir(parents=True)
        self.passfile.write_text(f"*:*:*:postgres:{SUPERUSER_PASSWORD}\n")
        self.passfile.chmod(0o600)
        give_to_server_user(self.directory, self.passfile)


@dataclass
class PostgresFactory:
    """Makes servers below one directory from one initdb; stops them all at the end."""

    directory: Path
    servers: list[PostgresServer] = field(default_factory=list)
    _template: PostgresServer | None = None

    def __call__(self, start: bool = True) -> PostgresServer:
        """One more primary."""
        if self._template is None:
            self._template = PostgresServer(self.directory / "template").initialise()
        server = PostgresServer(self.directory / f"server-{len(self.servers)}").copy_of(self._template)
        self.servers.append(server)
        return server.start() if start else server

    def standby_of(self, primary: PostgresServer) -> PostgresServer:
        """One streaming standby of a running primary, caught up."""
        server = PostgresServer(self.directory / f"server-{len(self.servers)}").basebackup_of(primary)
        self.servers.append(server)
        server.start()
        eventually(lambda: primary.sql("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"), "streaming")
        return server

    def stop(self) -> None:
        """Stop every server that still runs."""
        for server in self.servers:
            server.stop()


@contextlib.contextmanager
def postgres_servers(directory: Path) -> Iterator[PostgresFactory]:
    """A factory whose servers end with the block. `directory` must be one that the server user may enter."""
    factory = PostgresFactory(directory)
    try:
        yield factory
    finally:
        factory.stop()
        shutil.rmtree(directory, ignore_errors=True)
