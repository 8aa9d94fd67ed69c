# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One event of an incident's ledger, and the canonical form that its hash is taken over.

Canonical form: one JSON object, keys sorted, no spaces, UTF-8 unescaped, as `jq -cS` prints it. Numbers are
integers up to 2^53 or decimals with at most three places; larger ones become text, so that every JSON
library prints the same. `hash` is the SHA-256 of that form of all other members, and `prev` is the hash of
the event before. An auditor recomputes it with standard tools:

    jq -jcS 'del(.hash)' 000007.json | sha256sum

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import typing as t
from dataclasses import asdict, dataclass, fields

from .clock import from_iso
from .errors import RecoveryError

#: `prev` of an incident's first event
GENESIS = "0" * 64
STATES = ("intent", "effect", "verified", "failed", "skipped")
PHASES = ("detect", "assess", "isolate", "recover", "validate", "close")
REDACTED = "[redacted]"

_LARGEST_EXACT = 2**53
#: members whose value is a secret: what the name ends in decides, so that `passfile` or `secret_name` stay readable
_SECRET_NAME = re.compile(
    r"(password|passwd|passphrase|secret|token|credential|private_?key|secret_?key|api_?key|access_?key|authorization"
    r"|cookie)s?$",
    re.IGNORECASE,
)
#: text that is a secret whatever it is called: PEM private keys, AWS keys, passwords in URLs and DSNs, bearer tokens
_SECRET_TEXT = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|\b(AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"
    r"|(?i:\b(?:password|passwd|secret_access_key|aws_secret_access_key)\s*=\s*)('[^']*'|\"[^\"]*\"|\S+)"
    r"|(?i:\bbearer\s+)[A-Za-z0-9._~+/-]{16,}=*",
    re.DOTALL,
)


class BadEvent(RecoveryError):
    """Bytes that should be an event are none, or are not what was written."""


@dataclass(frozen=True)
class Event:
    """One event. `time` is RFC 3339 in UTC, `token` the fencing token of the incident's lease."""

    seq: int
    time: str
    incident: str
    mode: str
    phase: str
    step: str
    state: str
    actor: str
    token: int | None
    data: dict[str, t.Any]
    prev: str
    hash: str = ""

    def digest(self) -> str:
        """Return the hash that the event must have, as 64 hexadecimal digits."""
        content = {name: value for name, value in asdict(self).items() if name != "hash"}
        return hashlib.sha256(canonical(content)).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the canonical form, hash included: one line of the local file, the body of one object."""
        return canonical(asdict(self))

    @classmethod
    def from_bytes(cls, body: bytes) -> Event:
        """Parse and check one event: shape, canonical form, hash. Raises BadEvent saying what is wrong."""
        try:
            raw = json.loads(body)
        except ValueError as error:
            raise BadEvent("is not JSON") from error
        names = {item.name for item in fields(cls)}
        if not isinstance(raw, dict) or set(raw) != names:
            raise BadEvent("is not an event: its members are not those of one")
        event = cls(**raw)
        if not isinstance(event.seq, int) or not isinstance(event.data, dict):
            raise BadEvent("is not an event: seq or data has another type")
        if event.digest() != event.hash:
            raise BadEvent("does not match its hash: its content was changed")
        if event.to_bytes() != body:
            raise BadEvent("is not in canonical form: its bytes were changed")
        try:
            from_iso(event.time)
        except (TypeError, ValueError) as error:
            raise BadEvent("has no valid time") from error
        return event


def canonical(value: t.Any) -> bytes:
    """Return the canonical bytes of a plain JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def plain(data: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return `data` as the ledger keeps it: JSON types, exact numbers, no secrets.

    A value that is a secret by its name or its looks is replaced, and `redacted` names the place: the recovery
    goes on, and the mistake shows.
    """
    found: list[str] = []
    told = {str(name): _plain(value, str(name), str(name), found) for name, value in data.items()}
    if found:
        told["redacted"] = sorted(found)
    return told


def _plain(value: t.Any, name: str, place: str, found: list[str]) -> t.Any:
    if _is_secret(name, value):
        found.append(place)
        return REDACTED
    if isinstance(value, t.Mapping):
        return {_text(str(key)): _plain(item, str(key), f"{place}.{key}", found) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [_plain(item, "", f"{place}[{index}]", found) for index, item in enumerate(items)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _number(value)
    clean = _SECRET_TEXT.sub(REDACTED, _text(str(value)))
    if clean != _text(str(value)):
        found.append(place)
    return clean


def _is_secret(name: str, value: t.Any) -> bool:
    """True when the member's name says so. Numbers are none (the fencing token), nor are lists of Secrets' names."""
    if value is None or isinstance(value, (bool, int, float)) or value in ("", REDACTED):
        return False
    if isinstance(value, (list, tuple)) and name.lower().endswith("secrets"):
        return False
    return bool(_SECRET_NAME.search(name))


def _number(value: float) -> int | float | str:
    """Return a number that every JSON library prints alike, or its text."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        value = round(value, 3)
        if not value.is_integer():
            return float(value)
    whole = int(value)
    return whole if abs(whole) <= _LARGEST_EXACT else str(whole)


def _text(value: str) -> str:
    """Return text without lone surrogates (undecodable bytes) and DEL, which JSON printers write differently."""
    return str(value).encode("utf-8", "replace").decode().replace("\x7f", "\ufffd")
