# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a search knows so far, as the module's result.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, field

from .backrest_info import Facts
from .execution import Params, Result

FOUND, GOOD, BAD, NARROWED, UNVERIFIED = "found", "good", "bad", "narrowed", "unverified"
_OUTCOMES = {FOUND: "passed", GOOD: "passed", BAD: "failed"}
_EVIDENCE = ("outcome", "answer", "problems", "last_good", "first_bad", "exact", "repository", "label", "target",
             "timeline", "candidates", "probes_asked", "restores", "seconds", "gap", "removed")  # fmt: skip


@dataclass
class Found:
    """Filled while the search goes on; the same members whatever came of it."""

    params: Params
    answer: str = UNVERIFIED
    problems: list[str] = field(default_factory=list)
    last_good: Facts | None = None
    first_bad: Facts | None = None
    exact: bool = False
    repository: str | None = None
    label: str | None = None
    target: Facts | None = None
    timeline: int | None = None
    candidates: int | None = None
    bases: list[Facts] = field(default_factory=list)
    history: list[Facts] = field(default_factory=list)
    needed_bytes: int | None = None
    probes_asked: int = 0
    restores: int = 0
    steps: int = 0
    segments: int = 0
    gap: Facts | None = None
    removed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the call began."""
        return round(time.monotonic() - self._started, 3)

    def heard(self, moment: Facts, good: bool, reasons: t.Sequence[str], known: bool, seconds: float) -> None:
        """Add one verdict to the history."""
        verdict = {"verdict": GOOD if good else BAD, "reasons": list(reasons), "known": known}
        self.history.append({**moment, **verdict, "seconds": round(seconds, 3)})

    def as_dict(self) -> Result:
        """Return JSON-safe members, with `changed`, `diff` and `evidence`."""
        told = {name: value for name, value in vars(self).items() if name not in ("params", "_started")}
        told["seconds"] = self.seconds
        told["outcome"] = _OUTCOMES.get(self.answer, UNVERIFIED)
        evidence = {
            "probes": [one["name"] for one in self.params["probes"]],
            **{name: told[name] for name in _EVIDENCE},
        }
        diff = {"before": {"scratches": self.removed}, "after": {"scratches": []}}
        return {"changed": bool(self.removed), **told, "error_kind": None, "diff": diff, "evidence": evidence}
