# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guard's share in the lease: renew it while it is ours, and know until when that holds.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import threading
import time
import typing as t
from dataclasses import dataclass, replace

from .clock import to_iso
from .errors import RecoveryError
from .fencing_receipts import from_guard
from .guard_config import GuardConfig, now
from .guard_fence import Fence
from .guard_state import log
from .lease import Lease, LeaseLost, LeaseView
from .lease_record import LeaseRecord, Samples, receipt_key
from .object_store import PreconditionFailed

#: Seconds between looks while the region that held the lease before may still write.
_WAITING = 0.25


@dataclass(frozen=True)
class Standing:
    """What is known of the lease. Times are guard_config.now() seconds."""

    #: the region of the newest record that was seen; None before any, and where there is no lease
    holder: str | None = None
    epoch: int = 0
    #: our lease lasts until then (counted from before the renewal was sent); None when it is not ours
    until: float | None = None
    #: when the last completed look began, and when the last try began
    seen: float = 0.0
    tried: float = 0.0
    #: when the last lease that was ours ends, or ended
    lasted: float | None = None
    #: the lease was claimed for a switchover: nothing may be lost, so the server is stopped in order
    planned: bool = False
    #: nobody who held the lease before us can still be writing: only then is a server that was closed opened
    free: bool = True
    #: why it is not ours, or could not be looked at
    reason: str = "the lease was not read yet"


class Keeper(threading.Thread):
    """Renews in a thread of its own, so that a store that hangs delays nobody's deadline."""

    def __init__(self, config: GuardConfig, fence: Fence, samples: t.Callable[[], Samples]) -> None:
        super().__init__(name="keeper", daemon=True)
        self.config = config
        self.fence = fence
        self.lease = Lease.from_options(config.lease_options())
        self.standing = Standing()
        self.highest_epoch = fence.state.memory().highest_epoch
        self._samples = samples
        self._view: LeaseView | None = None
        self._freed_epoch = 0
        self._wanted = threading.Event()

    def look_now(self) -> None:
        """Look at the lease at once instead of at the next renewal."""
        self._wanted.set()

    def run(self) -> None:
        """Look, again and again."""
        while True:
            self._wanted.clear()
            try:
                self.look()
                self._write_receipt()
            except Exception as error:  # this thread must live; what it could not do shows in its standing
                self.standing = replace(self.standing, reason=f"{type(error).__name__}: {error}")
            pause = self.config.renew_seconds
            self._wanted.wait(pause if self.standing.free else min(pause, _WAITING))

    def look(self) -> None:
        """Read or renew once and publish what is known."""
        began = now()
        self.standing = replace(self.standing, tried=began)
        try:
            try:
                view = self._renew(self._view) if self._view else self._read(began)
            except LeaseLost:
                self._view = None
                view = self._read(began)
        except RecoveryError as error:
            self.standing = replace(self.standing, reason=str(error))
            return
        self._publish(view, began)

    def _read(self, began: float) -> LeaseView:
        view = self.lease.read()
        if view.record is None and self._may_bootstrap():
            log(self.config.region, "no lease anywhere: creating it for this primary")
            return self.lease.claim(
                view, self.config.region, self.config.ttl, allowance=self.config.allowance, claimed_by="bootstrap"
            )
        return self._renew(view) if self._is_ours(view) else view

    def _renew(self, view: LeaseView) -> LeaseView:
        return self.lease.renew(view, ttl_seconds=self.config.ttl, samples=self._samples())

    def _is_ours(self, view: LeaseView) -> bool:
        return view.held_by(self.config.region) and view.record is not None and view.record.epoch >= self.highest_epoch

    def _may_bootstrap(self) -> bool:
        server = self.fence.postmaster
        return self.config.bootstrap and self.highest_epoch == 0 and server.is_primary and server.pid() is not None

    def _publish(self, view: LeaseView, began: float) -> None:
        record = view.record
        ours = self._is_ours(view)
        if ours:  # no service under an epoch that could be forgotten
            self._remember(record)
        free = record is None or not ours or self._follows_nobody(record)
        self._view = view if ours else None
        holder = record.holder if record else None
        epoch = record.epoch if record else 0
        until = began + self.config.ttl if ours else None
        self.standing = Standing(
            holder, epoch, until, began, began, until or self.standing.lasted,
            planned=not ours and record is not None and bool(record.data.get("planned")),
            free=free,
            reason=self._why(record) if not ours else "" if free else self._before(record),
        )  # fmt: skip
        if not ours:  # last: a full disk must not hide that the lease is another's
            self._remember(record)

    def _remember(self, record: LeaseRecord | None) -> None:
        if record is not None and record.epoch > self.highest_epoch:
            self.fence.state.remember(highest_epoch=record.epoch)
            self.highest_epoch = record.epoch

    def _follows_nobody(self, record: LeaseRecord) -> bool:
        """True when whoever held the lease before has certainly stopped: its time is over, or its guard says so.

        A claim alone opens nothing: whoever held the lease before may not know of it yet, and serve until its end.
        """
        previous = record.previous
        if self._freed_epoch != record.epoch and (
            previous is None
            or previous.holder == self.config.region
            or self.lease.has_ended(previous)
            or from_guard(self.lease, previous.holder, record.epoch) is not None
        ):
            self._freed_epoch = record.epoch
        return self._freed_epoch == record.epoch

    def _before(self, record: LeaseRecord | None) -> str:
        previous = record.previous if record else None
        return f"{previous.holder} held the lease before and may write until {previous.expires_at}" if previous else ""

    def _why(self, record: LeaseRecord | None) -> str:
        if record is None:
            remembered = f"; epoch {self.highest_epoch} is remembered" if self.highest_epoch else ""
            return f"there is no lease{remembered}"
        if record.epoch < self.highest_epoch:
            return f"the lease shows epoch {record.epoch}, but epoch {self.highest_epoch} was seen before"
        if record.released:
            return f"the lease was released by {record.holder} (epoch {record.epoch})"
        if record.holder == self.config.region:
            return f"the claim for this region (epoch {record.epoch}) reached too few stores"
        return f"{record.holder} holds the lease (epoch {record.epoch})"

    def _write_receipt(self) -> None:
        """Tell the claimant that this region is fenced, in every store, once a claim."""
        held = self.standing
        if held.until is not None or held.holder in (None, self.config.region) or held.epoch < self.highest_epoch:
            return
        server = self.fence.postmaster
        if self.fence.state.memory().receipt_epoch >= held.epoch or not server.is_primary or not self.fence.is_up:
            return
        certain = self.lease.time_at_most(time.monotonic())
        if certain is None:
            return
        body = {
            "subject": self.config.region,
            "epoch": held.epoch,
            "method": "guard_fenced",
            "fenced_at": to_iso(certain),
            "server": server.last_checkpoint(),
            "last_sample": list(self._samples()[-1:]),
        }
        if self._put_everywhere(receipt_key(self.lease.key, self.config.region, held.epoch), body):
            self.fence.state.remember(receipt_epoch=held.epoch)
            log(self.config.region, f"receipt written: fenced against epoch {held.epoch} of {held.holder}")

    def _put_everywhere(self, key: str, body: dict[str, t.Any]) -> bool:
        done = True
        for store in self.lease.stores:
            try:
                store.put(key, json.dumps(body, sort_keys=True).encode(), absent=True)
            except PreconditionFailed:
                continue  # written before
            except RecoveryError:
                done = False
        return done
