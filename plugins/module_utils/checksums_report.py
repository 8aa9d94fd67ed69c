# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What checksum_manifest answers: the same keys whatever happened.

PRIVATE to the collection.
"""

from __future__ import annotations

import collections
import hashlib
import typing as t
from dataclasses import dataclass, field

from .checksums_compare import KINDS, Difference
from .checksums_manifest import Manifest
from .execution import Result

PASSED, FAILED, UNVERIFIED = "passed", "failed", "unverified"
#: that many differences are named in the ledger's evidence, and in a message
NAMED, TOLD = 20, 5


@dataclass
class Report:
    """Everything that is known so far."""

    state: str
    what: str
    place: str
    manifest: Manifest | None = None
    body: bytes | None = None
    signed_by: str | None = None
    outcome: str | None = None
    changed: bool = False
    differences: list[Difference] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hashed_bytes: int = 0
    kept_files: int = 0
    seconds: float = 0.0
    before: dict[str, t.Any] = field(default_factory=dict)
    after: dict[str, t.Any] = field(default_factory=dict)

    def use(self, manifest: Manifest, body: bytes) -> None:
        """Report on this manifest."""
        self.manifest, self.body = manifest, body

    def conclude(self) -> None:
        """Decide the outcome: what differs fails, else what could not be looked at leaves it unverified."""
        if self.differences:
            self.outcome = FAILED
        else:
            self.outcome = UNVERIFIED if self.problems else PASSED

    def counts(self) -> dict[str, int]:
        """Return how many differences there are of each kind."""
        found = collections.Counter(one.kind for one in self.differences)
        return {kind: found[kind] for kind in KINDS}

    def reasons(self) -> list[str]:
        """Return all that is wrong, the differences first."""
        return [str(one) for one in self.differences] + self.problems

    def message(self) -> str:
        """Return the text of an outcome that is not a pass."""
        reasons = self.reasons()
        told = "; ".join(one.rstrip(".") for one in reasons[:TOLD])
        more = f"; and {len(reasons) - TOLD} more" if len(reasons) > TOLD else ""
        return f"Failed to verify {self.what} by {self.place} ({self.outcome}): {told}{more}."

    def result(self) -> Result:
        """Return the module's return values."""
        manifest = self.manifest
        summary = {
            "manifest": self.place,
            "manifest_digest": hashlib.sha256(self.body).hexdigest() if self.body else None,
            "signed_by": self.signed_by,
            "algorithm": manifest.algorithm if manifest else None,
            "subject": manifest.subject if manifest else {},
            "created": manifest.created if manifest else None,
            "count": len(manifest.files) if manifest else 0,
            "bytes": manifest.total_bytes if manifest else 0,
            "outcome": self.outcome,
            "counts": self.counts(),
            "hashed_bytes": self.hashed_bytes,
            "seconds": round(self.seconds, 3),
        }
        return {
            "changed": self.changed,
            "state": self.state,
            "what": self.what,
            **summary,
            "differences": [one.as_dict() for one in self.differences],
            "problems": self.reasons(),
            "notes": self.notes,
            "kept_files": self.kept_files,
            "evidence": {"what": self.what, **summary, "problems": self.reasons()[:NAMED]},
            "diff": {"before": self.before, "after": self.after},
        }
