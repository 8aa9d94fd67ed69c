# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result of a task over manifests: the same keys whatever it did and however far it came.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass, field

from .execution import Result
from .manifests_difference import difference
from .manifests_entry import CHANGED, CREATED, FAILED, PASSED, UNVERIFIED, Entry
from .manifests_export import Exported
from .manifests_rollout import Rollout


@dataclass
class Report:
    """A task under way."""

    cluster: str
    directory: str
    entries: list[Entry] = field(default_factory=list)
    problems_of_files: list[str] = field(default_factory=list)
    unverified_of_files: list[str] = field(default_factory=list)
    exported: Exported | None = None
    #: what an export changes in its directory: path -> added, changed, removed
    files: dict[str, str] = field(default_factory=dict)
    #: whether the task would change the cluster, and whether it has begun to
    effect: bool = False
    acts: bool = False
    rollout: Rollout | None = None
    #: whether an export is in its place
    stands: bool = False

    def take(self, exported: Exported) -> None:
        """Keep what an export has found, also one that did not come to its end."""
        self.exported = exported

    @property
    def problems(self) -> list[str]:
        """What is wrong, one line each, naming the object."""
        found = self.exported.problems if self.exported else []
        return [*self.problems_of_files, *found, *self._told(FAILED)]

    @property
    def unverified(self) -> list[str]:
        """What could not be told, one line each."""
        found = self.exported.unverified if self.exported else []
        late = self.rollout.unverified if self.rollout else []
        return [*self.unverified_of_files, *found, *self._told(UNVERIFIED), *late]

    def _told(self, outcome: str) -> list[str]:
        return [line for entry in self.entries if entry.outcome == outcome for line in entry.told()]

    @property
    def outcome(self) -> str:
        """Passed, failed, or unverified where something could not be told or nothing was looked at."""
        outcomes = {entry.outcome for entry in self.entries}
        if self.problems or FAILED in outcomes:
            return FAILED
        looked = self.exported is not None or bool(self.entries)
        return PASSED if looked and not self.unverified and UNVERIFIED not in outcomes else UNVERIFIED

    def as_dict(self) -> Result:
        """Return the whole result."""
        actions = Counter(entry.action for entry in self.entries if entry.action)
        left_out = sorted(self.exported.left_out.values(), key=lambda one: one.reason) if self.exported else []
        return {
            "changed": self._changed(),
            "outcome": self.outcome,
            "directory": self.directory,
            "counts": dict(self.exported.counts) if self.exported else self._by_kind(),
            "files": self.files,
            "objects": [entry.as_dict() for entry in self.entries],
            "left_out": [one.as_dict() for one in left_out],
            "problems": self.problems,
            "unverified": self.unverified,
            "warnings_found": self._warnings(),
            "waits": self.rollout.waits if self.rollout else [],
            "observed": self.stands or bool(self.rollout and self.rollout.observed),
            "evidence": {
                "cluster": self.cluster,
                "directory": self.directory,
                "counts": dict(self.exported.counts) if self.exported else self._by_kind(),
                "outcomes": dict(Counter(entry.outcome for entry in self.entries)),
                "actions": dict(actions),
                "workloads": self.rollout.workloads() if self.rollout else {},
                "left_out": {one.reason: one.count for one in left_out},
                "unverified": self.unverified,
            },
            "diff": self._diff(),
        }

    def _changed(self) -> bool:
        if self.acts:
            return any(entry.applied and entry.action in (CREATED, CHANGED) for entry in self.entries)
        if self.effect:
            return not self.problems and any(entry.action in (CREATED, CHANGED) for entry in self.entries)
        return bool(self.files) and not self.problems

    def _by_kind(self) -> dict[str, int]:
        return dict(Counter(str(entry.manifest.identity.kind) for entry in self.entries))

    def _warnings(self) -> list[str]:
        found = self.exported.warnings if self.exported else []
        return [*found, *(one for entry in self.entries for one in entry.warnings)]

    def _diff(self) -> dict[str, t.Any]:
        if self.exported is not None:
            before = {path: "present" for path, what in self.files.items() if what != "added"}
            after = {path: what for path, what in self.files.items() if what != "removed"}
            return {"before": before, "after": after}
        old_fields: dict[str, t.Any] = {}
        new_fields: dict[str, t.Any] = {}
        for entry in self.entries:
            if entry.action in (CREATED, CHANGED):
                old, new = difference(entry.before, entry.after or entry.manifest.raw)
                old_fields[str(entry.manifest.identity)] = old
                new_fields[str(entry.manifest.identity)] = new
        return {"before": old_fields, "after": new_fields}
