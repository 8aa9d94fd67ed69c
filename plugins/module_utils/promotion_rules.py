# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a promotion must rest on: a receipt that the witness bears out, or a typed acceptance that names the loss.

PRIVATE to the collection.
"""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass

from .fencing_receipts import SUFFICIENT, Receipt, from_guard, from_lease
from .lease import Lease
from .lease_record import LeaseRecord, LeaseView

_ACCEPTED = r"promote (?P<region>\S+) without a fence receipt, losing (up to (?P<seconds>\d+) s|an unknown amount)"


@dataclass(frozen=True)
class Proof:
    """Judges receipts that `subject` has stopped against the claim that `view` shows."""

    lease: Lease
    view: LeaseView
    record: LeaseRecord
    subject: str
    check_mode: bool

    def sufficient(self, given: t.Sequence[Receipt]) -> list[Receipt]:
        """Return the given receipts that the witness itself bears out for the present claim."""
        wanted = [one for one in given if not self._mismatch(one)]
        if not wanted:
            return []
        seen = [from_lease(self.lease, self.view, self.record, self.subject)]
        seen.append(from_guard(self.lease, self.subject, self.record.epoch))
        confirmed = {one["method"] for one in seen if one is not None}
        return [one for one in wanted if one["method"] in confirmed or self._ended(one)]

    def why_insufficient(self, given: t.Sequence[Receipt]) -> str:
        """Say of each receipt why it does not do."""
        reasons = [
            f"{one.get('method')} of {one.get('subject')}, epoch {one.get('epoch')}: "
            f"{self._mismatch(one) or 'the witness does not confirm it'}"
            for one in given
        ]
        return "; ".join(reasons) or "none was given"

    def _mismatch(self, one: Receipt) -> str:
        if one.get("method") not in SUFFICIENT:
            return "supports a fence, does not prove it"
        if one.get("subject") != self.subject:
            return "is about another region"
        if one.get("epoch") != self.record.epoch:
            return f"the lease's epoch is {self.record.epoch}"
        return ""

    def _ended(self, one: Receipt) -> bool:
        """True for the end that pg_fence waited for: it watched the stores' clocks for longer than one look can.

        In check mode nobody has waited: the end that the lease names is what a run would wait for.
        """
        previous = self.record.previous
        if one["method"] != "lease_expired" or previous is None or previous.holder != self.subject:
            return False
        named = one.get("certain_at") == previous.expires_at
        return named and (self.check_mode or self.lease.may_have_ended(previous))


def accepts(text: str, region: str, bound: float | None) -> bool:
    """True for the exact text, naming this region and at least the bound (seconds).

    Where no bound is known, nobody can accept a number of seconds: the text has to say so.
    """
    typed = re.fullmatch(_ACCEPTED, text)
    if typed is None or typed["region"] != region:
        return False
    if bound is None or typed["seconds"] is None:
        return bound is None and typed["seconds"] is None
    return int(typed["seconds"]) >= math.ceil(bound)


def acceptance_wanted(region: str, bound: float | None) -> str:
    """Say what would have to be typed."""
    loss = "an unknown amount" if bound is None else f"up to {math.ceil(bound)} s (or more seconds)"
    stated = "is unknown" if bound is None else f"is {bound:g} s"
    return (
        f"accept the loss, whose bound {stated}, with an acceptance of exactly: promote {region} without a fence "
        f"receipt, losing {loss}"
    )
