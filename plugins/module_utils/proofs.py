# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the steps of a proof found, as the one document that is signed and kept.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .errors import RecoveryError
from .probes_model import UNVERIFIED
from .probes_verdict import worst

OUTCOMES = ("passed", "failed", UNVERIFIED)
#: what a proof keeps of a step beside its outcome
_KEPT = ("bytes", "count", "store", "taken_from", "tables", "seconds_to_target", "items_proven")
_REASONS = ("problems", "damaged", "reasons", "differences")


def proof(steps: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Return `{outcome, rungs, seconds, restore_seconds}` of steps `{rung, result, restores}`, in the ladder's order.

    `result` is what a module returned. One that itself climbed rungs gives its `rungs`. A step without a result did
    not run, and so is unverified, as is a result that does not say how it ended: neither is a pass.
    `restore_seconds` sums the steps that restore: the evidence for the RTO; None where any of them did not pass.
    """
    if not steps:
        raise RecoveryError("A proof of nothing is none. Name the steps that were taken.")
    rungs: list[dict[str, t.Any]] = []
    restored: list[float | None] = []
    for step in steps:
        result = step.get("result") or {}
        found = [_known(one) for one in result.get("rungs") or []] or [_rung(step["rung"], result)]
        if result.get("failed") and all(one.get("outcome") == "passed" for one in found):
            found.append(_rung(step["rung"], {key: value for key, value in result.items() if key != "outcome"}))
        rungs += found
        if step.get("restores"):
            passed = all(one["outcome"] == "passed" for one in found)
            restored.append(float(result.get("seconds") or 0) if passed else None)
    known = [seconds for seconds in restored if seconds is not None]
    return {
        "outcome": worst([one["outcome"] for one in rungs]),
        "rungs": rungs,
        "seconds": round(sum(float(one.get("seconds") or 0) for one in rungs), 3),
        "restore_seconds": round(sum(known), 3) if restored and len(known) == len(restored) else None,
    }


def _rung(name: str, result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    outcome = result.get("outcome")
    if outcome == "passed" and result.get("damaged"):
        outcome = "failed"  # another copy was restored, and this one would not have been
    if outcome not in OUTCOMES or (outcome == "passed" and result.get("failed")):
        outcome = UNVERIFIED
    reasons = [_told(one) for key in _REASONS for one in result.get(key) or []]
    if outcome != "passed" and not reasons:
        reasons = [str(result.get("msg") or "it did not run")]
    return {
        "rung": name,
        "outcome": outcome,
        "reasons": [] if outcome == "passed" else reasons,
        "started": result.get("started"),
        "seconds": float(result.get("seconds") or 0),
        "details": {key: result[key] for key in _KEPT if key in result},
    }


def _known(rung: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A rung that a module climbed; one that does not say how it ended has not passed."""
    return {**rung, "outcome": rung["outcome"] if rung.get("outcome") in OUTCOMES else UNVERIFIED}


def _told(reason: t.Any) -> str:
    """A reason as text; modules give text, or a dict that names the object."""
    if isinstance(reason, t.Mapping):
        return "; ".join(f"{key} {value}" for key, value in reason.items() if value not in (None, "", [], {}))
    return str(reason)
