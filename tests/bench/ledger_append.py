"""What one event of the ledger costs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from .measure import compare

ROOT = Path(__file__).resolve().parents[2]
EVENTS = 200


def run() -> None:
    """one event: appended and flushed by plain file writes, and by the ledger (chain, lock, flush; no store)"""
    sys.path.insert(0, str(ROOT / "collections"))
    with tempfile.TemporaryDirectory() as directory:
        rounds = iter(range(1000))
        compare(
            {
                "plain append + fsync": lambda: _plain(Path(directory) / f"plain-{next(rounds)}"),
                "ledger": lambda: _ledger(Path(directory), f"bench-{next(rounds)}"),
            },
            rounds=3,
            per=EVENTS,
            unit="event",
        )


def _plain(path: Path) -> None:
    import os

    with path.open("ab") as out:
        for number in range(EVENTS):
            out.write(b'{"seq": %d}\n' % number)
            out.flush()
            os.fsync(out.fileno())


def _ledger(directory: Path, incident: str) -> None:
    from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger import Ledger

    ledger = Ledger(incident, "drill", directory)
    ledger.declare({})
    for number in range(EVENTS):
        ledger.append("assess", "bench", "verified", {"number": number})
