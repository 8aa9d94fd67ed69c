# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Proofs of recovery points: signed documents beside the copies, never written over.

`proofs/<UTC time>-<run>.json` says what was found, of which point, and of which manifest; `.json.sig` is its signature.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import typing as t
from dataclasses import dataclass, field

from . import signatures
from .clock import from_iso, to_iso, utc_now
from .errors import RecoveryError, Refused, failed
from .ledger_event import canonical
from .object_store import ObjectMissing, PreconditionFailed
from .recovery_points_names import MANIFEST, PROOFS, PointName
from .recovery_points_seal import Trust, read_seal
from .recovery_points_store import PointStore

OUTCOMES = ("passed", "failed", "unverified")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE = re.compile(r"(\d{8}T\d{6}Z)-([A-Za-z0-9][A-Za-z0-9._-]{0,63})\.json")
_MEMBERS = {"version", "subject", "manifest_sha256", "run", "time", "outcome", "proof"}


@dataclass(frozen=True)
class Proof:
    """A proof as a store has it. Without a good signature it proves nothing: `why` says what is wrong."""

    name: str
    time: dt.datetime
    run: str
    outcome: str = "unverified"
    signature_ok: bool = False
    manifest_sha256: str | None = None
    why: str = ""
    document: dict[str, t.Any] = field(default_factory=dict)

    @property
    def conclusive(self) -> bool:
        """Whether it says something: signed, and passed or failed."""
        return self.signature_ok and self.outcome in ("passed", "failed")

    def as_dict(self) -> dict[str, t.Any]:
        """Return what is reported of it."""
        return {
            "time": to_iso(self.time),
            "run": self.run,
            "outcome": self.outcome,
            "signature_ok": self.signature_ok,
            "why": self.why,
        }


