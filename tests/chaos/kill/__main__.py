"""``python -m tests.chaos.kill``: kill the operator's playbooks, run them again, and say whether they converge."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.chaos.kill import backups_trial, schedule
from tests.chaos.kill.run import ROOT, Kill
from tests.chaos.kill.trial import PLAYBOOKS, Outcome, Trials
from tests.chaos.kill.world import World


def main(argv: Sequence[str] | None = None) -> int:
    """Run the trials that were asked for and draw a table; 0 when every one converged."""
    given = _parser().parse_args(argv)
    number = failed = 0
    for world, trials, playbooks in _groups(given):
        try:
            for outcome in _outcomes(given, trials, playbooks):
                number, failed = number + 1, failed + bool(outcome.problems)
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


def _groups(given: argparse.Namespace) -> Iterator[tuple[World, schedule.Kills, list[str]]]:
    """The playbooks that were asked for, by the lab that they need: those of backups one that archives."""
    asked, place = given.playbook or [*PLAYBOOKS, *backups_trial.PLAYBOOKS], Path(given.directory).resolve()
    if regional := [one for one in asked if one in PLAYBOOKS]:
        world = World(place)
        yield world, Trials(world), regional
    if backups := [one for one in asked if one in backups_trial.PLAYBOOKS]:
        world = World(place, DR_LAB_BACKUPS="1")
        yield world, backups_trial.BackupTrials(world, tuple(given.component or backups_trial.COMPONENTS)), backups


def _outcomes(given: argparse.Namespace, trials: schedule.Kills, playbooks: list[str]) -> Iterator[Outcome]:
    if given.all:
        return schedule.everywhere(trials, playbooks, given.during, given.first, given.every)
    if given.seeded:
        return schedule.seeded(trials, playbooks, given.seeded, given.seed)
    return schedule.at(trials, playbooks, Kill(given.at, given.during))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.kill", description=__doc__)
    parser.add_argument(
        "--playbook",
        action="append",
        choices=[*PLAYBOOKS, *backups_trial.PLAYBOOKS],
        help="of these playbooks; of all by default",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--at", type=int, help="kill before this task, counted from 1")
    what.add_argument("--all", action="store_true", help="kill at every task, one after the other")
    what.add_argument("--seeded", type=int, metavar="N", help="kill at N places drawn by --seed")
    parser.add_argument("--during", type=float, default=0.0, metavar="S", help="kill S seconds after the task's start")
    parser.add_argument("--from", type=int, default=1, dest="first", metavar="K", help="with --all: begin at this task")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="with --all: every Kth task only")
    parser.add_argument("--component", action="append", help="of backups: take and prove these only")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", default=os.environ.get("DR_CHAOS_LAB", str(ROOT / "build/chaos/kill/lab")))
    return parser


if __name__ == "__main__":
    sys.exit(main())
