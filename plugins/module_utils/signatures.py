# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Detached ed25519 signatures, as `openssl pkeyutl -sign -rawin` makes them and `-verify -rawin` checks them.

A key pair is made with

    openssl genpkey -algorithm ed25519 -out signing.pem
    openssl pkey -in signing.pem -pubout -out signing.pub.pem

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import typing as t
from pathlib import Path

from .errors import RecoveryError, failed, require

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization as _serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    serialization: t.Any = _serialization
except ImportError:  # _loaded() names the missing library
    serialization = None
    InvalidSignature = type("InvalidSignature", (Exception,), {})  # type: ignore[assignment,misc]
    UnsupportedAlgorithm = type("UnsupportedAlgorithm", (Exception,), {})  # type: ignore[assignment,misc]

#: bytes of a signature
SIZE = 64
_MAKE = "Make one with: openssl genpkey -algorithm ed25519"


class BadSignature(RecoveryError):
    """The data is not what a holder of one of the keys signed."""


def sign(data: bytes, key_file: str) -> bytes:
    """Return the signature of `data`, 64 bytes, by the unencrypted PEM private key in `key_file`."""
    what = f"signing key {key_file}"
    key = _loaded(what, _read(key_file, what), _private, "Give the private key in PEM, not encrypted. " + _MAKE)
    return t.cast("bytes", key.sign(data))


def verify(data: bytes, signature: bytes, public_keys: list[str]) -> str:
    """Return the fingerprint of the key that signed `data`.

    `public_keys` are PEM texts, or names of files that hold one. Raises BadSignature where none of them did, and
    RecoveryError where one of them is no key.
    """
    if not public_keys:
        raise BadSignature(failed("verify", "signature", "no public key is given", "Set public_keys."))
    keys = [_public_key(one) for one in public_keys]
    for key in keys:
        try:
            key.verify(signature, data)
        except InvalidSignature:
            continue
        return _fingerprint(key)
    known = ", ".join(_fingerprint(key) for key in keys)
    cause = f"none of the public keys made it for this content ({known})"
    if len(signature) != SIZE:
        cause = f"it has {len(signature)} bytes, an ed25519 signature has {SIZE}"
    raise BadSignature(failed("verify", "signature", cause, "Do not use what it signs, unless a key is left out here."))


def fingerprint(public_key: str) -> str:
    """Return `sha256:<hex>` of a public key's DER: openssl pkey -pubin -in KEY -outform DER | sha256sum."""
    return _fingerprint(_public_key(public_key))


def signer(key_file: str) -> str:
    """Return the fingerprint of the public half of a signing key."""
    what = f"signing key {key_file}"
    key = _loaded(what, _read(key_file, what), _private, "Give the private key in PEM, not encrypted. " + _MAKE)
    return _fingerprint(key.public_key())


def _public_key(given: str) -> t.Any:
    if given.lstrip().startswith("-----BEGIN"):
        what, body = "public key given as text", given.strip().encode() + b"\n"
    else:
        what = f"public key {given}"
        body = _read(given, what)
    return _loaded(what, body, _public, "Give it in PEM, as made by: openssl pkey -in KEY -pubout")


def _loaded(what: str, body: bytes, load: t.Callable[[bytes], t.Any], remedy: str) -> t.Any:
    require(serialization, "cryptography")
    try:
        return load(body)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RecoveryError(failed("load", what, _short(error), remedy)) from error


def _private(body: bytes) -> t.Any:
    key = serialization.load_pem_private_key(body, password=None)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ValueError("it is no ed25519 key")
    return key


def _public(body: bytes) -> t.Any:
    key = serialization.load_pem_public_key(body)
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise ValueError("it is no ed25519 key")
    return key


def _fingerprint(key: t.Any) -> str:
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def _short(error: Exception) -> str:
    """Return the library's reason in a few words: its texts run over pages of advice."""
    return str(error).split(". ", maxsplit=1)[0].split("\n", maxsplit=1)[0]


def _read(name: str, what: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise RecoveryError(failed("read", what, error.strerror or error, "Name a file that is there.")) from error
