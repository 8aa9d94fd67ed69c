# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result of a task over workloads: the same keys whatever it did and however far it came.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .execution import Result
from .workloads_change import Change
from .workloads_model import RESTARTED_AT
from .workloads_preflight import Look


@dataclass
class Entry:
    """One workload's part of the result."""

    look: Look
    change: Change | None = None
    ready: int | None = None
    seconds: float | None = None
    problems: list[str] = field(default_factory=list)

    def before(self) -> dict[str, t.Any]:
        """What was: replicas and images; None and empty where there is no workload."""
        observed = self.look.observed
        return {"replicas": observed.replicas, "images": observed.images} if observed else _NOTHING

    def after(self) -> dict[str, t.Any]:
        """What is asked of it now, or would be."""
        return {"replicas": self.change.replicas, "images": self.change.images} if self.change else self.before()

    def unverified(self) -> list[str]:
        """What could not be told about it, one line each."""
        return [f"{self.look.wanted.key}: cannot tell {one}" for one in self.look.unverified]

    def told(self) -> list[str]:
        """What is wrong with it, one line each."""
        return [f"{self.look.wanted.key}: missing {one}" for one in self.look.missing] + [
            one if str(self.look.wanted.key) in one else f"{self.look.wanted.key}: {one}" for one in self.problems
        ]


_NOTHING: dict[str, t.Any] = {"replicas": None, "images": {}}


def problems_of(entries: t.Sequence[Entry]) -> list[str]:
    """Return what is wrong with all workloads, one line each."""
    return [line for entry in entries for line in entry.told()]


def outcome_of(entries: t.Sequence[Entry]) -> str:
    """Return whether workloads have what they need: passed, failed, or unverified where that could not be told."""
    if problems_of(entries):
        return "failed"
    return "unverified" if any(entry.unverified() for entry in entries) else "passed"


def result_of(cluster: str, entries: t.Sequence[Entry], waits: list[dict[str, t.Any]], observed: bool) -> Result:
    """Return the whole result."""
    return {
        "changed": any(entry.change is not None and entry.change.changed for entry in entries),
        "workloads": [_workload(entry) for entry in entries],
        "problems": problems_of(entries),
        "unverified": [line for entry in entries for line in entry.unverified()],
        "waits": waits,
        "observed": observed,
        "evidence": {
            "cluster": cluster,
            "workloads": {
                str(entry.look.wanted.key): {
                    "before": entry.before()["replicas"],
                    "after": entry.after()["replicas"],
                    "images": sorted(set(entry.after()["images"].values())),
                    "ready": entry.ready,
                    "seconds": entry.seconds,
                }
                for entry in entries
            },
        },
        "diff": {
            "before": {str(entry.look.wanted.key): _shown(entry, entry.before(), False) for entry in entries},
            "after": {str(entry.look.wanted.key): _shown(entry, entry.after(), True) for entry in entries},
        },
    }


def _workload(entry: Entry) -> dict[str, t.Any]:
    wanted, observed = entry.look.wanted, entry.look.observed
    identity = {"namespace": wanted.key.namespace, "name": wanted.key.name, "kind": wanted.key.kind}
    before = entry.before()
    return {
        **identity,
        "exists": observed is not None,
        "changed": bool(entry.change and entry.change.changed),
        "before": before,
        "after": entry.after(),
        "previous": {**identity, **before, "images": {**before["images"], **entry.look.running}},
        "ready": entry.ready if entry.ready is not None else (observed.ready if observed else None),
        "seconds": entry.seconds,
        "missing": entry.look.missing,
        "problems": entry.problems,
        "unverified": entry.look.unverified,
    }


def _shown(entry: Entry, side: dict[str, t.Any], after: bool) -> dict[str, t.Any]:
    """What a diff shows of a workload; the moment of a restart is not known before it."""
    restarted = entry.look.observed.restarted_at if entry.look.observed else None
    if after and entry.change and entry.change.restarts:
        restarted = "now"
    return {**side, **({RESTARTED_AT: restarted} if restarted else {})}
