# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A PRIMARY and a SECONDARY record: as they are wanted, and the way there from what a name has now. No I/O.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .route53_health import Check
from .traffic_records import RecordSet, canonical, normalise_name, policy_of, same_values, values_of

ROLES = ("PRIMARY", "SECONDARY")


@dataclass(frozen=True)
class Half:
    """One record of a pair; `check` is its health check, if it has one."""

    role: str
    identifier: str
    values: tuple[str, ...]
    check: Check | None

    @classmethod
    def from_option(cls, role: str, option: t.Mapping[str, t.Any]) -> Half:
        """Build from the options `primary` or `secondary`."""
        check = option.get("health_check")
        return cls(role, option["identifier"], tuple(option["values"]), Check.from_option(check) if check else None)


@dataclass(frozen=True)
class Pair:
    """One name's two records; `ttl` in seconds."""

    zone: str
    name: str
    type: str
    ttl: int
    halves: tuple[Half, Half]

    @classmethod
    def from_option(cls, option: t.Mapping[str, t.Any]) -> Pair:
        """Build from one element of the `records` option."""
        primary, secondary = (Half.from_option(role, option[role.lower()]) for role in ROLES)
        return cls(option["zone"], normalise_name(option["name"]), option["type"], option["ttl"], (primary, secondary))

    @property
    def label(self) -> str:
        """Name and type, for messages."""
        return f"{self.name} {self.type}"

    def record_sets(self, ids: t.Mapping[str, str]) -> list[RecordSet]:
        """Return both records in Route 53's form, with the ids of their health checks by reference."""
        return [
            {
                "Name": self.name,
                "Type": self.type,
                "TTL": self.ttl,
                "SetIdentifier": half.identifier,
                "Failover": half.role,
                "ResourceRecords": [{"Value": value} for value in half.values],
                **({"HealthCheckId": ids.get(half.check.reference, "")} if half.check else {}),
            }
            for half in self.halves
        ]


@dataclass
class Way:
    """What one pair needs: record sets to remove, record sets to write, or `problems` that forbid it."""

    pair: Pair
    before: list[RecordSet]
    delete: list[RecordSet] = field(default_factory=list)
    upsert: list[RecordSet] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        """Whether anything has to be changed."""
        return bool(self.delete or self.upsert)


def way(pair: Pair, at_name: t.Sequence[RecordSet], ids: t.Mapping[str, str]) -> Way:
    """Compare a wanted pair with the record sets that its name has now."""
    same = [one for one in at_name if one["Type"] == pair.type]
    found = Way(pair, same)
    found.problems += _problems(pair, at_name, same)
    if found.problems:
        return found
    wanted = pair.record_sets(ids)
    found.delete = [one for one in same if policy_of(one) == "simple"]
    known = {_shape(one) for one in same}
    found.upsert = [one for one in wanted if _shape(one) not in known]
    return found


def _problems(pair: Pair, at_name: t.Sequence[RecordSet], same: t.Sequence[RecordSet]) -> t.Iterator[str]:
    others = sorted({one["Type"] for one in at_name} - {pair.type})
    if others and (pair.type == "CNAME" or "CNAME" in others):
        yield f"{pair.label} is a {', '.join(others)} record now"
    primary, secondary = pair.halves
    if primary.identifier == secondary.identifier:
        yield f"{pair.label} has the identifier {primary.identifier} for both of its records"
    roles = {half.identifier: half.role for half in pair.halves}
    for one in same:
        policy = policy_of(one)
        if policy == "simple":
            yield from _simple(pair, one)
        elif policy != "failover":
            yield f"{pair.label} has {policy} routing now; remove its records first"
        elif roles.get(one["SetIdentifier"]) != one["Failover"]:
            yield f"{pair.label} has the {one['Failover']} record {one['SetIdentifier']} now, which is none of the pair"


def _simple(pair: Pair, one: RecordSet) -> t.Iterator[str]:
    """A simple record gives way only where the pair goes on to answer with what it says."""
    if "AliasTarget" in one:
        yield f"{pair.label} is an alias of {one['AliasTarget']['DNSName']}, which no pair replaces"
    elif not any(same_values(pair.type, values_of(one), half.values) for half in pair.halves):
        found = ", ".join(values_of(one))
        yield f"{pair.label} has values {found}, which are neither the PRIMARY's nor the SECONDARY's"


def _shape(record_set: RecordSet) -> tuple[t.Any, ...]:
    values = frozenset(canonical(record_set["Type"], value) for value in values_of(record_set))
    keys = ("TTL", "SetIdentifier", "Failover", "HealthCheckId")
    return (normalise_name(record_set["Name"]), record_set["Type"], values, *(record_set.get(key) for key in keys))
