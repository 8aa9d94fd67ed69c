"""Run the benchmarks: python -m tests.bench [NAME...]."""

from __future__ import annotations

import argparse
import sys

from . import hashing, in_process, ledger_append, pgbackrest, recovery, services

BENCHMARKS = {
    "hashing": hashing.run,
    "in_process": in_process.run,
    "ledger_append": ledger_append.run,
    "pgbackrest": pgbackrest.run,
    "recovery": recovery.run,
    "services": services.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="which; all by default")
    names = parser.parse_args().names or list(BENCHMARKS)
    for name in names:
        print(f"== {name}: {BENCHMARKS[name].__doc__}")
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
