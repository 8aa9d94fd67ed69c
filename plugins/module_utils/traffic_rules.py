# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Route 53's rules over the record sets of one name and type: what may be asked, coexist and be answered. No I/O.

They are Route 53's to enforce; they are here so that check mode and a preflight see a refusal coming.

PRIVATE to the collection.
"""

from __future__ import annotations

import ipaddress
import typing as t
from collections import Counter

from .traffic_records import Planned, RecordSet, Wanted, normalise_name, policy_of, values_of

NameAndType = tuple[str, str]

MAX_TTL = 2_147_483_647
MAX_WEIGHT = 255


def contradictions(wanted: Wanted) -> t.Iterator[str]:
    """Say what no record set could be."""
    if wanted.weight is not None and wanted.failover is not None:
        yield f"{wanted.label} has both weight and failover; a record has one of them"
    if (wanted.weight is not None or wanted.failover is not None) and not wanted.set_identifier:
        yield f"{wanted.label} has a weight or failover and so needs a set_identifier"
    if wanted.ttl is not None and not 0 <= wanted.ttl <= MAX_TTL:
        yield f"{wanted.label} has ttl {wanted.ttl}, which must lie between 0 and {MAX_TTL}"
    if wanted.weight is not None and not 0 <= wanted.weight <= MAX_WEIGHT:
        yield f"{wanted.label} has weight {wanted.weight}, which must lie between 0 and {MAX_WEIGHT}"
    if wanted.values is not None:
        yield from _bad_values(wanted, wanted.values)


def _bad_values(wanted: Wanted, values: tuple[str, ...]) -> t.Iterator[str]:
    if not values:
        yield f"{wanted.label} has no values; leave them out to keep those it has"
    if wanted.type == "CNAME" and len(values) > 1:
        yield f"{wanted.label} has {len(values)} values; a CNAME has one"
    for value in values:
        if not _is_value(wanted.type, value):
            yield f"{wanted.label} has the value {value!r}, which is no value of type {wanted.type}"


def _is_value(rdtype: str, value: str) -> bool:
    if rdtype == "CNAME":
        labels = value.rstrip(".").split(".")
        return all(0 < len(label) <= 63 and not any(letter.isspace() for letter in label) for label in labels)
    try:
        return ipaddress.ip_address(value).version == (4 if rdtype == "A" else 6)
    except ValueError:
        return False


def sets_in_force(
    plans: t.Sequence[Planned], at_names: t.Iterable[list[RecordSet]]
) -> dict[NameAndType, list[RecordSet]]:
    """Return all record sets of each name and type of the plans, once every plan's `after` is in force."""
    sets = {_identity(one): one for at_name in at_names for one in at_name}
    sets.update({_identity(planned.after): planned.after for planned in plans if planned.after is not None})
    wanted = dict.fromkeys((planned.wanted.name, planned.wanted.type) for planned in plans)
    return {key: [one for identity, one in sets.items() if identity[:2] == key] for key in wanted}


def _identity(record_set: RecordSet) -> tuple[str, str, str]:
    return (normalise_name(record_set["Name"]), record_set["Type"], record_set.get("SetIdentifier", ""))


def clashes(group: t.Sequence[RecordSet]) -> t.Iterator[str]:
    """Say what keeps the record sets of one name and type from standing together."""
    if not group:
        return
    label = f"{normalise_name(group[0]['Name'])} {group[0]['Type']}"
    roles = Counter(one["Failover"] for one in group if "Failover" in one)
    for role, count in roles.items():
        if count > 1:
            yield f"{label} would have {count} {role} records; it may have one"
    ttls = {one["TTL"] for one in group if "Weight" in one and "TTL" in one}
    if len(ttls) > 1:
        told = ", ".join(str(ttl) for ttl in sorted(ttls))
        yield f"{label} would have weighted records with the TTLs {told} s; they must have one TTL"


def possible_answers(group: t.Sequence[RecordSet]) -> list[list[str]]:
    """Return the lists of values that DNS may answer with for a name and type, given all its record sets.

    With several, one answer cannot prove which record set it came from; with none, it is not known what is right
    (alias, or a policy that depends on who asks).
    """
    if any("AliasTarget" in one for one in group):
        return []
    policies = {policy_of(one) for one in group}
    if policies == {"weighted"}:
        weighing = [one for one in group if one["Weight"] > 0]
        return [values_of(one) for one in weighing or group]
    return [values_of(one) for one in group] if policies <= {"simple", "failover"} else []
