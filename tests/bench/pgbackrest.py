"""What a restore costs beside a plain copy of the same files."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.plugins.backrest_support import Archive

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "collections"))
PROGRAM = "pgbackrest"


def run() -> None:
    """a restore of DR_BENCH_GB (2) from SeaweedFS over TLS, and cp -a of the same cluster; both synced, side by side"""
    if shutil.which(PROGRAM) is None:
        print("unverified: pgbackrest is not installed here (apt-get install pgbackrest)")
        return
    from tests.unit.plugins.backrest_support import Archive, Store
    from tests.unit.servers import postgres_servers, s3_servers

    gigabytes = float(os.environ.get("DR_BENCH_GB") or 2)
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dr-bench-", dir="/var/tmp")))
        place.chmod(0o755)
        (place / "postgres").mkdir(mode=0o755)
        start = stack.enter_context(s3_servers())
        factory = stack.enter_context(postgres_servers(place / "postgres"))
        archive = Archive(place / "main", factory, [Store("store", place / "store", start)])
        archive.call("created")
        archive.archive_on()
        _fill(archive, gigabytes)
        size = archive.call("taken", type="full")["taken"][0]
        print(
            f"{size['bytes'] / 1e9:.2f} GB, {size['repository_bytes'] / 1e9:.2f} GB in the repository (zst), encrypted"
        )
        print(f"{'variant':22} {'wall s':>8} {'MB/s':>8} {'CPU s':>8}   load")
        copies: list[float] = []
        restores: list[float] = []
        for turn in range(int(os.environ.get("BENCH_RUNS") or 3)):
            copies.append(_timed("cp -a + sync", size["bytes"], lambda: _copy(archive.postgres.data, place / "copy")))
            target = archive.empty(f"turn-{turn}")
            restores.append(
                _timed("pg_backrest restored", size["bytes"], lambda target=target: _restore(archive, target))
            )
            shutil.rmtree(place / "copy")
            shutil.rmtree(target)
        ratio = statistics.median(mine / theirs for mine, theirs in zip(restores, copies, strict=True))
        print(f"a restore takes {ratio:.2f} times as long as the copy (median of {len(copies)})")
        biggest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        mine = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"largest process: {biggest:.0f} MB of its children, {mine:.0f} MB the module itself")


def _fill(archive: Archive, gigabytes: float) -> None:
    """Rows that compress about as customers' do: a third is random."""
    rows = int(gigabytes * 1e9 / 260)
    archive.postgres.sql(
        "ALTER SYSTEM SET max_wal_size = '4GB'",
        "SELECT pg_reload_conf()",
        "CREATE TABLE filler (number bigint, words text, noise text)",
    )
    step = 250_000
    for first in range(1, rows + 1, step):
        last = min(first + step - 1, rows)
        archive.postgres.sql(
            f"INSERT INTO filler SELECT i, repeat('customer row ', 10), md5(i::text) || md5((i * 7)::text) "
            f"FROM generate_series({first}, {last}) i"
        )
    archive.postgres.sql("CHECKPOINT")


def _copy(source: Path, target: Path) -> None:
    """As a person would, but for the WAL, which a backup has not either."""
    target.mkdir()
    parts = [str(path) for path in source.iterdir() if path.name not in ("pg_wal", "postmaster.pid")]
    subprocess.run(["cp", "-a", *parts, str(target)], check=True)
    subprocess.run(["sync", "-f", str(target)], check=True)


def _restore(archive: Archive, target: Path) -> None:
    archive.call("restored", directory=str(target), target={"immediate": True})
    subprocess.run(["sync", "-f", str(target)], check=True)


def _timed(name: str, size: int, action: Callable[[], object]) -> float:
    before, started = os.times(), time.monotonic()
    action()
    seconds, after = time.monotonic() - started, os.times()
    cpu = sum(after[:4]) - sum(before[:4])
    print(f"{name:22} {seconds:8.1f} {size / seconds / 1e6:8.0f} {cpu:8.1f}   {os.getloadavg()[0]:.1f}", flush=True)
    return seconds
