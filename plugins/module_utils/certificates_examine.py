# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a certificate says, and what is wrong with it, its key and its chain. The key never leaves this file's values.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import typing as t
from dataclasses import dataclass, field

from .clock import to_iso
from .errors import RecoveryError, failed, require

try:
    import cryptography as _cryptography
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
    from cryptography.x509 import verification

    cryptography: t.Any = _cryptography
except ImportError:  # Pair.of() names the missing library
    cryptography = None

_WEAK_HASHES = ("md5", "sha1")
_LEAST_RSA, _LEAST_EC = 2048, 256
_DAY = 86400.0


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain and its private key, in memory."""

    chain: list[x509.Certificate]
    key: t.Any = field(repr=False)

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate itself."""
        return self.chain[0]

    @classmethod
    def of(cls, certificates: bytes, key: bytes | None, what: str) -> Pair:
        """Parse PEM. Raises RecoveryError, which holds nothing of the key."""
        require(cryptography, "cryptography")
        cause = ""
        try:
            chain = x509.load_pem_x509_certificates(certificates)
        except ValueError:
            raise RecoveryError(failed("read", f"certificate {what}", "it holds no PEM certificate")) from None
        loaded = None
        if key is not None:
            try:
                loaded = serialization.load_pem_private_key(key, password=None)
            except TypeError:
                cause = "it is encrypted with a passphrase, so that nobody can tell whether it fits"
            except Exception:  # cryptography raises ValueError, UnsupportedAlgorithm and its own InternalError
                cause = "it is no PEM private key"
        if cause:  # not inside the except clause: a traceback of the library's error would follow
            raise RecoveryError(failed("read", f"private key {what}", cause, "Give the key that the server uses."))
        return cls(chain, loaded)

    def version(self) -> str:
        """Return what tells two pairs apart: digests of what is public, the certificates and the public keys."""
        parts = [one.fingerprint(hashes.SHA256()) for one in self.chain]
        parts.append(b"" if self.key is None else _public_bytes(self.key.public_key()))
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def facts(self) -> dict[str, t.Any]:
        """Return what may be told in clear."""
        leaf = self.leaf
        return {
            "subject": leaf.subject.rfc4514_string(),
            "sans": sans_of(leaf),
            "issuer": leaf.issuer.rfc4514_string(),
            "serial": f"{leaf.serial_number:x}",
            "not_before": to_iso(leaf.not_valid_before_utc),
            "not_after": to_iso(leaf.not_valid_after_utc),
            "fingerprint_sha256": leaf.fingerprint(hashes.SHA256()).hex(),
            "key_kind": _kind(leaf.public_key()),
            "intermediates": [one.subject.rfc4514_string() for one in self.chain[1:]],
        }

    def key_problems(self) -> list[str]:
        """Say whether the key is another certificate's."""
        if self.key is None or _public_bytes(self.key.public_key()) == _public_bytes(self.leaf.public_key()):
            return []
        return ["key mismatch: the private key is not the certificate's"]


@dataclass(frozen=True)
class Wanted:
    """What certificates are held against. `roots` is None where the chain is not asked about."""

    now: dt.datetime
    minimum_days: float
    roots: list[x509.Certificate] | None


def problems_of(pair: Pair, wanted: Wanted, hosts: t.Sequence[str] = ()) -> list[str]:
    """Name everything that is wrong with a certificate."""
    told = time_problems(pair.leaf.not_valid_before_utc, pair.leaf.not_valid_after_utc, wanted)
    for one in pair.chain[1:]:
        late = time_problems(one.not_valid_before_utc, one.not_valid_after_utc, wanted)
        told += [f"intermediate {one.subject.rfc4514_string()}: {reason}" for reason in late]
    told += pair.key_problems() + _weaknesses(pair)
    told += [f"name: it does not cover {host}" for host in hosts if not _covers(pair.leaf, host)]
    return told + (_chain_problems(pair, wanted.roots, _moment(pair, wanted.now)) if wanted.roots is not None else [])


