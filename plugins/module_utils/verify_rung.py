# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One rung of the proof ladder: what it found, and its outcome.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t

from .clock import to_iso, utc_now
from .errors import RecoveryError
from .probes_model import FAILED, PASSED, UNVERIFIED
from .probes_verdict import worst
from .sql import SqlFailed

#: reasons of one kind that a rung tells; a cluster that is damaged throughout has as many as it has pages
MOST = 100


class Rung:
    """Collects reasons, from several threads too. Without any it has passed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.details: dict[str, t.Any] = {}
        self._reasons: dict[str, list[str]] = {FAILED: [], UNVERIFIED: []}
        self._seconds: float | None = None
        self.begin()

    def begin(self) -> None:
        """From here its time runs."""
        self._started = utc_now()
        self._from = time.monotonic()

    def end(self) -> None:
        """Until here it ran."""
        self._seconds = time.monotonic() - self._from

    def failed(self, reason: str) -> None:
        """Something is not as it has to be."""
        self._reasons[FAILED].append(reason)

    def unverified(self, reason: str) -> None:
        """Something could not be looked at."""
        self._reasons[UNVERIFIED].append(reason)

    def caught(self, what: str, error: RecoveryError, failing: t.Container[str] = ()) -> None:
        """Judge an error: SQLSTATEs in `failing` say that `what` is wrong; all others that nobody can tell."""
        if isinstance(error, SqlFailed) and error.sqlstate in failing:
            self.failed(f"{what}: {_cause(error)}")
        else:
            self.unverified(f"{what} could not be checked: {_cause(error)}")

    @property
    def outcome(self) -> str:
        """Return failed, else unverified, else passed."""
        return worst(outcome for outcome, reasons in self._reasons.items() if reasons)

    def reasons(self, outcome: str) -> list[str]:
        """Return the reasons of one outcome, sorted, at most MOST of them and then how many more there are."""
        found = sorted(self._reasons.get(outcome, ()))
        more = len(found) - MOST
        return [*found[:MOST], f"and {more} more of these"] if more > 0 else found

    def as_dict(self) -> dict[str, t.Any]:
        """Return {rung, outcome, reasons, started, seconds, details}; what failed comes first in the reasons."""
        return {
            "rung": self.name,
            "outcome": self.outcome,
            "reasons": self.reasons(FAILED) + self.reasons(UNVERIFIED),
            "started": to_iso(self._started),
            "seconds": round(self._seconds or 0.0, 3),
            "details": self.details,
        }


def overall(outcomes: t.Sequence[str]) -> str:
    """Return the outcome of several rungs; of none, nothing is known."""
    return worst(outcomes) if outcomes else UNVERIFIED


def _cause(error: RecoveryError) -> str:
    """Return the error without the words that any failing statement begins with."""
    text = str(error)
    return text.split(": ", 1)[1] if text.startswith("Failed to ask PostgreSQL") and ": " in text else text


__all__ = ["FAILED", "MOST", "PASSED", "UNVERIFIED", "Rung", "overall"]
