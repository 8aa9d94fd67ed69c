# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Promoting a standby: only for the lease's holder, only with proof that the old primary has stopped.

PRIVATE to the collection.
"""

from __future__ import annotations

import math
import re
import time
import typing as t

from .clock import Deadline, Wait, to_iso, utc_now
from .connections import lease_option, postgres_option, record_option
from .errors import RecoveryError, Refused, TimedOut, Unreachable
from .execution import Params, Result, Specification
from .fencing_receipts import SUFFICIENT, Receipt, from_guard, from_lease
from .lease import Lease
from .lease_record import LeaseRecord, LeaseView
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
        "wait_timeout": {"type": "int", "default": 60},
        "record": record_option(),
    },
)

_STATE = """
SELECT pg_is_in_recovery(), (SELECT system_identifier::text FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text,
       CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END
"""
_FIRST_WRITE = """
INSERT INTO dr.heartbeat AS old (region, epoch, sequence, written_at, lsn)
VALUES (%s, %s, 1, %s, pg_current_wal_insert_lsn())
ON CONFLICT (region) DO UPDATE
SET epoch = excluded.epoch, sequence = old.sequence + 1, written_at = excluded.written_at, lsn = excluded.lsn
RETURNING lsn::text
"""
_ACCEPTED = r"promote (?P<region>\S+) without a fence receipt, losing up to (?P<seconds>\d+) s"


def run(params: Params, check_mode: bool) -> Result:
    """Serve the module pg_promote."""
    with Postgres(params["postgres"], params["region"]) as server:
        return Promotion(params, server, check_mode).run()


class Promotion:
    """One call of pg_promote."""

    def __init__(self, params: Params, server: Postgres, check_mode: bool) -> None:
        self.region: str = params["region"]
        self.subject: str = params["subject"]
        self.given: list[Receipt] = params["receipts"] or []
        self.acceptance: str = (params.get("acceptance") or "").strip()
        self.loss_bound: float | None = params.get("loss_bound_seconds")
        self.wait_timeout: int = params["wait_timeout"]
        self.allowance = float(params["lease"]["clock_allowance_seconds"])
        self.server = server
        self.check_mode = check_mode
        self.lease = Lease.from_options(params["lease"])
        self.what = f"promote {server.name}"

    def run(self) -> Result:
        """Return the module's result."""
        if self.region == self.subject:
            raise Refused(f"Failed to {self.what}: target and failed region are both {self.region}. Name two regions.")
        view = self.lease.read()
        state = self._state()
        if not state["in_recovery"]:
            return self._already(view, state)
        if not view.held_by(self.region):
            if self.check_mode and self._would_be_claimed(view):
                return self._result(state, True, predicted=True, needs=f"the lease of {self.subject}, by pg_fence")
            raise Refused(self._without_lease(view), **self._result(state, False))
        record = view.record
        assert record is not None
        used = self._sufficient(view, record)
        accepted = not used
        if accepted:
            self._need_acceptance(record, state)
        if self.check_mode:
            return self._result(state, True, receipts=used, accepted=accepted, predicted=True)
        return self._promote(record, state, used, accepted)

    def _already(self, view: LeaseView, state: dict[str, t.Any]) -> Result:
        if view.held_by(self.region):
            return self._result(state, False)
        holder = view.record.holder if view.record and not view.record.released else "nobody"
        raise Refused(
            f"Failed to {self.what}: it is not a standby, it is a primary already, but {holder} holds the lease. "
            f"There is nothing to promote; see the lease guard of {self.region}, which should have fenced it.",
            **self._result(state, False),
        )

    def _would_be_claimed(self, view: LeaseView) -> bool:
        standing = view.standing
        return standing is None or standing.released or standing.holder in (self.subject, self.region)

    def _without_lease(self, view: LeaseView) -> str:
        record = view.record
        holder = f"{record.holder} holds it (epoch {record.epoch})" if record and not record.released else "nobody does"
        return (
            f"Failed to {self.what}: {self.region} does not hold lease {self.lease.key}, {holder}. "
            f"Fence {self.subject} first (pg_fence with subject {self.subject} and claimant {self.region})."
        )

    def _sufficient(self, view: LeaseView, record: LeaseRecord) -> list[Receipt]:
        """Return the given receipts that the witness itself bears out for the present claim."""
        wanted = [
            one
            for one in self.given
            if one.get("subject") == self.subject
            and one.get("epoch") == record.epoch
            and one.get("method") in SUFFICIENT
        ]
        if not wanted:
            return []
        seen = [from_lease(self.lease, view, record, self.subject), from_guard(self.lease, self.subject, record.epoch)]
        confirmed = {one["method"] for one in seen if one is not None}
        return [one for one in wanted if one["method"] in confirmed or self._ended(record, one)]

    def _ended(self, record: LeaseRecord, one: Receipt) -> bool:
        """True for the end that pg_fence waited for: it watched the stores' clocks for longer than one look can."""
        previous = record.previous
        if one["method"] != "lease_expired" or previous is None or previous.holder != self.subject:
            return False
        return one.get("certain_at") == previous.expires_at and self.lease.may_have_ended(previous)

    def _need_acceptance(self, record: LeaseRecord, state: dict[str, t.Any]) -> None:
        """Without a receipt only the typed acceptance of at least the stated loss goes on."""
        bound = self.loss_bound
        least = "<N>" if bound is None else str(math.ceil(bound))
        typed = re.fullmatch(_ACCEPTED, self.acceptance)
        if typed and typed["region"] == self.region and (bound is None or int(typed["seconds"]) >= math.ceil(bound)):
            return
        why = self._why_insufficient(record)
        stated = "is unknown" if bound is None else f"is {bound:g} s"
        given = f" Not accepted: {self.acceptance!r}." if self.acceptance else ""
        raise Refused(
            f"Failed to {self.what}: no receipt proves that {self.subject} accepts no writes ({why}). Fence it with "
            f"pg_fence, or accept the loss, whose bound {stated}, with an acceptance of exactly: promote {self.region} "
            f"without a fence receipt, losing up to {least} s (or more seconds).{given}",
            **self._result(state, False),
        )

    def _why_insufficient(self, record: LeaseRecord) -> str:
        if not self.given:
            return "none was given"
        reasons = []
        for one in self.given:
            name = f"{one.get('method')} of {one.get('subject')}, epoch {one.get('epoch')}"
            if one.get("method") not in SUFFICIENT:
                reasons.append(f"{name}: supports a fence, does not prove it")
            elif one.get("subject") != self.subject:
                reasons.append(f"{name}: is about another region")
            elif one.get("epoch") != record.epoch:
                reasons.append(f"{name}: the lease's epoch is {record.epoch}")
            else:
                reasons.append(f"{name}: the witness does not confirm it")
        return "; ".join(reasons)

    def _state(self) -> dict[str, t.Any]:
        in_recovery, system, lsn, timeline = self.server.row(_STATE)
        return {"in_recovery": in_recovery, "system_identifier": system, "lsn": lsn, "timeline": timeline}

    def _promote(self, record: LeaseRecord, before: dict[str, t.Any], used: list[Receipt], accepted: bool) -> Result:
        deadline = Deadline(self.wait_timeout)
        with Wait("promotion") as wait:
            try:
                done = self.server.row("SELECT pg_promote(true, %s)", (self.wait_timeout,), self.wait_timeout + 1.0)
            except SqlFailed as error:
                raise RecoveryError(f"{error} The role needs EXECUTE on pg_promote: apply schema.sql.") from error
            if not done[0]:
                raise TimedOut(
                    f"Failed to {self.what}: it was ordered and did not end within {self.wait_timeout} s. Look at the "
                    "server's log, then run the same command again.",
                    **self._result(before, True, receipts=used, accepted=accepted),
                )
            self._first_write(record.epoch, deadline)
        promoted_at = to_iso(utc_now())
        return self._result(
            self._state(), True, receipts=used, accepted=accepted, wait=wait, promoted_at=promoted_at, before=before
        )

    def _first_write(self, epoch: int, deadline: Deadline) -> None:
        """Commit a heartbeat: only a write proves that writes are accepted."""
        while True:
            try:
                at = self.lease.time_at_least(time.monotonic())
                self.server.rows("SET synchronous_commit = local")
                self.server.rows(_FIRST_WRITE, (self.region, epoch, to_iso(at or utc_now())))
                return
            except (Unreachable, WriteRefused) as error:
                if deadline.expired:
                    raise TimedOut(
                        f"Failed to {self.what}: it was promoted but accepted no write within {self.wait_timeout} s "
                        f"({error}). See the lease guard of {self.region}."
                    ) from error
                deadline.rest(0.05)

    def _result(
        self,
        state: dict[str, t.Any],
        changed: bool,
        *,
        receipts: list[Receipt] | None = None,
        accepted: bool = False,
        wait: Wait | None = None,
        promoted_at: str | None = None,
        predicted: bool = False,
        needs: str | None = None,
        before: dict[str, t.Any] | None = None,
    ) -> Result:
        was = (before or state)["in_recovery"]
        after = False if changed else state["in_recovery"]
        evidence: dict[str, t.Any] = {"lease": self.lease.key, "system_identifier": state["system_identifier"]}
        evidence["replayed_before"] = (before or state)["lsn"]
        if accepted:
            evidence["acceptance"] = self.acceptance
            evidence["loss_bound_seconds"] = self.loss_bound
        if predicted:
            evidence["predicted"] = True
            evidence["needs"] = needs
        return {
            "changed": changed,
            "region": self.region,
            "timeline": state["timeline"],
            "system_identifier": state["system_identifier"],
            "lsn": state["lsn"],
            "promoted_at": promoted_at,
            "seconds": round(wait.seconds, 3) if wait else None,
            "accepted_without_receipt": accepted,
            "receipts": receipts or [],
            "waits": [wait.as_dict()] if wait else [],
            "evidence": evidence,
            "diff": {"before": {"in_recovery": was}, "after": {"in_recovery": after}},
        }
