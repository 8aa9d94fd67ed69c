"""``python -m tests.chaos.kill``: kill the operator's playbooks, run them again, and say whether they converge."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.chaos.kill import schedule
from tests.chaos.kill.run import ROOT, Kill
from tests.chaos.kill.trial import PLAYBOOKS, Outcome, Trials
from tests.chaos.kill.world import World


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trials that were asked for and draw a table; 0 when every one converged."""
    given = _parser().parse_args(argv)
    world = World(Path(given.directory).resolve())
    failed = 0
    try:
        for number, outcome in enumerate(_outcomes(given, Trials(world)), 1):
            failed += bool(outcome.problems)
            print(line(number, outcome), flush=True)
    finally:
        world.stop()
    print(f"{number} trials, {failed} did not converge" if failed else f"{number} trials, all converged")
    return 1 if failed else 0


def line(number: int, outcome: Outcome) -> str:
    """One line of the table, and one for each problem."""
    where = str(outcome.kill or "-") if outcome.killed else "not killed"
    verdict = "FAILED" if outcome.problems else "ok"
    head = f"{number:4} {outcome.playbook:18} {where:>11} {outcome.seconds:6.1f} s  {verdict:6}  {outcome.task[-70:]}"
    return "\n".join([head, *(f"        {problem}" for problem in outcome.problems)])


def _outcomes(given: argparse.Namespace, trials: Trials) -> Iterator[Outcome]:
    playbooks = given.playbook or list(PLAYBOOKS)
    if given.all:
        return schedule.everywhere(trials, playbooks, given.during, given.first)
    if given.seeded:
        return schedule.seeded(trials, playbooks, given.seeded, given.seed)
    return schedule.at(trials, playbooks, Kill(given.at, given.during))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.kill", description=__doc__)
    parser.add_argument("--playbook", action="append", choices=PLAYBOOKS, help="of these playbooks; of all by default")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--at", type=int, help="kill before this task, counted from 1")
    what.add_argument("--all", action="store_true", help="kill at every task, one after the other")
    what.add_argument("--seeded", type=int, metavar="N", help="kill at N places drawn by --seed")
    parser.add_argument("--during", type=float, default=0.0, metavar="S", help="kill S seconds after the task's start")
    parser.add_argument("--from", type=int, default=1, dest="first", metavar="K", help="with --all: begin at this task")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", default=os.environ.get("DR_CHAOS_LAB", str(ROOT / "build/chaos/kill/lab")))
    return parser


if __name__ == "__main__":
    sys.exit(main())
