# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run at a time acts on an incident: its lease, whose epoch is the token of the incident's ledger.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from . import needs
from .clock import Deadline
from .connections import lease_option
from .errors import Refused
from .execution import Params, Result, Specification
from .lease import Lease, LeaseLost, LeaseRecord, LeaseView
from .process_identity import ProcessIdentity

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["held", "released", "observed"], "default": "held"},
        "incident": {"type": "str", "required": True},
        "lease": lease_option(),
        "token": {"type": "int", "no_log": False},
        "takeover": {"type": "str"},
        "holder": {
            "type": "dict",
            "options": {
                "user": {"type": "str", "required": True},
                "host": {"type": "str", "required": True},
                "pid": {"type": "int", "required": True},
                "boot_id": {"type": "str", "default": ""},
                "pid_namespace": {"type": "str", "default": ""},
                "started": {"type": "int", "default": 0},
                "command": {"type": "str", "default": ""},
            },
        },
    },
    needs=needs.lease(),
)

#: How often a write is decided anew because somebody, this run's keeper too, wrote in between.
_TRIES = 5


def run(params: Params, check_mode: bool) -> Result:
    """Hold, release or observe the lease. Raises Refused, LeaseUnavailable."""
    me = ProcessIdentity.from_dict(params.get("holder"))
    if me is None:
        raise Refused("Failed to name the holder of the incident's lease: it is missing. Set holder.")
    return IncidentLease(params, me, check_mode).run(params["state"])


