# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pg_standby returns: the same keys on every path.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t

from . import standby_journal as journal
from .execution import Params, Result
from .standby_examine import Examination
from .standby_journal import Entry
from .standby_places import Places
from .standby_rebuild import Rebuild
from .standby_server import Standby
from .standby_source import Primary


class Report:
    """Gathers while the work goes on."""

    def __init__(self, params: Params, check_mode: bool, places: Places) -> None:
        self.params = params
        self.check_mode = check_mode
        self.places = places
        self.changed = False
        self.primary: Primary | None = None
        self.standby: Standby | None = None
        self.method: str | None = None
        self.reason = ""
        self.settled = ""
        self.needs: str | None = None
        self.slot_created = False
        self.slots_removed: list[str] = []
        self.bytes_copied = 0
        self.lag_bytes: int | None = None
        self.disk: dict[str, int] | None = None
        self.waits: list[dict[str, t.Any]] = []
        self._before: Examination | None = None
        self._last: Examination | None = None
        self._worked = False
        self._began = time.monotonic()

    def need_primary(self) -> Primary:
        """Return the source as it was found."""
        if self.primary is None:
            raise RuntimeError("the source was not asked yet")
        return self.primary

    def found(self, examination: Examination) -> None:
        """Take what was found, first and last."""
        self._before = self._before or examination
        self._last = examination
        self.standby = examination.standby
        if not self.method:
            self.reason = examination.reason

    def decide(self, method: str | None, reason: str) -> None:
        """Take what would be done."""
        self.method, self.reason = method, reason
        self.changed = method is not None and self.params["state"] != "observed"

    def done(self, method: str | None, reason: str, rebuild: Rebuild) -> None:
        """Take what was done; None for an earlier run's work that was undone."""
        self.changed = self._worked = True
        self.bytes_copied, self.slots_removed = rebuild.bytes_copied, rebuild.slots_removed
        if method is not None:
            self.method, self.reason = method, reason

    def predict_resumption(self, entry: Entry) -> None:
        """Predict that an interrupted run is finished."""
        rewinds = entry.stage in (journal.PREPARED, journal.REWOUND)
        self.settled = entry.settled
        self.decide("rewind" if rewinds else "copy", f"an earlier run was interrupted ({entry.stage})")

    def result(self) -> Result:
        """The module's return values, at any time."""
        compared = self._last.comparison if self._last else None
        control = compared.control if compared else None
        primary, standby = self.primary, self.standby
        system = control.system_identifier if control else standby.system_identifier if standby else None
        timeline = compared.timeline if compared else standby.timeline if standby else None
        running = self._last.running and not self._worked if self._last else standby is not None
        streams = self._streams()
        return {
            "changed": self.changed,
            "region": self.params["region"],
            "method": self.method,
            "reason": self.reason,
            "running": running,
            "streaming": streams,
            "diverged": compared.diverged if compared else None,
            "fork": compared.fork if compared else None,
            "end": compared.end if compared else None,
            "timeline": timeline,
            "source_timeline": primary.timeline if primary else None,
            "source_lsn": primary.lsn if primary else None,
            "system_identifier": system,
            "slot": {"name": self.params["slot"], "created": self.slot_created},
            "slots_removed": self.slots_removed,
            "kept": self.places.kept(),
            "log": str(self.places.log) if self.places.log.exists() else None,
            "bytes_copied": self.bytes_copied,
            "lag_bytes": self.lag_bytes,
            "seconds": round(time.monotonic() - self._began, 3),
            "waits": self.waits,
            "evidence": {
                "cluster_state": control.state if control else None,
                "divergence": self.settled or None,
                "needs": self.needs,
                "disk": self.disk,
                "predicted": self.check_mode,
                "replayed": standby.replay_lsn if standby else None,
            },
            "diff": {
                "before": self._before_diff(),
                "after": self._after_diff(),
            },
        }

    def _streams(self) -> bool:
        if self.standby is None or self.primary is None or self.method is not None:
            return False
        return self.standby.streams_from(self.params["source"], self.params["slot"], self.primary)

    def _before_diff(self) -> dict[str, t.Any]:
        before = self._before
        if before is None:
            return {}
        state = before.comparison.control.state if before.comparison else "in archive recovery"
        return {"cluster_state": state, "source": before.standby.host if before.standby else None}

    def _after_diff(self) -> dict[str, t.Any]:
        if not self.changed or self.method is None:
            return self._before_diff()
        return {"cluster_state": f"standby, by {self.method}", "source": self.params["source"]["host"]}