def time_problems(begins: dt.datetime, ends: dt.datetime, wanted: Wanted) -> list[str]:
    """Say whether a time of validity has begun, and does not end too soon."""
    if begins > wanted.now:
        return [f"not yet valid: it begins on {to_iso(begins)}"]
    left = days_left(ends, wanted.now)
    if left < 0:
        return [f"expired: it ended on {to_iso(ends)}"]
    if left < wanted.minimum_days:
        return [f"expiring: {left:.1f} days are left, not {wanted.minimum_days:g}"]
    return []


def days_left(ends: dt.datetime, now: dt.datetime) -> float:
    """Return the days until a moment, negative after it."""
    return round((ends - now).total_seconds() / _DAY, 2)


def roots_of(path: str) -> list[x509.Certificate]:
    """Read a CA file. Raises RecoveryError."""
    require(cryptography, "cryptography")
    try:
        with open(path, "rb") as file:
            return x509.load_pem_x509_certificates(file.read())
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "it holds no PEM certificate"
        raise RecoveryError(failed("read", f"CA file {path}", cause, "Set ca_file, or verify_chain: false.")) from error


def sans_of(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names and addresses of a certificate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(one) for one in names.get_values_for_type(x509.IPAddress)]
    return sorted(names.get_values_for_type(x509.DNSName)) + sorted(addresses)


def _weaknesses(pair: Pair) -> list[str]:
    told = []
    for one in pair.chain:
        name = "" if one is pair.leaf else f" of intermediate {one.subject.rfc4514_string()}"
        key, digest = one.public_key(), one.signature_hash_algorithm
        weak = isinstance(key, dsa.DSAPublicKey)
        weak |= isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA
        weak |= isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < _LEAST_EC
        if weak:
            told.append(f"weak key{name}: {_kind(key)}")
        if digest is not None and digest.name in _WEAK_HASHES:
            told.append(f"weak signature{name}: {digest.name}")
    return told


def _chain_problems(pair: Pair, roots: list[x509.Certificate], moment: dt.datetime) -> list[str]:
    if missing := _missing_issuer(pair, roots):
        return [missing]
    names = sans_of(pair.leaf)
    if not names:
        return ["name: it has no subjectAltName, so that no client accepts it"]
    builder = verification.PolicyBuilder().store(verification.Store(roots)).time(moment.replace(tzinfo=None))
    try:
        builder.build_server_verifier(_general_name(names[0])).verify(pair.leaf, pair.chain[1:])
    except (verification.VerificationError, ValueError) as error:
        return [f"chain: it does not verify against the CA file: {error}"]
    return []


def _missing_issuer(pair: Pair, roots: list[x509.Certificate]) -> str:
    """Name the certificate that the chain breaks off at, if it does."""
    trusted = {root.subject for root in roots}
    given = {one.subject: one for one in pair.chain[1:]}
    current, seen = pair.leaf, set()
    while current.issuer not in trusted and current.subject not in seen:
        seen.add(current.subject)
        if current.issuer not in given:
            issuer = current.issuer.rfc4514_string()
            return f"missing intermediate: {issuer} is neither beside the certificate nor in the CA file"
        current = given[current.issuer]
    return ""


def _moment(pair: Pair, now: dt.datetime) -> dt.datetime:
    """Return when to verify the chain: now, or while the certificate was valid, so that its time is told only once."""
    begins, ends = pair.leaf.not_valid_before_utc, pair.leaf.not_valid_after_utc
    return now if begins <= now <= ends else begins + (ends - begins) / 2


def _covers(certificate: x509.Certificate, host: str) -> bool:
    for name in sans_of(certificate):
        first, _dot, rest = host.partition(".")
        if name.lower() == host.lower() or (name.startswith("*.") and first and name[2:].lower() == rest.lower()):
            return True
    return False


def _general_name(name: str) -> t.Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.replace("*", "any", 1))


def _public_bytes(key: t.Any) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _kind(key: t.Any) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")
