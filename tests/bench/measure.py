"""Time variants side by side."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable


def compare(variants: dict[str, Callable[[], None]], rounds: int, per: int, unit: str) -> None:
    """Run every variant once a round; print wall and CPU milliseconds a unit, and CPU as a ratio to the first."""
    wall: dict[str, list[float]] = {name: [] for name in variants}
    cpu: dict[str, list[float]] = {name: [] for name in variants}
    for _round in range(rounds):
        for name, variant in variants.items():
            before, started = _cpu(), time.monotonic()
            variant()
            wall[name].append((time.monotonic() - started) / per * 1000)
            cpu[name].append((_cpu() - before) / per * 1000)
    first = next(iter(variants))
    print(f"{'variant':24} {'wall ms/' + unit:>16} {'CPU ms/' + unit:>16} {'CPU ratio':>10}")
    for name in variants:
        ratio = statistics.median(mine / theirs for mine, theirs in zip(cpu[name], cpu[first], strict=True))
        print(f"{name:24} {statistics.median(wall[name]):16.1f} {statistics.median(cpu[name]):16.1f} {ratio:10.2f}")


def _cpu() -> float:
    mine, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime
