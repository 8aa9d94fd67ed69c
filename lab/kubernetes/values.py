"""Small values that many parts need: copies, times, names, quantities."""

from __future__ import annotations

import math
import secrets
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

Json = dict[str, Any]
SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal("1e3"), "M": Decimal("1e6"), "G": Decimal("1e9"), "T": Decimal("1e12"),
    "P": Decimal("1e15"), "E": Decimal("1e18"),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip


def clone(value: Any) -> Any:
    """A deep copy of JSON data."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def now() -> datetime:
    """The present in UTC, in whole seconds as API times are."""
    return datetime.now(UTC).replace(microsecond=0)


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339 in UTC, in seconds."""
    return (moment or now()).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time. ValueError where it is not one."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def seconds_from_now(seconds: float) -> str:
    return timestamp(now() + timedelta(seconds=seconds))


def random_suffix(length: int = 5) -> str:
    """The random tail of a generated name."""
    return "".join(secrets.choice(SAFE_ALPHABET) for _ in range(length))


def quantity(value: Any) -> Decimal:
    """Read a resource quantity (``500m``, ``2Gi``). ValueError where it is not one."""
    text = str(value).strip()
    digits = text.rstrip("numkMGTPEi")
    suffix = text[len(digits) :]
    if not digits or suffix not in _SUFFIXES:
        raise ValueError(f"{text!r} is not a quantity")
    try:
        return Decimal(digits) * _SUFFIXES[suffix]
    except InvalidOperation as problem:
        raise ValueError(f"{text!r} is not a quantity") from problem


def portion(value: Any, total: int, *, round_up: bool) -> int:
    """An absolute number, or a percentage of ``total`` rounded as asked."""
    if isinstance(value, str) and value.endswith("%"):
        exact = int(value[:-1]) * total / 100
        return math.ceil(exact) if round_up else math.floor(exact)
    return int(value)


def get_path(value: Any, *path: str) -> Any:
    """The value at a path of keys, or None where some key is missing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
