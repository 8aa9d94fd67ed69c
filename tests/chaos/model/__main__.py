"""python -m tests.chaos.model --seed N [--count M] [--trace]"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.chaos.model.schedule import play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.model")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--trace", action="store_true")
    given = parser.parse_args()
    began = time.process_time()
    total: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for seed in range(given.seed, given.seed + given.count):
        verdict = play(seed, given.trace)
        total.update(dict.fromkeys(verdict.counted, 1))
        if verdict.broken:
            failures[verdict.broken[:60]] += 1
            print(f"seed {seed}: {verdict.broken}")
    spent = time.process_time() - began
    print(f"{given.count} schedules, {spent:.1f} s of CPU, {given.count / spent:.1f}/s")
    print(dict(sorted(total.items())))
    print(failures)
    return 1 if failures else 0


sys.exit(main())