def file_of(rest: str) -> tuple[dt.datetime, str] | None:
    """Return (time, run) of an object below a point, None where it is no proof; `rest` is its key without the point."""
    match = _FILE.fullmatch(rest.removeprefix(PROOFS)) if rest.startswith(PROOFS) else None
    if not match:
        return None
    try:
        return dt.datetime.strptime(match[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC), match[2]
    except ValueError:
        return None


def read_proof(store: PointStore, name: PointName, rest: str, trust: Trust) -> Proof:
    """Return a proof, judged. Raises ObjectMissing and Unreachable."""
    time, run = file_of(rest) or (utc_now(), "")
    body = store.get(name.key(rest)).body
    try:
        signature = store.get(name.key(f"{rest}.sig")).body
    except ObjectMissing:
        return Proof(rest, time, run, why="it has no signature")
    try:
        trust(body, signature)
    except signatures.BadSignature as error:
        return Proof(rest, time, run, why=str(error))
    try:
        document = json.loads(body)
        if set(document) != _MEMBERS or document["version"] != 1 or document["outcome"] not in OUTCOMES:
            raise ValueError("it is no proof of version 1")
        if document["subject"] != name.subject:
            raise ValueError("it is a proof of another point")
        said, manifest = from_iso(document["time"]), document["manifest_sha256"]
    except (ValueError, TypeError, KeyError) as error:
        return Proof(rest, time, run, why=str(error))
    return Proof(rest, said, run, document["outcome"], True, manifest, "", document)


def record(
    stores: list[PointStore],
    name: PointName,
    run: str,
    proof: dict[str, t.Any],
    signing_key: str,
    trust: Trust,
    check_mode: bool,
) -> dict[str, t.Any]:
    """Add a run's proof of a point to every store that has the point and can be reached.

    A run proves a point once: a second call with the same document completes what the first could not write. Raises
    Refused for another document of the same run, RecoveryError when no store took it.
    """
    if not _RUN.fullmatch(run):
        raise Refused(f"Refused run {run!r}: give letters, digits, dots, dashes and underscores, at most 64.")
    if proof.get("outcome") not in OUTCOMES:
        raise Refused(f"Refused the proof of {name}: its outcome is none of {', '.join(OUTCOMES)}. Set proof.outcome.")
    problems: list[str] = []
    holders = _holders(stores, name, trust, problems)
    digests = {digest for _store, digest in holders}
    if len(digests) > 1:
        cause = "its copies have different manifests"
        raise Refused(failed("record a proof of", str(name), cause, "Look at them with recovery_point_info."))
    file, body = _document(holders, name, run, proof, next(iter(digests), None))
    signature = signatures.sign(body, signing_key)
    written_to: list[str] = []
    kept: list[str] = []
    for store, _digest in holders:
        try:
            created = not check_mode and _write(store, name, file, body, signature)
            planned = check_mode and not _has(store, name, file)
            (written_to if created or planned else kept).append(store.name)
        except RecoveryError as error:
            problems.append(f"{store.name}: {error}")
    facts = {
        "changed": bool(written_to),
        **name.subject,
        "proof": file.removeprefix(PROOFS),
        "proof_outcome": proof["outcome"],
        "manifest_sha256": next(iter(digests), None),
        "signed_by": signatures.signer(signing_key),
        "stores": sorted(written_to + kept),
        "outcome": "passed" if not problems else "unverified",
        "problems": problems,
        "diff": {"before": {"proof_in": kept}, "after": {"proof_in": sorted(written_to + kept)}},
    }
    keys = ("id", "proof", "proof_outcome", "manifest_sha256", "signed_by", "stores")
    facts["evidence"] = {key: facts[key] for key in keys}
    if not facts["stores"]:
        told = " ".join(problems) or "no store has the point"
        raise RecoveryError(failed("record a proof of", str(name), told, "Run again."), **facts)
    return facts


def _holders(
    stores: list[PointStore], name: PointName, trust: Trust, problems: list[str]
) -> list[tuple[PointStore, str | None]]:
    """Return the stores that have the point, each with its manifest's digest."""
    found: list[tuple[PointStore, str | None]] = []
    for store in stores:
        try:
            if name.is_sealed_here:
                found.append((store, read_seal(store, name, trust).digest))
            else:
                next(iter(store.directories(name.prefix)), None)
                found.append((store, None))
        except ObjectMissing:
            problems.append(f"{store.name} has no sealed copy of {name} ({MANIFEST} is missing).")
        except RecoveryError as error:
            problems.append(f"{store.name}: {error}")
    return found


def _document(
    holders: list[tuple[PointStore, str | None]],
    name: PointName,
    run: str,
    proof: dict[str, t.Any],
    digest: str | None,
) -> tuple[str, bytes]:
    """Return the proof's file and bytes: those of an earlier call of this run, where a store has them."""
    now = utc_now()
    content = {
        "version": 1,
        "subject": name.subject,
        "manifest_sha256": digest,
        "run": run,
        "time": to_iso(now),
        "outcome": proof["outcome"],
        "proof": proof,
    }
    for store, _digest in holders:
        for item in store.listing(name.key(PROOFS)):
            file = item.key.removeprefix(name.prefix)
            told = file_of(file)
            if told is None or told[1] != run:
                continue
            body = store.get(item.key).body
            there = json.loads(body)
            if canonical({**there, "time": content["time"]}) != canonical(content):
                cause = f"{store.name} has another proof by run {run}"
                remedy = "A proof is never written over: prove it again in a new run."
                raise Refused(failed("record a proof of", str(name), cause, remedy))
            return file, body
    return f"{PROOFS}{now.strftime('%Y%m%dT%H%M%SZ')}-{run}.json", canonical(content)


def _has(store: PointStore, name: PointName, file: str) -> bool:
    try:
        store.size_and_metadata(name.key(file))
    except ObjectMissing:
        return False
    return True


def _write(store: PointStore, name: PointName, file: str, body: bytes, signature: bytes) -> bool:
    """Write signature, then proof; return False where it is there already."""
    if _has(store, name, file):
        return False
    store.write(name.key(f"{file}.sig"), signature)
    try:
        store.create(name.key(file), body)
    except PreconditionFailed:
        return store.get(name.key(file)).body == body
    return True
