# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One manifest against one cluster: what was found, what would be or was done, and the verdict.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .errors import RecoveryError, Unreachable
from .kubernetes_api import ApiError, Denied, Json
from .manifests_difference import comparable
from .manifests_discovery import Resource
from .manifests_model import Manifest

PASSED, FAILED, UNVERIFIED = "passed", "failed", "unverified"
CREATED, CHANGED, UNCHANGED = "created", "changed", "unchanged"

#: What the API says of credentials that may not ask; every other 403 is a verdict on the object: quota, policy.
_MAY_NOT = re.compile(r'(User|user) ".*" cannot |: Forbidden: User|is not allowed to')
#: A webhook that cannot be asked in a dry run, or that did not answer: nothing is known of the object.
_NOT_ASKED = re.compile(r"does not support dry run|failed calling webhook", re.IGNORECASE)


@dataclass
class Entry:
    """One manifest's part of the result."""

    manifest: Manifest
    resource: Resource | None = None
    outcome: str = UNVERIFIED
    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    before: Json | None = None
    after: Json | None = None
    #: whether the object was looked at: without, nothing can be said of what would change
    looked: bool = False
    #: whether it was applied in this run
    applied: bool = False

    @property
    def action(self) -> str | None:
        """What applying does to the object; None where that cannot be told."""
        if not self.looked:
            return None
        if self.before is None:
            return CREATED
        if self.after is None:
            return None
        return UNCHANGED if comparable(self.before) == comparable(self.after) else CHANGED

    def note(self, outcome: str, reason: str = "") -> None:
        """Set the verdict: one that failed stays so."""
        self.outcome = FAILED if FAILED in (self.outcome, outcome) else outcome
        if reason:
            self.reasons.append(reason)

    def as_dict(self) -> dict[str, t.Any]:
        """Return what the task tells of it."""
        identity = self.manifest.identity
        return {
            "kind": str(identity.kind),
            "namespace": identity.namespace,
            "name": identity.name,
            "path": self.manifest.path,
            "outcome": self.outcome,
            "reasons": self.reasons,
            "action": self.action,
            "applied": self.applied,
        }

    def told(self) -> list[str]:
        """Its reasons, one line each, naming the object."""
        name = str(self.manifest.identity)
        return [one if name in one else f"{name}: {one}" for one in self.reasons]


def verdict_of(error: RecoveryError) -> str:
    """Return whether an error says something of the object (failed), or only that nothing is known (unverified)."""
    if isinstance(error, Unreachable) or not isinstance(error, ApiError):
        return UNVERIFIED
    if isinstance(error, Denied) and (error.status == 401 or _MAY_NOT.search(str(error))):
        return UNVERIFIED
    if error.status == 429 or error.status >= 500 or _NOT_ASKED.search(str(error)):
        return UNVERIFIED
    return FAILED
