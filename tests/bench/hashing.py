"""How fast a tree is hashed, beside the tools that people use for it."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
#: files of the full size (4 GB), as {MiB of each: how many}, and tiny ones of 4 KiB
SHAPE = {1024: 3, 400: 1, 1: 200}
TINY = 1500
FULL_GB = 4.0
#: of md5sum's wall time
BARS = {"ours sha256": 0.45, "ours blake3": 0.25}


@dataclass
class Times:
    """Seconds of each round of one variant."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def run() -> None:
    """a tree of model files: md5sum, cat, b3sum, and ours (DR_BENCH_GB, 4; BENCH_RUNS, 3; DR_BENCH_DIR, where)"""
    gigabytes = float(os.environ.get("DR_BENCH_GB") or FULL_GB)
    base = os.environ.get("DR_BENCH_DIR") or tempfile.gettempdir()
    free, needed = shutil.disk_usage(base).free, int(gigabytes * 1.1 * 10**9)
    if free < needed:
        raise SystemExit(f"bench: {base} has {free >> 20} MiB free, {needed >> 20} are needed: set DR_BENCH_DIR.")
    sys.path.insert(0, str(ROOT / "collections"))
    with tempfile.TemporaryDirectory(prefix="dr-bench-hashing-", dir=base) as directory:
        tree = Path(directory) / "models"
        size = _make(tree, gigabytes / FULL_GB)
        _table(_measure(_variants(tree)), size)


def _make(tree: Path, scale: float) -> int:
    """Write files that do not compress, no two alike; return their bytes."""
    tree.mkdir()
    seed = os.urandom(16 * MIB)
    sizes = [max(4096, int(mib * MIB * scale)) for mib, count in SHAPE.items() if mib > 1 for _number in range(count)]
    sizes += [MIB] * max(1, int(SHAPE[1] * scale)) + [4096] * max(1, int(TINY * scale))
    for number, size in enumerate(sizes):
        with (tree / f"model-{number:05}.bin").open("wb") as file:
            file.write(number.to_bytes(8, "big"))
            left = size - 8
            while left > 0:
                left -= file.write(seed[: min(left, len(seed))])
    return sum(sizes)


def _variants(tree: Path) -> dict[str, Callable[[], None]]:
    from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums import hash_tree

    names = sorted(path.name for path in tree.iterdir())
    found: dict[str, Callable[[], None]] = {
        "md5sum": lambda: _program(tree, ["md5sum", "--", *names]),
        "cat": lambda: _program(tree, ["cat", "--", *names]),
        "ours sha256": lambda: _whole(hash_tree(tree, "sha256"), names),
    }
    if shutil.which("b3sum"):
        found["b3sum"] = lambda: _program(tree, ["b3sum", "--", *names])
    try:
        import blake3  # noqa: F401
    except ImportError:
        print("blake3 is not installed: its row is left out")
    else:
        found["ours blake3"] = lambda: _whole(hash_tree(tree, "blake3"), names)
    return found


def _program(tree: Path, argv: list[str]) -> None:
    subprocess.run(argv, cwd=tree, check=True, stdout=subprocess.DEVNULL)


def _whole(sums: list, names: list[str]) -> None:
    if len(sums) != len(names):
        raise SystemExit(f"bench: {len(sums)} of {len(names)} files were hashed")


def _measure(variants: dict[str, Callable[[], None]]) -> dict[str, Times]:
    times = {name: Times() for name in variants}
    variants["cat"]()  # what fits is in the page cache for all of them
    for _round in range(int(os.environ.get("BENCH_RUNS") or 3)):
        for name, variant in variants.items():
            cpu, started = _cpu(), time.monotonic()
            variant()
            times[name].wall.append(time.monotonic() - started)
            times[name].cpu.append(_cpu() - cpu)
    return times


def _table(times: dict[str, Times], size: int) -> None:
    print(f"{size / 10**9:.2f} GB, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    beside = f"{'/ md5sum':>9} {'bar':>6} {'/ cat':>7} {'CPU / md5sum':>13}"
    print(f"{'variant':14} {'wall s':>8} {'MB/s':>8} {'CPU s':>8} {beside}")
    for name, mine in times.items():
        wall = statistics.median(mine.wall)
        ours, floor = (_ratio(mine.wall, times[other].wall) for other in ("md5sum", "cat"))
        bar = f"{BARS[name]:6.2f}" if name in BARS else " " * 6
        cells = f"{wall:8.2f} {size / wall / 10**6:8.0f} {statistics.median(mine.cpu):8.2f}"
        print(f"{name:14} {cells} {ours:9.2f} {bar} {floor:7.2f} {_ratio(mine.cpu, times['md5sum'].cpu):13.2f}")
    if os.getloadavg()[0] > 2 * (os.cpu_count() or 1):
        print("The machine is busy: all cores are not ours, so the ratio of CPU says more than that of wall time.")


def _ratio(mine: list[float], theirs: list[float]) -> float:
    """Return the median of the ratios within one round."""
    return statistics.median(one / other for one, other in zip(mine, theirs, strict=True))


def _cpu() -> float:
    mine, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime
