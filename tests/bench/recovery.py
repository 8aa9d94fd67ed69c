"""What a recovery costs beside the plan's replay of an SQL dump by one psql."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.unit.servers import PostgresServer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "collections"))
TABLES = 8
#: PostgreSQL's own, which the servers of the tests are started without
STOCK = {"fsync": "on", "max_wal_size": "1GB", "min_wal_size": "80MB", "shared_buffers": "128MB"}


def run() -> None:
    """logical: pg_restore of DR_BENCH_GB (2) beside the live database, and psql -f of the same (1.0); both synced"""
    from tests.unit.servers import postgres_servers

    gigabytes = float(os.environ.get("DR_BENCH_GB") or 2)
    with tempfile.TemporaryDirectory(prefix="dr-bench-", dir="/var/tmp") as name:
        place = Path(name)
        place.chmod(0o755)
        (place / "postgres").mkdir(mode=0o755)
        with postgres_servers(place / "postgres") as factory:
            server = factory()
            server.sql(*(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in STOCK.items()))
            server.stop("fast")
            server.start().sql("CREATE DATABASE live")
            _fill(server, gigabytes)
            _compare(server, place)


def _compare(server: PostgresServer, place: Path) -> None:
    [(size,)] = server.sql("SELECT pg_database_size('live')")
    _dump(server, "-F", "p", "-f", str(place / "plain.sql"))
    _dump(server, "-F", "d", "-j", "2", "-f", str(place / "directory"))
    print(f"{size / 1e9:.2f} GB, {TABLES} tables with two indexes each, {len(os.sched_getaffinity(0))} cores")
    print(f"{'variant':22} {'wall s':>8} {'MB/s':>8}   load")
    replays: list[float] = []
    restores: dict[int, list[float]] = {1: [], len(os.sched_getaffinity(0)): []}
    for _turn in range(int(os.environ.get("BENCH_RUNS") or 3)):
        replays.append(_timed("psql -f", size, place, lambda: _replay(server, place / "plain.sql")))
        for jobs, seconds in restores.items():
            restore = lambda jobs=jobs: _restore(server, place / "directory", jobs)  # noqa: E731
            seconds.append(_timed(f"pg_restore, jobs {jobs}", size, place, restore))
    for jobs, seconds in restores.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(seconds, replays, strict=True))
        print(f"pg_restore with {jobs} jobs takes {ratio:.2f} of the replay's time (median of {len(replays)})")


def _fill(server: PostgresServer, gigabytes: float) -> None:
    """Rows that compress about as customers' do: a third is random."""
    from tests.unit.plugins.logical_support import sql_in

    rows = int(gigabytes * 1e9 / 290 / TABLES)
    for number in range(TABLES):
        sql_in(
            server, "live", f"CREATE TABLE filler_{number} (number bigint PRIMARY KEY, words text, noise text)",
            f"INSERT INTO filler_{number} SELECT i, repeat('customer row ', 10), md5(i::text) || md5((i * 7)::text) "
            f"FROM generate_series(1, {rows}) i", f"CREATE INDEX ON filler_{number} (left(noise, 12))",
        )  # fmt: skip
    server.sql("CHECKPOINT")


def _environment(server: PostgresServer) -> dict[str, str]:
    return {**os.environ, "PGPASSFILE": str(server.passfile)}


def _dump(server: PostgresServer, *more: str) -> None:
    argv = [str(server.bin / "pg_dump"), "-h", server.host, "-p", str(server.port), "-U", "postgres", *more, "live"]
    subprocess.run(argv, env=_environment(server), check=True)


def _replay(server: PostgresServer, dump: Path) -> None:
    """As the plan has it, but into a new database."""
    server.sql("DROP DATABASE IF EXISTS replayed", "CREATE DATABASE replayed TEMPLATE template0")
    argv = [
        str(server.bin / "psql"),
        "-h",
        server.host,
        "-p",
        str(server.port),
        "-U",
        "postgres",
        "-q",
        "-f",
        str(dump),
    ]
    subprocess.run([*argv, "replayed"], env=_environment(server), check=True, stdout=subprocess.DEVNULL)


def _restore(server: PostgresServer, dump: Path, jobs: int) -> None:
    """The module, without statistics, which a replay has not either."""
    from tests.unit.plugins.both_ways import run_action

    server.sql("DROP DATABASE IF EXISTS restored")
    given: dict[str, Any] = {"src": str(dump), "database": "restored", "jobs": jobs, "analyze": False}
    result = run_action("pg_restore", {"postgres": server.options(), **given})
    if result.get("failed"):
        raise RuntimeError(result["msg"])


def _timed(name: str, size: int, place: Path, action: Callable[[], object]) -> float:
    started = time.monotonic()
    action()
    subprocess.run(["sync", "-f", str(place)], check=True)
    seconds = time.monotonic() - started
    print(f"{name:22} {seconds:8.1f} {size / seconds / 1e6:8.0f}   {os.getloadavg()[0]:.1f}", flush=True)
    return seconds
