# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Receipts: what proves that a region's PostgreSQL cannot accept writes any more.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import typing as t

from .clock import from_iso, to_iso
from .lease import Lease
from .lease_record import LeaseRecord, LeaseView, receipt_key
from .object_store import ObjectMissing, ObjectStore

Receipt = dict[str, t.Any]

#: Methods that prove by themselves that no write can be accepted. A refused write alone says nothing of the next one.
SUFFICIENT = ("lease_expired", "guard_fenced", "lease_released")


def receipt(subject: str, method: str, epoch: int, certain_at: str | None, **evidence: t.Any) -> Receipt:
    """Build one receipt; docs/development.md describes it."""
    return {
        "subject": subject,
        "method": method,
        "epoch": epoch,
        "certain_at": certain_at,
        "evidence": evidence,
    }


def from_guard(lease: Lease, subject: str, epoch: int) -> Receipt | None:
    """Return the receipt that the subject's guard wrote against the claim with `epoch`, from any store that has it."""
    key = receipt_key(lease.key, subject, epoch)

    def look(store: ObjectStore) -> Receipt | None:
        try:
            body = json.loads(store.get(key).body)
            if (body["subject"], body["epoch"], body["method"]) != (subject, epoch, "guard_fenced"):
                return None
            certain_at = to_iso(from_iso(body["fenced_at"]))
            return receipt(subject, "guard_fenced", epoch, certain_at, server=body.get("server", {}), key=key)
        except (ObjectMissing, ValueError, KeyError, TypeError):  # none, or something that is no receipt
            return None

    found = [answer for answer in lease.each(look).values() if isinstance(answer, dict)]
    return found[0] if found else None


def from_lease(lease: Lease, view: LeaseView, record: LeaseRecord, subject: str) -> Receipt | None:
    """Return the receipt that the lease itself gives: its former holder's time has passed, or it was released."""
    previous = record.previous
    if previous is None or previous.holder != subject:
        return None
    if previous.expires_at is None:
        return receipt(subject, "lease_released", record.epoch, record.data.get("claimed_at"), released=True)
    if lease.remaining(previous, view) > 0:
        return None
    return receipt(
        subject, "lease_expired", record.epoch, previous.expires_at, last_renewal=previous.renewed_at,
        former_epoch=previous.epoch,
    )  # fmt: skip


def orderly(receipts: t.Iterable[t.Mapping[str, t.Any]]) -> str | None:
    """Return where the shutdown checkpoint of a server begins that its guard stopped in order: nothing comes after it.

    None where no guard says so, or the server had to be ended otherwise.
    """
    for one in receipts:
        server = (one.get("evidence") or {}).get("server") or {}
        if one.get("method") == "guard_fenced" and server.get("cluster state") == "shut down":
            return str(server["checkpoint"]) if server.get("checkpoint") else None
    return None


def proven(receipts: t.Iterable[t.Mapping[str, t.Any]]) -> bool:
    """True when one of the receipts proves the fence by itself."""
    return any(one.get("method") in SUFFICIENT for one in receipts)
