"""A resolver's cache: record sets and negative answers, each for as long as its TTL says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

MAX_ENTRIES = 10_000

Key = tuple[dns.name.Name, dns.rdatatype.RdataType | None]


@dataclass(frozen=True)
class Positive:
    """A record set that exists."""

    rrset: dns.rrset.RRset


@dataclass(frozen=True)
class Negative:
    """That a name (NXDOMAIN) or a type at it (NOERROR) does not exist, and the SOA that says so."""

    rcode: dns.rcode.Rcode
    soa: dns.rrset.RRset


Entry = Positive | Negative


class Cache:
    """Entries by name and type; an NXDOMAIN is filed under the name with no type and covers every type."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[Key, tuple[float, Entry]] = {}

    def put(self, key: Key, entry: Entry) -> None:
        """Keep an entry for its TTL; a TTL of 0 is not kept."""
        rrset = entry.rrset if isinstance(entry, Positive) else entry.soa
        if rrset.ttl <= 0:
            return
        now = self._clock()
        with self._lock:
            if len(self._entries) >= MAX_ENTRIES:
                self._drop_expired(now)
            self._entries[key] = (now + rrset.ttl, entry)

    def get(self, key: Key) -> Entry | None:
        """The entry with the whole seconds that remain as its TTL, or None."""
        with self._lock:
            expires, entry = self._entries.get(key, (0.0, None))
            remaining = expires - self._clock()
            if entry is None or remaining <= 0:
                self._entries.pop(key, None)
                return None
        return _with_ttl(entry, int(remaining))

    def flush(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def _drop_expired(self, now: float) -> None:
        self._entries = {key: kept for key, kept in self._entries.items() if kept[0] > now}
        while len(self._entries) >= MAX_ENTRIES:
            self._entries.pop(next(iter(self._entries)))


def _with_ttl(entry: Entry, ttl: int) -> Entry:
    source = entry.rrset if isinstance(entry, Positive) else entry.soa
    copy = dns.rrset.from_rdata_list(source.name, ttl, list(source))
    return Positive(copy) if isinstance(entry, Positive) else Negative(entry.rcode, copy)
