# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Promoting a standby: only for the lease's holder, only with proof that the old primary has stopped.

PRIVATE to the collection.
"""

from __future__ import annotations

import math
import typing as t

from . import needs
from .clock import Deadline, Wait, to_iso, utc_now
from .connections import lease_option, postgres_option, record_option
from .errors import RecoveryError, Refused, TimedOut, Unreachable
from .execution import Params, Result, Specification
from .fencing_receipts import Receipt
from .lease import Lease
from .lease_record import LeaseView
from .postgres_state import ServerState, lsn_number
from .promotion_order import order_promotion
from .promotion_rules import Proof, acceptance_wanted, accepts
from .sql import Postgres, SqlFailed, WriteRefused

SPECIFICATION = Specification(
    argument_spec={
        "postgres": postgres_option(),
        "region": {"type": "str", "required": True},
        "subject": {"type": "str", "required": True},
        "lease": lease_option(),
        "receipts": {"type": "list", "elements": "dict", "default": []},
        "acceptance": {"type": "str"},
        "loss_bound_seconds": {"type": "float"},
        "planned": {"type": "bool", "default": False},
        "shutdown_lsn": {"type": "str"},
        "wait_timeout": {"type": "int", "default": 60},
        "record": record_option(),
    },
    needs=needs.all_of(needs.postgres(), needs.lease(), needs.recorded()),
)

#: insufficient_privilege; object_not_in_prerequisite_state, which says that it is no standby any more
_FORBIDDEN, _NO_STANDBY = "42501", "55000"


def run(params: Params, check_mode: bool) -> Result:
    """Serve the module pg_promote. Whatever goes wrong, what is known of the server goes with the error."""
    with Postgres(params["postgres"], params["region"]) as server:
        promotion = Promotion(params, server, check_mode)
        try:
            promotion.run()
        except RecoveryError as error:
            error.facts = {**promotion.result(), **error.facts}
            raise
        return promotion.result()


class Promotion:
    """One call of pg_promote."""

    def __init__(self, params: Params, server: Postgres, check_mode: bool) -> None:
        self.region: str = params["region"]
        self.subject: str = params["subject"]
        self.given: list[Receipt] = params["receipts"] or []
        self.acceptance: str = (params.get("acceptance") or "").strip()
        self.loss_bound: float | None = params.get("loss_bound_seconds")
        self.planned = bool(params.get("planned"))
        self.shutdown_lsn: str | None = params.get("shutdown_lsn")
        self.wait_timeout = int(params["wait_timeout"])
        self.server = server
        self.check_mode = check_mode
        self.lease = Lease.from_options(params["lease"])
        self.what = f"promote {server.name}"
        self.view: LeaseView | None = None
        self.before: ServerState | None = None
        self.now: ServerState | None = None
        self.changed = False
        #: whether it is a primary, or in check mode would be; None where that is not known
        self.promoted: bool | None = None
        self.receipts: list[Receipt] = []
        self.accepted = False
        self.needs: str | None = None
        self.waits: list[dict[str, t.Any]] = []
        self.promoted_at: str | None = None

    def run(self) -> None:
        """Promote where that is due. Raises Refused where it may not be, TimedOut where it did not end."""
        if self.region == self.subject:
            raise Refused(f"Failed to {self.what}: target and failed region are both {self.region}. Name two regions.")
        if self.wait_timeout < 1:
            raise Refused(f"Failed to {self.what}: wait_timeout is {self.wait_timeout} s. Give it a second at least.")
        self.view = self.lease.read()
        self.before = self.now = ServerState.of(self.server)
        self.promoted = not self.before.in_recovery
        if not self.before.in_recovery:
            self._already(self.view)
            return
        if not self.view.held_by(self.region):
            self._need_claim(self.view)
        else:
            self._need_proof(self.view)
        if self.check_mode:
            self.changed = self.promoted = True
            return
        if self.planned:
            self._await_everything()
        self._promote()

    def _already(self, view: LeaseView) -> None:
        """A primary under the lease is what was asked for; whoever was killed on the way here proves its write now."""
        if not view.held_by(self.region):
            holder = view.record.holder if view.record and not view.record.released else "nobody"
            raise Refused(
                f"Failed to {self.what}: it is not a standby, it is a primary already, but {holder} holds the lease. "
                f"There is nothing to promote; see the lease guard of {self.region}, which should have fenced it."
            )
        if not self.check_mode:
            self._first_write(Deadline(self.wait_timeout))

    def _need_claim(self, view: LeaseView) -> None:
        """In check mode nobody has claimed the lease yet: that is no error where pg_fence could."""
        standing = view.standing
        claimable = standing is None or standing.released or standing.holder in (self.subject, self.region)
        if self.check_mode and claimable:
            self.needs = f"the lease of {self.subject}, by pg_fence"
            return
        record = view.record
        holder = f"{record.holder} holds it (epoch {record.epoch})" if record and not record.released else "nobody does"
        raise Refused(
            f"Failed to {self.what}: {self.region} does not hold lease {self.lease.key}, {holder}. "
            f"Fence {self.subject} first (pg_fence with subject {self.subject} and claimant {self.region})."
        )

    def _need_proof(self, view: LeaseView) -> None:
        if view.record is None:
            raise RuntimeError("a held lease has a record")
        proof = Proof(self.lease, view, view.record, self.subject, self.check_mode)
        self.receipts = proof.sufficient(self.given)
        if self.receipts:
            return
        if not accepts(self.acceptance, self.region, self.loss_bound):
            given = f" Not accepted: {self.acceptance!r}." if self.acceptance else ""
            raise Refused(
                f"Failed to {self.what}: no receipt proves that {self.subject} accepts no writes "
                f"({proof.why_insufficient(self.given)}). Fence it with pg_fence, or "
                f"{acceptance_wanted(self.region, self.loss_bound)}.{given}"
            )
        self.accepted = True

    def _await_everything(self) -> None:
        """A switchover loses nothing: the standby must have replayed the old primary's shutdown checkpoint.

        It is the last record that the old primary wrote, so whoever is past its beginning has all of it.
        """
        back = f"It was not promoted. Give the lease back to {self.subject} (playbooks/region_failover_rollback.yml)"
        if not self.shutdown_lsn:
            raise Refused(
                f"Failed to {self.what}: no receipt says that {self.subject} was stopped in order, so nobody knows "
                f"whether {self.region} has all of its writes. {back}, or, where {self.subject} is down, "
                f"fail over: playbooks/region_failover.yml -e dr_failed_region={self.subject}."
            )
        wanted, deadline, wait = lsn_number(self.shutdown_lsn), Deadline(self.wait_timeout), Wait("replay")
        with wait:
            while lsn_number((self.now or ServerState.of(self.server)).replay_lsn or "0/0") <= wanted:
                if deadline.expired:
                    replayed = self.now.replay_lsn if self.now else None
                    raise TimedOut(
                        f"Failed to {self.what}: it has replayed {replayed}, and {self.subject} wrote up to "
                        f"{self.shutdown_lsn}; the rest did not come within {self.wait_timeout} s. {back}, or let the "
                        "standby catch up and run the same command again."
                    )
                deadline.rest(0.05)
                self.now = ServerState.of(self.server)
        self.waits.append(wait.as_dict())

    def _promote(self) -> None:
        deadline, wait = Deadline(self.wait_timeout), Wait("promotion")
        try:
            with wait:
                self._order(deadline)
                self._first_write(deadline)
        finally:
            self.waits += [wait.as_dict()] if self.changed else []
        self.promoted_at = to_iso(utc_now()) if self.changed else None

    def _order(self, deadline: Deadline) -> None:
        """Order the promotion and see it done. An order whose answer was lost is given again: it does no harm."""
        trouble = "it is still in recovery"
        while True:
            try:
                seconds = max(1, math.ceil(deadline.remaining))
                done = order_promotion(self.server, self.lease, self.region, seconds)
                self.changed = self.changed or done is not None
                if done:
                    self.promoted = True
                    return
            except SqlFailed as error:
                if error.sqlstate == _NO_STANDBY:  # an earlier order of ours, or somebody else's
                    self.promoted = True
                    return
                remedy = (
                    " The role needs EXECUTE on pg_promote: apply schema.sql." if error.sqlstate == _FORBIDDEN else ""
                )
                raise RecoveryError(f"Failed to {self.what}: {error}{remedy}") from error
            except (Unreachable, WriteRefused) as error:
                self.changed, self.promoted, trouble = True, None, str(error)  # it may have arrived
            if deadline.expired:
                raise TimedOut(
                    f"Failed to {self.what}: it was ordered and did not end within {self.wait_timeout} s ({trouble}). "
                    "Look at the server's log, then run the same command again."
                )
            deadline.rest(0.05)

    def _first_write(self, deadline: Deadline) -> None:
        """Commit a row: only a write proves that writes are accepted."""
        while True:
            try:
                self.server.probe_write(self.region)
                self.now = ServerState.of(self.server)
                return
            except SqlFailed as error:
                raise RecoveryError(
                    f"Failed to prove a write to {self.server.name}, which is a primary: {error} Then run the same "
                    "command again."
                ) from error
            except (Unreachable, WriteRefused) as error:
                if deadline.expired:
                    raise TimedOut(
                        f"Failed to prove a write to {self.server.name}: it is a primary but committed none within "
                        f"{self.wait_timeout} s ({error}). See the lease guard of {self.region}."
                    ) from error
                deadline.rest(0.05)

    def result(self) -> Result:
        """The module's return values, at any time."""
        was, now = self.before, self.now
        record = self.view.record if self.view else None
        evidence: dict[str, t.Any] = {
            "lease": {
                "key": self.lease.key,
                "holder": record.holder if record else None,
                "epoch": record.epoch if record else None,
            },
            "server": self.server.name,
            "system_identifier": was.system_identifier if was else None,
            "replayed_before": was.replay_lsn if was and was.in_recovery else None,
        }
        if self.planned:
            evidence.update(planned=True, shutdown_lsn=self.shutdown_lsn)
            if self.changed and not self.check_mode:
                basis = f"{self.region} had replayed {self.subject}'s shutdown checkpoint at {self.shutdown_lsn}"
                evidence.update(loss_bound={"seconds": 0.0, "proven": True, "predicted": False, "basis": basis})
        if self.accepted:
            evidence.update(acceptance=self.acceptance, loss_bound_seconds=self.loss_bound)
        if self.check_mode:
            evidence.update(predicted=True, needs=self.needs)
        return {
            "changed": self.changed,
            "promoted": self.promoted,
            "region": self.region,
            "timeline": now.timeline if now else None,
            "system_identifier": now.system_identifier if now else None,
            "lsn": now.position if now else None,
            "promoted_at": self.promoted_at,
            "seconds": self.waits[-1]["seconds"] if self.promoted_at and self.waits else None,
            "accepted_without_receipt": self.accepted,
            "receipts": self.receipts,
            "waits": self.waits,
            "evidence": evidence,
            "diff": {
                "before": {"in_recovery": was.in_recovery if was else None},
                "after": {"in_recovery": None if self.promoted is None else not self.promoted},
            },
        }
