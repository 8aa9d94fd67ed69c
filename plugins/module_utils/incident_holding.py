# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a run still holds its incident, asked before each of its effects; and keeping it so.

PRIVATE to the collection.
"""

from __future__ import annotations

import enum
import typing as t

from .errors import Refused
from .lease import Lease, LeaseLost, LeaseView
from .process_identity import ProcessIdentity

#: How often a renewal is decided anew because somebody, mostly this run's keeper, wrote in between.
_TRIES = 5


class Standing(enum.Enum):
    """What a lease says of one run."""

    HELD = "held"
    GIVEN_BACK = "given back"
    LOST = "lost"


class Holding:
    """One run's hold on one incident: `token` is the epoch that it claimed."""

    def __init__(self, options: t.Mapping[str, t.Any], incident: str, token: int, me: ProcessIdentity) -> None:
        self.lease = Lease.from_options(options)
        self.ttl = float(options["ttl_seconds"])
        self.incident = incident
        self.token = token
        self.me = me

    def standing(self, view: LeaseView) -> Standing:
        """Return what `view` says of this run."""
        record = view.record
        if record is None or record.epoch != self.token or record.data.get("holder") != self.me.as_dict():
            return Standing.LOST
        return Standing.GIVEN_BACK if record.released else Standing.HELD

    def renew(self, below: float = 1.0) -> LeaseView:
        """Renew when less than `below` of the TTL is left; return the view that says where this run stands.

        Raises LeaseUnavailable. A view in which this run no longer holds the lease is returned unwritten.
        """
        view = self.lease.read()
        for _attempt in range(_TRIES):
            if self.standing(view) is not Standing.HELD or self._left(view) >= below * self.ttl:
                return view
            try:
                return self.lease.renew(view, ttl_seconds=self.ttl)
            except LeaseLost:
                view = self.lease.read()
        return view

    def release(self) -> None:
        """Give the lease back if this run still holds it. Raises LeaseUnavailable."""
        for _attempt in range(_TRIES):
            view = self.lease.read()
            if self.standing(view) is not Standing.HELD:
                return
            try:
                self.lease.release(view)
                return
            except LeaseLost:
                continue

    def require(self, step: str) -> None:
        """Raise Refused, naming who holds the incident, unless this run does; renew when half of the time is gone."""
        view = self.renew(below=0.5)
        standing = self.standing(view)
        if standing is Standing.HELD:
            return
        record = view.record
        what = f"Failed to begin {step} of incident {self.incident}: "
        if record is None:
            why = f"its lease {self.lease.key} is gone from the witness. Find out who removed it"
        elif record.epoch != self.token:
            holder = f"last held by {record.holder}" if record.released else f"held by {record.holder}"
            why = f"the fencing token {self.token} was superseded by {record.epoch}, {holder}. Let that run finish"
        elif standing is Standing.GIVEN_BACK:
            why = f"{self.me.name} has given its lease back (token {self.token}). Run the same command again"
        else:
            why = (
                f"{record.holder} holds its lease (token {self.token}), and this step does not belong to that run, or "
                "outlived it. Run the same command again"
            )
        raise Refused(f"{what}{why}; this step changed nothing.")

    def _left(self, view: LeaseView) -> float:
        """Seconds of the TTL that are certainly left, by the stores' clocks, which show whole seconds."""
        ends = view.ends(0.0)
        left = [
            (end - view.observed[name]).total_seconds() - 2.0 for name, end in ends.items() if name in view.observed
        ]
        return min(left, default=0.0)
