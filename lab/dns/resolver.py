"""A caching resolver over fixed upstreams: it plays the public resolver that clients use."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.SOA
import dns.rrset

from lab.dns.cache import Cache, Entry, Key, Negative, Positive

log = logging.getLogger(__name__)

MAX_CHAIN = 8
UPSTREAM_TIMEOUT_SECONDS = 1.0
UPSTREAM_ROUNDS = 2


class UpstreamError(Exception):
    """No upstream gave a usable answer."""


@dataclass(frozen=True)
class Upstream:
    """One name server."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Upstream:
        """From ``address`` or ``address:port``."""
        host, _, port = text.partition(":")
        return cls(host, int(port or 53))


@dataclass
class _Resolution:
    """One question on its way; ``fresh`` holds this query's own answers, so that a TTL of 0 can be used once."""

    rdtype: dns.rdatatype.RdataType
    answer: list[dns.rrset.RRset] = field(default_factory=list)
    authority: list[dns.rrset.RRset] = field(default_factory=list)
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    fresh: dict[Key, Entry] = field(default_factory=dict)


class Resolver:
    """Answers recursive queries for names under the zones it has upstreams for; refuses the rest."""

    def __init__(self, upstreams: Mapping[str, Sequence[Upstream]], cache: Cache | None = None) -> None:
        self._upstreams = {dns.name.from_text(zone): list(servers) for zone, servers in upstreams.items()}
        self.cache = cache or Cache()

    def respond(self, query: dns.message.Message) -> dns.message.Message:
        """The response to a query with exactly one question."""
        question = query.question[0]
        response = dns.message.make_response(query, recursion_available=True)
        known = self._zone_of(question.name) is not None
        if question.rdclass != dns.rdataclass.IN or not known or not query.flags & dns.flags.RD:
            response.set_rcode(dns.rcode.REFUSED)
            return response
        if question.rdtype == dns.rdatatype.ANY:
            response.set_rcode(dns.rcode.NOTIMP)
            return response
        try:
            resolution = self._resolve(question.name, question.rdtype)
        except UpstreamError as error:
            log.warning("%s", error)
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        response.set_rcode(resolution.rcode)
        response.answer.extend(resolution.answer)
        response.authority.extend(resolution.authority)
        return response

    def _resolve(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> _Resolution:
        resolution = _Resolution(rdtype)
        for _ in range(MAX_CHAIN):
            entry = self._known(resolution, name)
            if entry is None:
                self._ask(resolution, name)
                entry = self._known(resolution, name)
            if entry is None:
                raise UpstreamError(f"Failed to resolve {name} {rdtype.name}: the name servers hold no answer for it")
            if isinstance(entry, Negative):
                resolution.rcode = entry.rcode
                resolution.authority.append(entry.soa)
                return resolution
            resolution.answer.append(entry.rrset)
            target = entry.rrset[0]
            if entry.rrset.rdtype == rdtype or not isinstance(target, dns.rdtypes.ANY.CNAME.CNAME):
                return resolution
            name = target.target
        raise UpstreamError(f"Failed to resolve {name} {rdtype.name}: more than {MAX_CHAIN} CNAMEs in a chain")

    def _known(self, resolution: _Resolution, name: dns.name.Name) -> Entry | None:
        for key in ((name, resolution.rdtype), (name, None), (name, dns.rdatatype.CNAME)):
            entry = resolution.fresh.get(key) or self.cache.get(key)
            if entry is not None:
                return entry
        return None

    def _zone_of(self, name: dns.name.Name) -> dns.name.Name | None:
        zones = [zone for zone in self._upstreams if name.is_subdomain(zone)]
        return max(zones, key=len, default=None)

    def _ask(self, resolution: _Resolution, name: dns.name.Name) -> None:
        """Query the upstreams and file every record set of theirs that lies in their zone."""
        zone = self._zone_of(name)
        if zone is None:
            raise UpstreamError(f"Failed to resolve {name}: no upstream serves it")
        reply = self._query(zone, name, resolution.rdtype)
        final = name
        for rrset in reply.answer:
            if rrset.name.is_subdomain(zone):
                self._file(resolution, (rrset.name, rrset.rdtype), Positive(rrset))
            if rrset.name == final and isinstance(rrset[0], dns.rdtypes.ANY.CNAME.CNAME):
                final = rrset[0].target
        for rrset in reply.authority:
            if isinstance(rrset[0], dns.rdtypes.ANY.SOA.SOA) and final.is_subdomain(rrset.name):
                self._file_negative(resolution, final, reply.rcode(), rrset)

    def _file_negative(
        self, resolution: _Resolution, name: dns.name.Name, rcode: dns.rcode.Rcode, soa: dns.rrset.RRset
    ) -> None:
        start = soa[0]
        assert isinstance(start, dns.rdtypes.ANY.SOA.SOA)
        soa.ttl = min(soa.ttl, start.minimum)
        rdtype = None if rcode == dns.rcode.NXDOMAIN else resolution.rdtype
        self._file(resolution, (name, rdtype), Negative(rcode, soa))

    def _file(self, resolution: _Resolution, key: Key, entry: Entry) -> None:
        resolution.fresh[key] = entry
        self.cache.put(key, entry)

    def _query(self, zone: dns.name.Name, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> dns.message.Message:
        query = dns.message.make_query(name, rdtype, use_edns=0, payload=1232)
        query.flags &= ~dns.flags.RD
        problems = []
        servers = self._upstreams[zone]
        for upstream in random.sample(servers, len(servers)) * UPSTREAM_ROUNDS:
            try:
                reply, _ = dns.query.udp_with_fallback(
                    query, upstream.host, UPSTREAM_TIMEOUT_SECONDS, upstream.port, ignore_unexpected=True
                )
            except (dns.exception.DNSException, OSError) as error:
                problems.append(f"{upstream.host}:{upstream.port}: {error or type(error).__name__}")
                continue
            if reply.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return reply
            problems.append(f"{upstream.host}:{upstream.port}: {dns.rcode.to_text(reply.rcode())}")
        raise UpstreamError(f"Failed to resolve {name} {rdtype.name}: {'; '.join(problems)}")
