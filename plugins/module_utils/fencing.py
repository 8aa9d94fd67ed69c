# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fencing a region from outside: claim its lease, wait until it has certainly stopped, gather the receipts.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t

from . import needs
from .clock import Deadline, Wait, to_iso
from .connections import lease_option, postgres_option, record_option
from .errors import RecoveryError, Refused, Unreachable
from .execution import Params, Result, Specification
from .fencing_receipts import Receipt, from_guard, from_lease, orderly, proven, receipt
from .lease import Lease, LeaseLost, LeaseUnavailable
from .lease_record import LeaseRecord, LeaseView
from .sql import LoginFailed, Postgres, SqlFailed, WriteRefused

#: Nobody has to answer for an unplanned fence: a refused write only supports what the lease proves.
_OPTIONAL = (lambda options: not options.get("planned"), "no answer is taken, too: the lease proves the fence")

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["claimed", "fenced", "observed"], "default": "fenced"},
        "lease": lease_option(),
        "subject": {"type": "str"},
        "claimant": {"type": "str"},
        "claimed_by": {"type": "str", "default": ""},
        "assessed_epoch": {"type": "int"},
        "planned": {"type": "bool", "default": False},
        "postgres": postgres_option(required=False),
        "wait_timeout": {"type": "float"},
        "record": record_option(),
    },
    required_if=[
        ("state", "claimed", ["subject", "claimant"]),
        ("state", "fenced", ["subject", "claimant"]),
    ],
    needs=needs.all_of(needs.lease(), needs.tolerating(needs.postgres(), *_OPTIONAL), needs.recorded()),
)

_INTERVAL = 0.2
_CLAIM_SECONDS = 10.0
_CHECKPOINT_SECONDS = 300.0


def run(params: Params, check_mode: bool) -> Result:
    """Serve the module pg_fence."""
    return Fencing(params, check_mode).run()


