"""Two regions' PostgreSQL: east was primary and returns, west has taken over."""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.guard_support import know_passwords, prepare_database
from tests.unit.servers import PostgresFactory, PostgresServer, as_server_user, eventually, give_to_server_user

SLOT = "east"
REPLICATOR = "replicators-password"


@dataclass
class Pair:
    """`call` is pg_standby on the machine of east, to follow west."""

    both: BothWays | None
    east: PostgresServer
    west: PostgresServer
    factory: PostgresFactory

    def options(self, **more: Any) -> dict[str, Any]:
        return {
            "data_directory": str(self.east.data),
            "hba_file": str(self.east.data / "pg_hba.conf"),
            "postgres": self.east.options("dr_operator"),
            "source": {**self.west.options("replicator"), "sslmode": "disable"},
            "region": "east",
            "slot": SLOT,
            "incident": "INC-7",
            "wait_timeout": 60,
            **more,
        }

    def call(self, check: bool = False, **more: Any) -> dict[str, Any]:
        assert self.both is not None
        return self.both("pg_standby", self.options(**more), check)

    def save(self, directory: Path) -> dict[str, Any]:
        """Save what only east has with pg_divergence."""
        assert self.both is not None
        arguments = {
            "data_directory": str(self.east.data),
            "source": {**self.west.options(), "sslmode": "disable"},
            "directory": str(directory),
            "incident": "INC-7",
            "region": "east",
            "cluster": "main",
        }
        return self.both("pg_divergence", arguments)

    def switch_over(self) -> None:
        """East stops in order, west has all of it and takes over."""
        self.east.stop("fast")
        self.promote_west()

    def diverge(self, crash: bool = False) -> None:
        """West takes over while east goes on for a while."""
        self.promote_west()
        self.write(self.east, 100)
        if crash:
            self.east.kill()
        else:
            self.east.stop("fast")

    def promote_west(self) -> None:
        self.west.sql("SELECT pg_promote()")
        self.write(self.west, 50)

    def write(self, server: PostgresServer, count: int) -> None:
        server.sql(f"INSERT INTO writes (at) SELECT clock_timestamp() FROM generate_series(1, {count})")

    def is_standby(self) -> bool:
        return (self.east.data / "standby.signal").exists()

    def streams_after_start(self) -> None:
        """Start east, wait for it, compare the rows, and see that it takes no write."""
        self.east.start()
        found = self.call(state="streaming")
        assert found.get("streaming"), found
        self.is_replicated()

    def is_replicated(self) -> None:
        rows = "SELECT count(*), md5(string_agg(id::text || at::text, ',' ORDER BY id)) FROM writes"
        self.write(self.west, 5)
        eventually(lambda: self.east.sql(rows) == self.west.sql(rows), "the same rows on both sides")
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            self.write(self.east, 1)
        assert self.west.sql("SELECT application_name FROM pg_stat_replication") == [("east",)]

    def caught_up(self) -> None:
        """Wait until east has replayed all of west."""
        lsn = self.west.sql("SELECT pg_current_wal_lsn()")[0][0]
        eventually(lambda: self.east.sql(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'")[0][0], "east's replay")

    def third(self) -> PostgresServer:
        """Another standby of west, which knows east's replication role."""
        server = self.factory.standby_of(self.west)
        know_passwords(server)
        server.add_password("replicator", REPLICATOR)
        return server

    def other_system(self, factory: PostgresFactory) -> dict[str, Any]:
        """The source option of a primary that was never one cluster with east."""
        server = PostgresServer(factory.directory / f"other-{len(factory.servers)}").initialise().start()
        factory.servers.append(server)
        return {**server.options("postgres"), "sslmode": "disable"}

    def forget_wal(self) -> None:
        """Let west remove the WAL that east would go on from."""
        self.west.sql("ALTER SYSTEM SET wal_keep_size = 0", "SELECT pg_reload_conf()")
        self.west.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        for _ in range(3):
            self.write(self.west, 10)
            self.west.sql("SELECT pg_switch_wal()", "CHECKPOINT")

    def occupy_slot(self) -> subprocess.Popen[bytes]:
        """Let something else stream over east's slot."""
        self.west.sql(f"SELECT pg_create_physical_replication_slot('{SLOT}', true)")
        target = self.west.directory / "received"
        target.mkdir()
        give_to_server_user(target)
        connection = f"host={self.west.host} port={self.west.port} user=postgres passfile={self.west.passfile}"
        command = [str(self.west.bin / "pg_receivewal"), "-D", str(target), "-S", SLOT, "-d", connection]
        other = subprocess.Popen(command, cwd="/", **as_server_user())
        active = f"SELECT active FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
        eventually(lambda: self.west.sql(active)[0][0], "the slot's use")
        return other

    def data_directory_listing(self) -> list[tuple[str, int]]:
        """Every file of east with its time of change."""
        return sorted((str(path), path.lstat().st_mtime_ns) for path in self.east.data.rglob("*"))

    def own_files(self, *more: str) -> dict[str, bytes]:
        """Configuration of east by name, without what makes it a standby, and more files."""
        names = ["postgresql.conf", "pg_ident.conf", "pg_hba.conf", "postgresql.auto.test.conf"]
        names += ["certificates/server.key", *more]
        return {name: (self.east.data / name).read_bytes() for name in names}

    def left_over(self) -> list[str]:
        """What stands beside the data directory and is neither the server's nor kept on purpose."""
        known = ("data", "pgpass", "log", ".data.dr-standby.lock")
        found = (path.name for path in self.east.directory.iterdir())
        return [name for name in found if name not in known and not name.startswith((".s.PGSQL", "data.standby-"))]

    def end(self) -> None:
        self.east.stop()
        self.west.stop()


def make_pair(factory: PostgresFactory, both: BothWays | None = None, hints: bool = True) -> Pair:
    """A streaming pair with the shipped schema, a replication role, and files of its own in east's data directory."""
    east = factory()
    prepare_database(east)
    east.sql(f"CREATE ROLE replicator LOGIN REPLICATION PASSWORD '{REPLICATOR}'", "GRANT dr_rewind TO replicator")
    east.sql("ALTER SYSTEM SET wal_keep_size = '64MB'")  # a stop in order removes what pg_rewind would read
    east.sql("SELECT pg_reload_conf()")
    if not hints:
        east.sql("ALTER SYSTEM SET wal_log_hints = off")
        east.stop("fast")
        east.start()
    west = factory.standby_of(east)
    know_passwords(west)
    for server in (east, west):
        server.add_password("replicator", REPLICATOR)
    for name in ("certificates/server.key", "log/yesterday.log"):
        path = Path(east.data / name)
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir()
        path.write_text(f"{name} of east")
    Pair(both, east, west, factory).write(east, 20)
    eventually(lambda: west.sql("SELECT count(*) FROM writes") == [(20,)], "replication")
    return Pair(both, east, west, factory)
