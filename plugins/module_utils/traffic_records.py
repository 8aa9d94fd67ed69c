# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""DNS records as they are, as they are wanted, and what stands between the two. No I/O.

A record set is kept in Route 53's own form, so that whatever this collection does not know of it is preserved.

PRIVATE to the collection.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

RecordSet = dict[str, t.Any]


def normalise_name(name: str) -> str:
    """Return the name in lower case with a closing dot, octal escapes (Route 53 writes ``*`` as ``\\052``) undone."""
    plain = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), name.strip().lower())
    return plain.rstrip(".") + "."


def canonical(rdtype: str, value: str) -> str:
    """Return a value in the one form in which it compares equal to its other spellings."""
    if rdtype == "CNAME":
        return normalise_name(value)
    try:
        return ipaddress.ip_address(value.strip()).compressed
    except ValueError:
        return value.strip()


def values_of(record_set: RecordSet) -> list[str]:
    """Return the values of a record set, none for an alias."""
    return [item["Value"] for item in record_set.get("ResourceRecords") or []]


def same_values(rdtype: str, one: t.Iterable[str], other: t.Iterable[str]) -> bool:
    """Whether two lists of values say the same, in any order."""
    return {canonical(rdtype, value) for value in one} == {canonical(rdtype, value) for value in other}


def policy_of(record_set: RecordSet) -> str:
    """Return the routing policy of a record set in words."""
    policies = {
        "Weight": "weighted",
        "Failover": "failover",
        "Region": "latency",
        "GeoLocation": "geolocation",
        "GeoProximityLocation": "geoproximity",
        "CidrRoutingConfig": "CIDR",
        "MultiValueAnswer": "multivalue",
    }
    return next((word for key, word in policies.items() if key in record_set), "simple")


@dataclass(frozen=True)
class Wanted:
    """One record as the task wants it; None leaves that part as it is. `ttl` in seconds."""

    zone: str
    name: str
    type: str
    ttl: int | None = None
    values: tuple[str, ...] | None = None
    set_identifier: str | None = None
    weight: int | None = None
    failover: str | None = None
    health_check_id: str | None = None
    expect_ttl: int | None = None
    expect_type: str | None = None
    expect_values: tuple[str, ...] | None = None

    @classmethod
    def from_option(cls, option: t.Mapping[str, t.Any]) -> Wanted:
        """Build from one element of the `records` option."""
        expect = option.get("expect") or {}
        values, expect_values = option.get("values"), expect.get("values")
        return cls(
            zone=option["zone"],
            name=normalise_name(option["name"]),
            type=option["type"],
            ttl=option.get("ttl"),
            values=None if values is None else tuple(values),
            set_identifier=option.get("set_identifier"),
            weight=option.get("weight"),
            failover=option.get("failover"),
            health_check_id=option.get("health_check_id"),
            expect_ttl=expect.get("ttl"),
            expect_type=expect.get("type"),
            expect_values=None if expect_values is None else tuple(expect_values),
        )

    @property
    def label(self) -> str:
        """Name, type and identifier, for messages."""
        identifier = f" ({self.set_identifier})" if self.set_identifier else ""
        return f"{self.name} {self.type}{identifier}"

    @property
    def key(self) -> tuple[str, str, str]:
        """What may occur once in a task's list."""
        return (self.name, self.type, self.set_identifier or "")

    @property
    def policy(self) -> str | None:
        """The routing policy asked for; None where an identifier is given and the policy is left as it is."""
        if self.weight is not None:
            return "weighted"
        if self.failover is not None:
            return "failover"
        return None if self.set_identifier else "simple"


