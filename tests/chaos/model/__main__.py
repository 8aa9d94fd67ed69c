"""Seeded fault schedules in virtual time.

python -m tests.chaos.model [--seed N] [--count M] [--trace]
python -m tests.chaos.model --beyond freeze_all      # what is too much by design: how long two primaries write
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.chaos.model.coverage import ENOUGH, rotten, shares
from tests.chaos.model.mutants import BEYOND
from tests.chaos.model.schedule import USUAL, Verdict, play


def main() -> int:
    """Return the exit status: 0 where every invariant held."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.model", description="Seeded fault schedules.")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--trace", action="store_true", help="show the timeline of every schedule")
    parser.add_argument("--beyond", choices=sorted(BEYOND), help="measure a class of faults that is too much by design")
    given = parser.parse_args()
    began = time.process_time()
    verdicts = []
    for seed in range(given.seed, given.seed + given.count):
        verdicts.append(play(seed, given.trace, BEYOND[given.beyond] if given.beyond else USUAL))
        if verdicts[-1].broken and not given.trace:
            print("\n".join(verdicts[-1].lines))
        if verdicts[-1].broken:
            print(f"seed {seed}: {verdicts[-1].broken}\nreplay: python -m tests.chaos.model --seed {seed} --trace\n")
    _report(verdicts, time.process_time() - began)
    if given.beyond:
        worst = max(verdicts, key=lambda one: one.both)
        met, wrong = sum(one.both > 0 for one in verdicts), sum(one.wrong for one in verdicts)
        print(f"two writable primaries in {met} schedules, for {worst.both:.3f} s at most (seed {worst.seed})")
        print(f"the wrong one acknowledged {wrong} writes")
        return 0
    missing = rotten(shares(verdicts)) if given.count >= ENOUGH else []
    for line in missing:
        print(f"coverage: {line}")
    return 1 if missing or any(one.broken for one in verdicts) else 0


def _report(verdicts: list[Verdict], spent: float) -> None:
    virtual = sum(one.seconds for one in verdicts)
    broken = sum(bool(one.broken) for one in verdicts)
    print(
        f"{len(verdicts)} schedules, {broken} broken; {virtual / 60:.0f} minutes of virtual time in {spent:.1f} s of "
        f"CPU, {len(verdicts) / spent:.1f} schedules a second"
    )
    print("in how many of a hundred: " + ", ".join(f"{name} {part:.0f}" for name, part in shares(verdicts).items()))


sys.exit(main())
