"""Resolve a public name as a stub resolver does: ask one resolver, keep the answer for its TTL, no longer."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype


class Unresolved(Exception):
    """The resolver gave no address."""


class Resolver(t.Protocol):
    """Says where a name is."""

    def resolve(self, name: str) -> str:
        """Return one IPv4 address. Raises Unresolved."""


@dataclass(frozen=True)
class OneAddress:
    """Every name is at one address, which is known."""

    address: str

    def resolve(self, name: str) -> str:
        """Return it."""
        return self.address


@dataclass
class Names:
    """Addresses by name, kept by the monotonic clock for the TTL that came with them (seconds)."""

    address: str
    port: int
    timeout: float = 1.0

    def __post_init__(self) -> None:
        self._kept: dict[str, tuple[str, float]] = {}

    def resolve(self, name: str) -> str:
        """Return one IPv4 address. Raises Unresolved."""
        kept = self._kept.get(name)
        if kept and kept[1] > time.monotonic():
            return kept[0]
        try:
            question = dns.message.make_query(name, dns.rdatatype.A)
            answer = dns.query.udp(question, self.address, timeout=self.timeout, port=self.port)
        except (OSError, dns.exception.DNSException) as error:
            raise Unresolved(f"{name}: {error or type(error).__name__}") from error
        found = [
            (item.address, rrset.ttl) for rrset in answer.answer for item in rrset if rrset.rdtype == dns.rdatatype.A
        ]
        if not found:
            raise Unresolved(f"{name}: no address ({dns.rcode.to_text(answer.rcode())})")
        address, ttl = found[0]
        self._kept[name] = (address, time.monotonic() + ttl)
        return address
