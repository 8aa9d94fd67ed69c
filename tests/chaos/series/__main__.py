"""``python -m tests.chaos.series``: run a series and print its table; the exit status is 1 where a run went wrong."""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from tests.chaos.kill.run import ROOT
from tests.chaos.kill.world import World
from tests.chaos.series.runs import FAULTS, PLANNED, Result, Series

COLUMNS = ("rto_seconds", "orchestration_seconds", "rpo_seconds", "stated_loss_bound_seconds")
HEAD = f"{'RUN':>4} {'FROM':12} {'RTO':>7} {'OWN':>7} {'RPO':>7} {'BOUND':>7} {'LOST':>11} {'PRIM':>5} {'TOOK':>6}"


def main() -> int:
    """Run the series one after the other in one lab."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.series", description=__doc__)
    parser.add_argument("--fault", action="append", required=True, choices=[*FAULTS, *PLANNED], help="may be repeated")
    parser.add_argument("--runs", type=int, default=10, help="of each")
    parser.add_argument("--directory", type=Path, default=ROOT / "build/chaos/series/lab", help="of the lab")
    given = parser.parse_args()
    world = World(given.directory)
    world.start()
    bad = 0
    try:
        series = Series(world)
        for what in given.fault:
            print(f"{what}\n{HEAD}", flush=True)
            results = []
            for number in range(1, given.runs + 1):
                results.append(series.run(what, number))
                _show(results[-1])
                if results[-1].problems:
                    bad += 1
                    world.stop()
                    world.start()
            _sum_up(results)
    finally:
        world.stop()
    return 1 if bad else 0


def _show(result: Result) -> None:
    report = result.report
    cells = [_number(report.get(column)) for column in COLUMNS]
    lost = f"{report.get('lost_acknowledged_writes')}/{report.get('acknowledged_writes')}"
    numbers = " ".join(f"{cell:>7}" for cell in cells)
    most = report.get("max_writable_primaries")
    print(f"{result.number:>4} {result.source:12} {numbers} {lost:>11} {most!s:>5} {result.seconds:>6.0f}", flush=True)
    for problem in result.problems:
        print(f"     PROBLEM {problem}", flush=True)


def _sum_up(results: list[Result]) -> None:
    good = [one.report for one in results if one.report.get("rto_seconds") is not None]
    if not good:
        return
    spans = [f"{name} {_span([one[name] for one in good if one[name] is not None])}" for name in COLUMNS]
    lost = sum(one["lost_acknowledged_writes"] for one in good)
    wrong = sum(bool(one.problems) for one in results)
    print(f"     {len(results)} runs, {wrong} with problems; {lost} writes lost; {'; '.join(spans)}\n", flush=True)


def _span(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{min(values):.1f} to {max(values):.1f} (median {statistics.median(values):.1f})"


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    sys.exit(main())
