# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far this machine's clock is off, by the answers of a witness store.

Leases, fences and loss bounds count by the stores' clocks, whatever this machine's says. A ledger's times are this
machine's, so a report that sets them beside what clients saw has to know.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t

from .clock import utc_now
from .object_store import ObjectStore

#: seconds beyond which the clock is worth a finding; the stores show whole seconds
NOTED_SECONDS = 5.0


def skew_evidence(store: ObjectStore) -> dict[str, t.Any]:
    """Return `{store, skew_seconds}`: positive where this machine is ahead; empty before the store has answered.

    The store's clock is known between bounds, about a second apart: a clock between them is off by 0.
    """
    now, moment = utc_now(), time.monotonic()
    earliest, latest = store.clock.at_least(moment), store.clock.at_most(moment)
    if earliest is None or latest is None:
        return {}
    middle = earliest + (latest - earliest) / 2
    within = earliest <= now <= latest
    return {"store": store.name, "skew_seconds": 0.0 if within else round((now - middle).total_seconds(), 1)}


def is_off(evidence: t.Mapping[str, t.Any]) -> bool:
    """Whether what was measured is worth a finding."""
    return abs(float(evidence.get("skew_seconds") or 0.0)) > NOTED_SECONDS


def told(evidence: t.Mapping[str, t.Any]) -> str:
    """Return the finding, for people."""
    skew = float(evidence["skew_seconds"])
    direction = "ahead of" if skew > 0 else "behind"
    return (
        f"The controller's clock was {abs(skew):.0f} s {direction} the witness's ({evidence['store']}). Leases, fences "
        "and the loss bound count by the witness; the ledger's times, and what is computed from them and from the "
        "clients' record together, are off by as much. Set the clock right (NTP)."
    )
