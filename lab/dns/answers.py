"""Answers to DNS questions from published zones: routing policies, aliases, CNAME chains, negative answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.SOA
import dns.rrset

from lab.dns.records import RecordSet, normalise_name, within
from lab.dns.routing import choose
from lab.dns.zone import Node, ZoneData

MAX_CHAIN = 8


@dataclass
class Answer:
    """What goes into the response's sections."""

    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    answer: list[dns.rrset.RRset] = field(default_factory=list)
    authority: list[dns.rrset.RRset] = field(default_factory=list)
    authoritative: bool = True


def to_rrset(name: str, record: RecordSet) -> dns.rrset.RRset:
    """A record set's values as DNS data, owned by ``name`` (which differs behind aliases and wildcards)."""
    return dns.rrset.from_text(name, record.ttl or 0, "IN", record.type, *record.values)


class Answerer:
    """Answers from whatever zones are published at the moment of the question."""

    def __init__(
        self,
        zones: Callable[[], Sequence[ZoneData]],
        check_is_healthy: Callable[[str], bool],
        rng: random.Random | None = None,
    ) -> None:
        self._zones = zones
        self._check_is_healthy = check_is_healthy
        self._rng = rng or random.Random()

    def answer(self, name: str, rdtype: str) -> Answer:
        """The answer to one question; REFUSED outside the zones served here."""
        qname = normalise_name(name)
        zone = self._zone_of(qname)
        if zone is None:
            return Answer(rcode=dns.rcode.REFUSED, authoritative=False)
        return self._within_zone(zone, qname, rdtype)

    def _zone_of(self, name: str) -> ZoneData | None:
        serving = [zone for zone in self._zones() if within(name, zone.name)]
        return max(serving, key=lambda zone: len(zone.name), default=None)

    def _within_zone(self, zone: ZoneData, qname: str, rdtype: str) -> Answer:
        result = Answer()
        for _ in range(MAX_CHAIN):
            delegated = zone.delegation(qname)
            if delegated is not None:
                result.authority = [to_rrset(record.name, record) for record in delegated]
                result.authoritative = bool(result.answer)
                return result
            node = zone.node(qname)
            record = None if node is None else self._select(zone, node, rdtype)
            if record is not None:
                result.answer.append(self._shuffled(to_rrset(qname, record)))
                return result
            cname = None if node is None else self._select(zone, node, "CNAME")
            if cname is None:
                return self._negative(zone, result, exists=node is not None)
            result.answer.append(to_rrset(qname, cname))
            qname = normalise_name(cname.values[0])
            if not within(qname, zone.name):
                return result
        return result

    def _select(self, zone: ZoneData, node: Node, rdtype: str) -> RecordSet | None:
        """The record set that answers for a type at a node, its alias followed."""
        for _ in range(MAX_CHAIN):
            group = node.get(rdtype)
            if not group:
                return None
            record = choose(group, lambda candidate: self._healthy(zone, candidate), self._rng)
            if record.alias is None:
                return record
            node = zone.node(record.alias.name) or {}
        return None

    def _healthy(self, zone: ZoneData, record: RecordSet, depth: int = 0) -> bool:
        if record.health_check_id and not self._check_is_healthy(record.health_check_id):
            return False
        if record.alias is None or not record.alias.evaluate_target_health or depth > MAX_CHAIN:
            return True
        targets = (zone.node(record.alias.name) or {}).get(record.type, ())
        return any(self._healthy(zone, target, depth + 1) for target in targets)

    def _shuffled(self, rrset: dns.rrset.RRset) -> dns.rrset.RRset:
        rdatas = list(rrset)
        self._rng.shuffle(rdatas)
        return dns.rrset.from_rdata_list(rrset.name, rrset.ttl, rdatas)

    def _negative(self, zone: ZoneData, result: Answer, exists: bool) -> Answer:
        soa = to_rrset(zone.name, zone.soa)
        start = soa[0]
        assert isinstance(start, dns.rdtypes.ANY.SOA.SOA)
        soa.ttl = min(soa.ttl, start.minimum)
        result.authority = [soa]
        result.rcode = dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN
        return result