class IncidentLease:
    """One look at the lease, and what follows from it."""

    def __init__(self, params: Params, me: ProcessIdentity, check_mode: bool) -> None:
        options = params["lease"]
        self.incident: str = params["incident"]
        self.token: int | None = params.get("token")
        self.takeover: str = (params.get("takeover") or "").strip()
        self.ttl = float(options["ttl_seconds"])
        self.allowance = float(options["clock_allowance_seconds"])
        self.me = me
        self.check_mode = check_mode
        self.lease = Lease.from_options(options)
        self.view = self.lease.read()

    def run(self, state: str) -> Result:
        """Return the module's result."""
        if state == "observed":
            return self._result(self.view, changed=False)
        return self._hold() if state == "held" else self._release()

    def _hold(self) -> Result:
        """Renew or claim; where somebody writes between our read and our write, look and decide again."""
        for _attempt in range(_TRIES):
            try:
                if self.token is not None and not self.check_mode:  # in check mode nobody took it
                    self._refuse_superseded(self.token)
                return self._renew() if self._mine(self.view) else self._claim(self._replaced())
            except LeaseLost:
                self.view = self.lease.read()
        return self._refuse_writers()

    def _refuse_superseded(self, token: int) -> None:
        """A run that lost the lease gets no other: what it has found out is older than what the next holder did."""
        record = self.view.record
        if self._mine(self.view) and record is not None and record.epoch == token:
            return
        what = f"Failed to hold the lease of incident {self.incident}: "
        if record is None:
            why = "it is gone from the witness. Find out who removed it."
        elif record.epoch == token:
            why = f"this run has given it back (token {token}). Run the same command again."
        else:
            held = "last held by" if record.released else "held by"
            why = (
                f"the fencing token {token} was superseded by {record.epoch}, {held} {record.holder}. Let that run "
                "finish; then run the same command again if something is left to do."
            )
        raise Refused(what + why, **self._result(self.view, changed=False))

    def _replaced(self) -> str | None:
        """Return the name of the holder that a claim would replace, None where nobody holds. Raises Refused."""
        old = self.view.record
        if old is None or old.released:
            return None
        previous = ProcessIdentity.from_dict(old.data.get("holder"))
        if previous is None or old.data.get("incident") != self.incident:
            self._refuse_unless_taken_over(old)
        elif previous.has_ended:
            self._await_workers(previous, old)
        elif previous != self.me:  # ourselves: a claim of ours that reached too few stores
            self._refuse_unless_taken_over(old)
        return old.holder

    def _await_workers(self, previous: ProcessIdentity, old: LeaseRecord) -> None:
        """The run is dead: give what it forked the time to end its step. Raises Refused when that takes long."""
        deadline = Deadline(0.0 if self.check_mode else self.ttl)
        while workers := previous.workers(self.me):
            if deadline.expired:
                ids = ", ".join(str(pid) for pid in workers)
                raise Refused(
                    f"Failed to take the lease of incident {self.incident}: {old.holder} (token {old.epoch}) ended, "
                    f"and its worker (process {ids}) did not finish its step within {deadline.seconds:g} s. Let it "
                    "finish or end it, and run the same command again.",
                    **self._result(self.view, changed=False),
                )
            deadline.rest(0.1)

    def _refuse_unless_taken_over(self, old: LeaseRecord) -> None:
        left = self._seconds_left(self.view) or 0.0
        text = f"take over {self.incident} from {old.holder}"
        what = f"Failed to take the lease of incident {self.incident}: "
        if left > 0:
            raise Refused(
                f"{what}{old.holder} holds it (token {old.epoch}), for another {left:.0f} s unless it renews. Let "
                "that run finish, or end it and wait; a lease that lives is never taken over.",
                **self._result(self.view, changed=False),
            )
        if self.takeover != text:
            given = f" Not accepted: {self.takeover!r}." if self.takeover else ""
            raise Refused(
                f"{what}{old.holder} held it (token {old.epoch}) and has not renewed it in time. Make sure that "
                f"this run has ended, then run again with takeover set to exactly: {text}.{given}",
                **self._result(self.view, changed=False),
            )

    def _renew(self) -> Result:
        if self.check_mode:
            return self._result(self.view, changed=False)
        view = self.lease.renew(self.view, ttl_seconds=self.ttl)
        return self._result(view, changed=False)

    def _claim(self, taken_over_from: str | None) -> Result:
        before = self._shown(self.view)
        if self.check_mode:
            epoch = (self.view.record.epoch if self.view.record else 0) + 1
            after = {"holder": self.me.name, "token": epoch, "released": False}
            return self._outcome(self.me.name, epoch, (before, after), changed=True, taken_over_from=taken_over_from)
        view = self.lease.claim(
            self.view,
            self.me.name,
            self.ttl,
            allowance=self.allowance,
            claimed_by=self.me.name,
            data={"incident": self.incident, "holder": self.me.as_dict()},
        )
        return self._result(view, changed=True, before=before, taken_over_from=taken_over_from)

    def _release(self) -> Result:
        for _attempt in range(_TRIES):
            old = self.view.record
            if old is None or old.released:
                return self._result(self.view, changed=False)
            if not self._mine(self.view):
                raise Refused(
                    f"Failed to release the lease of incident {self.incident}: {old.holder} holds it, not "
                    f"{self.me.name}. Leave it to that run.",
                    **self._result(self.view, changed=False),
                )
            before = self._shown(self.view)
            if self.check_mode:
                return self._outcome(None, old.epoch, (before, {**before, "released": True}), changed=True)
            try:
                return self._result(self.lease.release(self.view), changed=True, before=before)
            except LeaseLost:
                self.view = self.lease.read()
        return self._refuse_writers()

    def _mine(self, view: LeaseView) -> bool:
        record = view.record
        if record is None or not view.held_by(self.me.name):
            return False
        return record.data.get("incident") == self.incident and record.data.get("holder") == self.me.as_dict()

    def _refuse_writers(self) -> t.NoReturn:
        holder = self.view.record.holder if self.view.record else "nobody"
        raise Refused(
            f"Failed to write the lease of incident {self.incident}: another writer was first {_TRIES} times; now "
            f"{holder} holds it. Run again.",
            **self._result(self.view, changed=False),
        )

    def _seconds_left(self, view: LeaseView) -> float | None:
        """Seconds, by the stores' clocks, that whoever wrote last may still count on; None when nobody holds it."""
        expires = view.expires_at(self.allowance)
        if expires is None or view.observed_at is None:
            return None
        return max(0.0, (expires - view.observed_at).total_seconds())

    def _result(
        self,
        view: LeaseView,
        changed: bool,
        before: dict[str, t.Any] | None = None,
        taken_over_from: str | None = None,
    ) -> Result:
        record, shown = view.record, self._shown(view)
        holder = None if record is None or record.released else record.holder
        token = record.epoch if record else None
        return self._outcome(
            holder,
            token,
            (before or shown, shown),
            changed=changed,
            taken_over_from=taken_over_from,
            left=self._seconds_left(view),
        )

    def _outcome(
        self,
        holder: str | None,
        token: int | None,
        diff: tuple[dict[str, t.Any], dict[str, t.Any]],
        *,
        changed: bool,
        taken_over_from: str | None = None,
        left: float | None = None,
    ) -> Result:
        if holder is not None and left is None:  # just written: the view of a write carries no times
            left = self.ttl + self.allowance
        return {
            "changed": changed,
            "incident": self.incident,
            "token": token,
            "holder": holder,
            "held": holder == self.me.name,
            "expires_in_seconds": None if left is None else round(left, 3),
            "taken_over_from": taken_over_from,
            "diff": {"before": diff[0], "after": diff[1]},
        }

    def _shown(self, view: LeaseView) -> dict[str, t.Any]:
        record = view.record
        if record is None:
            return {"holder": None, "token": None, "released": True}
        return {"holder": record.holder, "token": record.epoch, "released": record.released}