class Fencing:
    """One call of pg_fence."""

    def __init__(self, params: Params, check_mode: bool) -> None:
        options = params["lease"]
        self.state: str = params["state"]
        self.subject: str = params.get("subject") or ""
        self.claimant: str = params.get("claimant") or ""
        self.claimed_by: str = params.get("claimed_by") or ""
        self.assessed_epoch: int | None = params.get("assessed_epoch")
        self.planned = bool(params.get("planned"))
        self.postgres: dict[str, t.Any] | None = params.get("postgres")
        self.ttl = float(options["ttl_seconds"])
        self.allowance = float(options["clock_allowance_seconds"])
        timeout = params.get("wait_timeout")
        self.wait_timeout = self.ttl + self.allowance + 10.0 if timeout is None else float(timeout)
        self.check_mode = check_mode
        self.lease = Lease.from_options(options)
        self.waits: list[dict[str, t.Any]] = []
        self.evidence: dict[str, t.Any] = {"lease": self.lease.key}

    def run(self) -> Result:
        """Return the module's result."""
        if self.state != "observed" and self.subject == self.claimant:
            raise Refused(
                f"Failed to fence {self.subject}: it is the claimant, too. Name the failed region as subject and the "
                "region that takes over as claimant."
            )
        view = self.lease.read()
        before = view
        changed = False
        if self.state != "observed" and not view.held_by(self.claimant):
            self._refuse_third(view)
            self._refuse_unassessed(view)
            if self.check_mode:
                return self._predicted(view)
            if self.planned:
                self._checkpoint()
            view, changed = self._claim(view), True
        if self.state == "fenced" and not self.check_mode:
            receipts = self._fence(view)
        else:
            receipts = self._receipts(view) or self._awaited(view)
        return self._result(view, receipts, changed, before)

    def _awaited(self, view: LeaseView) -> list[Receipt]:
        """In check mode, under a claim that stands: the receipt that the wait would end with."""
        record = view.record
        if self.state != "fenced" or record is None or record.previous is None or self._missing(record):
            return []
        self.evidence["predicted"] = True
        ends = record.previous.expires_at
        return [receipt(self.subject, "lease_expired", record.epoch, ends, predicted=True)]

    def _refuse_third(self, view: LeaseView) -> None:
        standing = view.standing
        if standing is None or standing.released or standing.holder in (self.subject, self.claimant):
            return
        raise Refused(
            f"Failed to fence {self.subject}: lease {self.lease.key} is held by {standing.holder} (epoch "
            f"{standing.epoch}), which is neither {self.subject} nor {self.claimant}. Name {standing.holder} as the "
            "subject if that is the region to stop.",
            **self._facts(view, [], False),
        )

    def _refuse_unassessed(self, view: LeaseView) -> None:
        """Whoever decided saw the lease as it was; another region may have taken over since."""
        record, assessed = view.record, self.assessed_epoch
        if record is None or assessed is None or record.epoch == assessed or record.holder == self.claimant:
            return
        raise Refused(
            f"Failed to fence {self.subject}: lease {self.lease.key} has been taken by {record.holder} (epoch "
            f"{record.epoch}) since it was assessed (epoch {assessed}). Run the same command again: it assesses anew.",
            **self._facts(view, [], False),
        )

    def _claim(self, view: LeaseView) -> LeaseView:
        """Take the lease. The holder may renew between our read and our write: read and try again."""
        deadline = Deadline(_CLAIM_SECONDS)
        while True:
            claimed_at = self.lease.time_at_most(time.monotonic())
            try:
                self.lease.claim(
                    view,
                    self.claimant,
                    self.ttl,
                    allowance=self.allowance,
                    claimed_by=self.claimed_by,
                    data={"claimed_at": to_iso(claimed_at) if claimed_at else None, "planned": self.planned},
                )
            except (LeaseLost, LeaseUnavailable):  # lost a race, or the answer was lost: what stands there decides
                if deadline.expired:
                    raise
            view = self.lease.read()
            if view.held_by(self.claimant):
                return view
            self._refuse_third(view)
            self._refuse_unassessed(view)
            deadline.rest(0.05)

    def _fence(self, view: LeaseView) -> list[Receipt]:
        """Wait until a receipt proves the fence, or none can come, or the time is over."""
        record = self._record(view)
        deadline = Deadline(self.wait_timeout)
        with Wait("lease_expiry") as wait:
            while not self._enough(receipts := self._receipts(view)) and not self._missing(record):
                if deadline.expired:
                    break
                deadline.rest(min(_INTERVAL, max(0.02, self._remaining(view) or 0.0)))
        self.waits.append(wait.as_dict())
        self._still_ours(record, deadline)
        return receipts + self._probed(record.epoch)

    def _enough(self, receipts: list[Receipt]) -> bool:
        """A planned fence waits for the guard's own word, which alone says how far the server had written."""
        return orderly(receipts) is not None if self.planned else proven(receipts)

    def _still_ours(self, record: LeaseRecord, deadline: Deadline) -> None:
        """A receipt is worth something only while the claim stands."""
        while True:
            try:
                now = self.lease.read()
                break
            except Unreachable:
                if deadline.expired:
                    raise
                deadline.rest(_INTERVAL)
        if now.record is None or now.record.epoch != record.epoch or now.record.holder != self.claimant:
            raise Refused(
                f"Failed to fence {self.subject}: the lease that {self.claimant} had claimed (epoch {record.epoch}) "
                "was taken over meanwhile. Find out by whom (state: observed) before anything else.",
                **self._facts(now, [], True),
            )

    def _checkpoint(self) -> None:
        """Let the subject write its dirty pages before, so that its shutdown, during which nobody serves, is short."""
        if self.postgres is None:
            return
        with Wait("checkpoint") as wait, Postgres(self.postgres, self.subject) as server:
            try:
                server.rows("CHECKPOINT", timeout=_CHECKPOINT_SECONDS)
            except RecoveryError as error:  # the switchover is safe without it
                self.evidence["checkpoint"] = str(error)
        self.waits.append(wait.as_dict())

    def _probed(self, epoch: int) -> list[Receipt]:
        """Ask the subject's server for a write: a refusal supports the fence, success refutes it."""
        if self.postgres is None:
            return []
        with Postgres(self.postgres, self.subject) as server:
            try:
                server.probe_write(self.subject)
            except WriteRefused as error:
                self.evidence["probe"] = str(error)
                certain_at = self.lease.time_at_most(time.monotonic())
                at = to_iso(certain_at) if certain_at else None
                return [receipt(self.subject, "write_refused", epoch, at, error=str(error))]
            except (Unreachable, LoginFailed, SqlFailed) as error:
                self.evidence["probe"] = f"not decided: {error}"
                return []
        raise RecoveryError(
            f"Failed to fence {self.subject}: {server.name} still accepts writes. Its guard does not work; stop the "
            "server by hand before anything is promoted.",
            **self._facts(self.lease.read(), [], True),
        )

    def _receipts(self, view: LeaseView) -> list[Receipt]:
        record = view.record
        subject = self._subject(record)
        if record is None or not subject or not view.held_by(record.holder) or record.holder == subject:
            return []
        found = [from_guard(self.lease, subject, record.epoch), from_lease(self.lease, view, record, subject)]
        return [one for one in found if one is not None]

    def _subject(self, record: LeaseRecord | None) -> str:
        if self.subject or record is None or record.previous is None:
            return self.subject
        return record.previous.holder

    def _missing(self, record: LeaseRecord | None) -> list[str]:
        """Why no receipt can come from the lease, ever."""
        if record is None:
            return [f"there is no lease {self.lease.key}: no guard has ever held it"]
        subject = self._subject(record)
        if record.holder == subject:
            return [f"{subject} holds the lease (epoch {record.epoch})"]
        if record.previous is None:
            return [f"the lease had no holder before {record.holder}: {subject or 'nobody'} is not known to be guarded"]
        if record.previous.holder != subject:
            return [
                f"{record.previous.holder} held the lease before {record.holder}: {subject} is not known to be guarded"
            ]
        return []

    def _remaining(self, view: LeaseView) -> float | None:
        record = view.record
        if record is None or record.previous is None or record.previous.holder != self._subject(record):
            return None
        return round(self.lease.remaining(record.previous, view), 3)

    def _record(self, view: LeaseView) -> LeaseRecord:
        if view.record is None:
            raise RuntimeError("a claim leaves a record")
        return view.record

    def _predicted(self, view: LeaseView) -> Result:
        """What a claim over this view would come to."""
        previous = view.predecessor(self.claimant, self.allowance)
        epoch = (view.record.epoch if view.record else 0) + 1
        guarded = previous is not None and previous.holder == self.subject
        receipts: list[Receipt] = []
        if previous is not None and guarded and self.state == "fenced":
            method = "lease_released" if previous.expires_at is None else "lease_expired"
            receipts = [receipt(self.subject, method, epoch, previous.expires_at, predicted=True)]
        missing = (
            [] if guarded else self._missing(LeaseRecord(self.lease.key, self.claimant, epoch, 0, previous=previous))
        )
        return {
            "changed": True,
            "fenced": bool(receipts),
            "epoch": epoch,
            "holder": self.claimant,
            "claimed_by": self.claimed_by,
            "claimed_at": None,
            "previous": {"holder": previous.holder, "epoch": previous.epoch} if previous else None,
            "receipts": receipts,
            "shutdown_lsn": None,
            "missing": missing,
            "remaining_seconds": round(self.lease.remaining(previous, view), 3) if previous and guarded else None,
            "expires_at": previous.expires_at if previous else None,
            "waits": [],
            "evidence": {**self.evidence, "predicted": True},
            "diff": {"before": _shown(view), "after": {"holder": self.claimant, "epoch": epoch}},
        }

    def _result(self, view: LeaseView, receipts: list[Receipt], changed: bool, before: LeaseView) -> Result:
        facts = self._facts(view, receipts, changed)
        return {**facts, "diff": {"before": _shown(before), "after": _shown(view)}}

    def _facts(self, view: LeaseView, receipts: list[Receipt], changed: bool) -> Result:
        record = view.record
        fenced = proven(receipts)
        missing = [] if fenced else self._missing(record)
        if not fenced and not missing and record is not None and record.previous is not None:
            left = self._remaining(view)
            missing = [f"{record.previous.holder} may write for another {left:g} s" if left else "no receipt yet"]
        ends = record.previous.expires_at if record and record.previous else None
        if record is not None and record.holder in (self.subject, ""):  # not claimed: when it would end
            latest = view.expires_at(self.allowance)
            ends = to_iso(latest) if latest else None
        return {
            "changed": changed,
            "fenced": fenced,
            "epoch": record.epoch if record else None,
            "holder": None if record is None or record.released else record.holder,
            "claimed_by": record.claimed_by if record else None,
            "claimed_at": record.data.get("claimed_at") if record else None,
            "previous": {"holder": record.previous.holder, "epoch": record.previous.epoch}
            if record and record.previous
            else None,
            "receipts": receipts,
            "shutdown_lsn": orderly(receipts),
            "missing": missing,
            "remaining_seconds": self._remaining(view),
            "expires_at": ends,
            "waits": self.waits,
            "evidence": {**self.evidence, "errors": view.errors},
        }


def _shown(view: LeaseView) -> dict[str, t.Any]:
    record = view.record
    if record is None or record.released:
        return {"holder": None, "epoch": record.epoch if record else None}
    return {"holder": record.holder, "epoch": record.epoch}
