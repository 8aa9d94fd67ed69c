# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The seal of a recovery point: its signed manifest, written last. What has none is no point, only leftovers.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import typing as t
from dataclasses import dataclass

from . import signatures
from .checksums_compare import Difference
from .checksums_manifest import BadManifest, Manifest, compare
from .checksums_model import FileSum
from .clock import from_iso
from .errors import RecoveryError, Refused, failed
from .object_store import ObjectMissing, PreconditionFailed
from .recovery_points_names import MANIFEST, SIGNATURE, PointName
from .recovery_points_store import PointStore

SIGNATURE_INVALID, MANIFEST_UNPARSABLE, FOREIGN_MANIFEST = (
    "signature_invalid",
    "manifest_unparsable",
    "foreign_manifest",
)

#: Says whether a signature is one of a key that is trusted, and of which; raises BadSignature.
Trust = t.Callable[[bytes, bytes], str]


class BadSeal(RecoveryError):
    """There is a seal, and it cannot be believed; `kind` says in what way."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Seal:
    """A seal that was verified: signed by a known key, parsed, and of this very point."""

    name: PointName
    manifest: Manifest
    body: bytes
    signature: bytes
    #: fingerprint of the key that signed it
    key: str

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest's bytes."""
        return hashlib.sha256(self.body).hexdigest()

    @property
    def created(self) -> dt.datetime:
        """When it was sealed, by the clock of the machine that did."""
        return from_iso(self.manifest.created)

    @property
    def kept_here(self) -> list[FileSum]:
        """The files whose content is beside the manifest; those with a version are in their own bucket."""
        return [one for one in self.manifest.files if one.version_id is None]

    def differences(self, files: list[FileSum]) -> list[Difference]:
        """Return how a tree differs from what is sealed."""
        return compare(self.manifest, files)


def trusting(public_keys: list[str] | None, signing_key: str | None = None) -> Trust:
    """Return the trust in these public keys; without any, in the signing key alone."""

    def verify(body: bytes, signature: bytes) -> str:
        if public_keys or not signing_key:
            return signatures.verify(body, signature, public_keys or [])
        if signatures.sign(body, signing_key) != signature:
            cause = f"it is not by {signing_key}"
            raise signatures.BadSignature(failed("verify", "signature", cause, "Set public_keys to all that may sign."))
        return signatures.signer(signing_key)

    return verify


def read_seal(store: PointStore, name: PointName, trust: Trust) -> Seal:
    """Return a copy's seal: signature first, then what it says. Raises ObjectMissing without one, and BadSeal."""
    body = store.get(name.key(MANIFEST)).body
    try:
        signature = store.get(name.key(SIGNATURE)).body
    except ObjectMissing:
        signature = b""
    return opened(name, body, signature, trust, str(store))


def opened(name: PointName, body: bytes, signature: bytes, trust: Trust, where: str) -> Seal:
    """Return the seal that these bytes are. Raises BadSeal."""
    what = f"the seal of {name} in {where}"
    try:
        key = trust(body, signature)
    except signatures.BadSignature as error:
        why = "it has no signature" if not signature else str(error)
        raise BadSeal(SIGNATURE_INVALID, failed("trust", what, why, "Do not restore from this copy.")) from error
    try:
        manifest = Manifest.parse(body, what)
        wrong = [f"{key} is {manifest.subject.get(key)!r}" for key in name.subject if not _matches(manifest, name, key)]
    except BadManifest as error:
        raise BadSeal(MANIFEST_UNPARSABLE, str(error)) from error
    if wrong:
        cause = f"it is of another point: {', '.join(wrong)}"
        raise BadSeal(FOREIGN_MANIFEST, failed("trust", what, cause, "Somebody copied it here; remove the copy."))
    return Seal(name, manifest, body, signature, key)


def _matches(manifest: Manifest, name: PointName, key: str) -> bool:
    return bool(manifest.subject.get(key) == name.subject[key])


def make_seal(name: PointName, manifest: Manifest, signing_key: str) -> Seal:
    """Sign a manifest."""
    body = manifest.to_bytes()
    return Seal(name, manifest, body, signatures.sign(body, signing_key), signatures.signer(signing_key))


def write_seal(store: PointStore, seal: Seal, signing_key: str) -> bool:
    """Seal a copy whose files are all there; return False where it was sealed already, with the same content.

    Two runs may seal one content at once: one manifest wins, and the signature becomes that one's. Raises Refused
    where the store holds a point of other content under this name.
    """
    name, mine = seal.name, True
    with contextlib.suppress(ObjectMissing):
        require_same(seal, store.get(name.key(MANIFEST)).body, store)
        mine = False
    if mine:
        store.write(name.key(SIGNATURE), seal.signature)
        try:
            store.create(name.key(MANIFEST), seal.body)
        except PreconditionFailed:
            mine = False
    there = store.get(name.key(MANIFEST)).body
    require_same(seal, there, store)
    signature = seal.signature if there == seal.body else signatures.sign(there, signing_key)
    with contextlib.suppress(ObjectMissing):
        if store.get(name.key(SIGNATURE)).body == signature:
            return mine and there == seal.body
    store.write(name.key(SIGNATURE), signature)
    return True


def require_same(seal: Seal, body: bytes, store: PointStore) -> None:
    """Raise Refused when a manifest that stands in a store is not of the content that was sealed."""
    if body == seal.body:
        return
    there = Manifest.parse(body, f"the seal of {seal.name} in {store}")
    differs = seal.differences(there.files)
    if differs or there.subject != seal.manifest.subject:
        cause = f"it is there with other content ({differs[0] if differs else 'another subject'})"
        remedy = "A sealed point never changes: leave id out, or give another."
        raise Refused(failed("take", f"recovery point {seal.name} in {store}", cause, remedy))
