# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What DNS servers say, seen from here: one question to one server, and waiting until its answer is right.

PRIVATE to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field

from .clock import Deadline
from .errors import Refused, failed, require
from .traffic_records import same_values

try:
    import dns as dnspython
    import dns.exception
    import dns.flags
    import dns.message
    import dns.query
    import dns.rcode
    import dns.rdatatype
except ImportError:  # Server.checked() names the missing library
    dnspython = None  # type: ignore[assignment]

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Server:
    """A DNS server; an authoritative one is asked without recursion. `timeout`: seconds for one answer."""

    name: str
    address: str
    port: int = 53
    authoritative: bool = False
    timeout: float = 2.0

    def checked(self) -> Server:
        """Return the server itself. Raises where its address is none, or dnspython is missing."""
        require(dnspython, "dnspython")
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            remedy = "Give an IP address."
            raise Refused(
                failed("ask", f"DNS server {self.name}", f"{self.address!r} is no IP address", remedy)
            ) from None
        return self


@dataclass
class Observation:
    """What one server answered last for one name and type.

    `agrees` is None where the answer cannot tell; `seconds` is the time until the server agreed, None if it never did.
    """

    server: Server
    record: str
    type: str
    agrees: bool | None = False
    answer: list[str] = field(default_factory=list)
    ttl: int | None = None
    seconds: float | None = None
    error: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        """Return the observation as return values."""
        return {
            "name": self.server.name,
            "address": self.server.address,
            "port": self.server.port,
            "authoritative": self.server.authoritative,
            "record": self.record,
            "type": self.type,
            "agrees": self.agrees,
            "answer": self.answer,
            "ttl": self.ttl,
            "seconds": self.seconds,
            "error": self.error,
        }


def look(server: Server, record: str, rdtype: str, possible: t.Sequence[t.Sequence[str]]) -> Observation:
    """Ask once. `possible`: the lists of values that are right; with several, a right answer proves nothing."""
    seen = Observation(server, record, rdtype)
    query = dns.message.make_query(record, rdtype, use_edns=0, payload=1232)
    if server.authoritative:
        query.flags &= ~dns.flags.RD
    try:
        reply, _tcp = dns.query.udp_with_fallback(
            query, server.address, server.timeout, server.port, ignore_unexpected=True
        )
    except (dns.exception.DNSException, OSError) as error:
        seen.error = str(error) or type(error).__name__
        return seen
    if reply.rcode() != dns.rcode.NOERROR:
        seen.error = dns.rcode.to_text(reply.rcode())
        return seen
    for rrset in reply.answer:
        if rrset.rdtype == dns.rdatatype.from_text(rdtype) and rrset.name == query.question[0].name:
            seen.answer, seen.ttl = sorted(item.to_text() for item in rrset), rrset.ttl
    right = any(same_values(rdtype, seen.answer, values) for values in possible)
    seen.agrees = None if not possible or (right and len(possible) > 1) else right
    return seen


def wait_for(
    server: Server, record: str, rdtype: str, possible: t.Sequence[t.Sequence[str]], *, deadline: Deadline
) -> Observation:
    """Ask until the server agrees (or its answer cannot tell), or the time is over: see `agrees`."""
    taken = Deadline(deadline.seconds)
    pause = FIRST_PAUSE_SECONDS
    while True:
        seen = look(server, record, rdtype, possible)
        if seen.agrees is not False:
            seen.seconds = round(taken.elapsed, 3) if seen.agrees else None
            return seen
        if deadline.expired:
            return seen
        deadline.rest(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
