# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Holds: an object beside a point that keeps it, whatever its age. A hold in one store protects all copies.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .clock import to_iso, utc_now
from .errors import RecoveryError, failed
from .ledger_event import canonical
from .object_store import ObjectMissing, PreconditionFailed
from .recovery_points_names import HOLD, PointName
from .recovery_points_store import PointStore


def change_hold(
    stores: t.Sequence[PointStore], name: PointName, reason: str | None, check_mode: bool
) -> dict[str, t.Any]:
    """Hold a point for a reason, or release it without one, in every store that has it.

    Raises RecoveryError when no store that can be asked has the point.
    """
    problems: list[str] = []
    changed: list[str] = []
    holders: list[str] = []
    for store in stores:
        try:
            if not _is_there(store, name):
                continue
            holders.append(store.name)
            if _change(store, name, reason, check_mode):
                changed.append(store.name)
        except RecoveryError as error:
            problems.append(f"{store.name}: {error}")
    verb = "hold" if reason else "release"
    facts = {
        "changed": bool(changed),
        "stores": holders,
        "problems": problems,
        "outcome": "unverified" if problems else "passed",
        "diff": {"before": {"held": not reason if changed else bool(reason)}, "after": {"held": bool(reason)}},
    }
    if not holders:
        cause = " ".join(problems) or "no store has it"
        raise RecoveryError(failed(verb, f"recovery point {name}", cause, "Look with recovery_point_info."), **facts)
    return facts


def _is_there(store: PointStore, name: PointName) -> bool:
    return next(iter(store.listing(name.prefix)), None) is not None


def _change(store: PointStore, name: PointName, reason: str | None, check_mode: bool) -> bool:
    """Return whether the store's hold changes."""
    key = name.key(HOLD)
    try:
        store.size_and_metadata(key)
        held = True
    except ObjectMissing:
        held = False
    if held == bool(reason):
        return False
    if check_mode:
        return True
    if reason:
        try:
            store.create(key, canonical({"version": 1, "reason": reason, "created": to_iso(utc_now())}))
        except PreconditionFailed:
            return False
        return True
    refused = store.remove([(key, None)])
    if refused:
        raise RecoveryError(
            failed("release", f"{name} in {store}", refused[0], "Look at the bucket's policy and locks.")
        )
    return True
