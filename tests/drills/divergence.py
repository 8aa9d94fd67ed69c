"""``python -m tests.drills.divergence --directory LAB``: is every write that the failover lost among the saved rows?

The lost writes are those that the clients saw acknowledged and could not read afterwards; the rows are what
pg_divergence saved before the old primary was rebuilt.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def lost(lab: Path) -> set[str]:
    """Return the ids that the clients' measurements found lost."""
    measured = json.loads((lab / "client" / "known-losses.json").read_text(encoding="utf-8"))
    return {one for services in measured.values() for ids in services.values() for one in ids}


def saved(lab: Path) -> set[str]:
    """Return the ids of the rows of every table `writes` that was saved."""
    found = set()
    for path in lab.glob("divergence/*/*/rows/*.public.writes.jsonl"):
        with path.open(encoding="utf-8") as rows:
            found |= {json.loads(row)["row"]["id"] for row in rows}
    return found


def main() -> int:
    """Compare; 1 where a lost write was not saved, or nothing was lost at all and the drill proves nothing."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills.divergence", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="the lab's directory")
    lab = parser.parse_args().directory
    gone, kept = lost(lab), saved(lab)
    missing = sorted(gone - kept)
    found = len(gone & kept)
    print(f"{len(gone)} acknowledged writes were lost by the failover; {found} of them are in {len(kept)} saved rows")
    if missing:
        print(f"not saved: {', '.join(missing[:20])}", file=sys.stderr)
    return 1 if missing or not gone else 0


if __name__ == "__main__":
    sys.exit(main())