@dataclass(frozen=True)
class Planned:
    """One record's way from `before` to `after` (None where `problems` forbid it)."""

    wanted: Wanted
    zone_id: str
    zone_name: str
    before: RecordSet | None
    after: RecordSet | None
    problems: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether a change has to be submitted."""
        return self.after is not None and (self.before is None or _shape(self.before) != _shape(self.after))


def plan(wanted: Wanted, zone_id: str, zone_name: str, at_name: list[RecordSet], create: bool) -> Planned:
    """Compare one wanted record with the record sets that its name has now."""
    comparison = _Comparison(wanted, zone_name, at_name, create)
    problems = tuple(comparison.problems())
    after = None if problems else _after(wanted, comparison.before)
    return Planned(wanted, zone_id, zone_name, comparison.before, after, problems)


@dataclass(frozen=True)
class _Comparison:
    """A wanted record beside what its name has now."""

    wanted: Wanted
    zone_name: str
    at_name: list[RecordSet]
    create: bool

    @property
    def same_type(self) -> list[RecordSet]:
        """The record sets of the wanted type."""
        return [one for one in self.at_name if one["Type"] == self.wanted.type]

    @property
    def before(self) -> RecordSet | None:
        """The very record set that would be changed."""
        wanted = self.wanted.set_identifier
        return next((one for one in self.same_type if one.get("SetIdentifier") == wanted), None)

    def problems(self) -> t.Iterator[str]:
        """Say what forbids the change: the first thing that makes the others moot, or all that is unexpected."""
        wanted, before = self.wanted, self.before
        conflicting, policies = self._conflicting_type(), self._other_policies()
        if not ("." + wanted.name).endswith("." + self.zone_name):
            yield f"{wanted.label} does not lie in hosted zone {self.zone_name}"
        elif wanted.expect_type not in (None, wanted.type):
            yield f"{wanted.label}: expect.type is {wanted.expect_type}, and a record's type is never changed here"
        elif conflicting:
            yield f"{wanted.label} is a {conflicting} record now, not {wanted.type}"
        elif policies:
            yield f"{wanted.label} has {policies} routing now, not {wanted.policy or 'one with identifiers'}"
        elif before is None:
            yield from _missing(wanted, self.create)
        else:
            yield from _unexpected(wanted, before)

    def _conflicting_type(self) -> str:
        """Return the type that stands where the wanted one should: a CNAME is alone at its name."""
        types = {one["Type"] for one in self.at_name}
        if self.wanted.type in types:
            return ""
        if self.wanted.type == "CNAME":
            return ", ".join(sorted(types))
        return "CNAME" if "CNAME" in types else ""

    def _other_policies(self) -> str:
        """Return the routing policies in force that exclude the wanted one, in words."""
        excluding = {policy_of(one) for one in self.same_type} - {self.wanted.policy}
        if self.wanted.policy is None:
            excluding &= {"simple"}
        return ", ".join(sorted(excluding))


def _missing(wanted: Wanted, create: bool) -> t.Iterator[str]:
    if not create:
        yield f"{wanted.label} does not exist (create: true would make it)"
    elif wanted.ttl is None or not wanted.values:
        yield f"{wanted.label} does not exist, and to create it ttl and values are needed"
    elif wanted.policy is None:
        yield f"{wanted.label} does not exist, and to create it with a set_identifier weight or failover is needed"


def _unexpected(wanted: Wanted, before: RecordSet) -> t.Iterator[str]:
    if "AliasTarget" in before:
        yield f"{wanted.label} is an alias of {before['AliasTarget']['DNSName']}, which has no values to shift"
        return
    ttls = {ttl for ttl in (wanted.ttl, wanted.expect_ttl) if ttl is not None}
    if ttls and before.get("TTL") not in ttls:
        expected = wanted.ttl if wanted.expect_ttl is None else wanted.expect_ttl
        yield f"{wanted.label} has TTL {before.get('TTL')} s, not {expected} s as expected"
    found = values_of(before)
    accepted = [values for values in (wanted.expect_values, wanted.values) if values is not None]
    if wanted.expect_values is not None and not any(same_values(wanted.type, found, values) for values in accepted):
        yield f"{wanted.label} has values {', '.join(found)}, not {', '.join(wanted.expect_values)} as expected"


def _after(wanted: Wanted, before: RecordSet | None) -> RecordSet:
    """Return the whole record set to submit: what was there, with the wanted parts replaced."""
    after: RecordSet = dict(before) if before else {"Name": wanted.name, "Type": wanted.type}
    replaced = {
        "TTL": wanted.ttl,
        "SetIdentifier": wanted.set_identifier,
        "Weight": wanted.weight,
        "Failover": wanted.failover,
        "HealthCheckId": wanted.health_check_id,
    }
    after.update({key: value for key, value in replaced.items() if value is not None})
    if wanted.values is not None and not same_values(wanted.type, values_of(after), wanted.values):
        after["ResourceRecords"] = [{"Value": value} for value in wanted.values]
    return after


def _shape(record_set: RecordSet) -> RecordSet:
    """Return what makes two record sets equal: everything, the values in any order and spelling."""
    rdtype = record_set["Type"]
    values = frozenset(canonical(rdtype, value) for value in values_of(record_set))
    return {**record_set, "Name": normalise_name(record_set["Name"]), "ResourceRecords": values}
