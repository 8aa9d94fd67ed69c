"""A change batch, all or nothing: the zone's next record sets, or every reason why there are none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lab.aws.errors import ApiError, not_found
from lab.aws.record_sets import value_problems
from lab.dns.records import RecordSet, within

Key = tuple[str, str, str]
Records = dict[Key, RecordSet]

MAX_RECORDS = 1000
MAX_CHARACTERS = 32_000


@dataclass(frozen=True)
class ZoneRef:
    """What a batch needs to know of its zone."""

    id: str
    name: str


@dataclass(frozen=True)
class RecordChange:
    """One change: CREATE, UPSERT or DELETE of a whole record set."""

    action: str
    record: RecordSet


def apply_batch(
    zone: ZoneRef,
    current: Mapping[Key, RecordSet],
    changes: list[RecordChange],
    health_checks: Collection[str],
) -> Records:
    """The record sets after the batch. Raises InvalidChangeBatch or NoSuchHealthCheck; ``current`` is left alone."""
    _check_size(changes)
    records: Records = dict(current)
    problems: list[str] = []
    touched: dict[Key, str] = {}
    for change in changes:
        _check_health_check(change, health_checks)
        problem = _repeated(change, touched) or _apply(zone, records, change)
        if problem:
            problems.append(problem)
        elif change.action != "DELETE":
            problems.extend(value_problems(change.record))
    names = {change.record.name for change in changes}
    problems = problems or _zone_problems(zone, records, names)
    if problems:
        raise ApiError("InvalidChangeBatch", f"[{', '.join(problems)}]")
    return records


def _check_size(changes: list[RecordChange]) -> None:
    """The documented limits; an UPSERT counts twice."""
    cost = [(2 if change.action == "UPSERT" else 1, change.record) for change in changes]
    if sum(factor * max(1, len(record.values)) for factor, record in cost) > MAX_RECORDS:
        raise ApiError("InvalidChangeBatch", f"[Number of records limit of {MAX_RECORDS} exceeded.]")
    if sum(factor * sum(map(len, record.values)) for factor, record in cost) > MAX_CHARACTERS:
        raise ApiError("InvalidChangeBatch", f"[Number of characters limit of {MAX_CHARACTERS} exceeded.]")


def _check_health_check(change: RecordChange, health_checks: Collection[str]) -> None:
    wanted = change.record.health_check_id
    if change.action != "DELETE" and wanted is not None and wanted not in health_checks:
        raise not_found("HealthCheck", f"No health check exists with the specified ID {wanted}")


def _repeated(change: RecordChange, touched: dict[Key, str]) -> str | None:
    """A record set may occur once in a batch, or twice as DELETE then CREATE."""
    before = touched.get(change.record.key)
    touched[change.record.key] = change.action
    if before is None or (before, change.action) == ("DELETE", "CREATE"):
        return None
    return (
        "The request contains an invalid set of changes for a resource record set "
        f"'{change.record.type} {change.record.name}'"
    )


def _apply(zone: ZoneRef, records: Records, change: RecordChange) -> str | None:
    record, existing = change.record, records.get(change.record.key)
    if not within(record.name, zone.name):
        return f"RRSet with DNS name {record.name} is not permitted in zone {zone.name}"
    if change.action == "DELETE":
        return _delete(zone, records, record, existing)
    if change.action == "CREATE" and existing is not None:
        return f"Tried to create resource record set {_described(record)} but it already exists"
    records[record.key] = record
    return None


def _delete(zone: ZoneRef, records: Records, record: RecordSet, existing: RecordSet | None) -> str | None:
    if existing is None:
        return f"Tried to delete resource record set {_described(record)} but it was not found"
    if _comparable(existing) != _comparable(record):
        return (
            f"Tried to delete resource record set {_described(record)} "
            "but the values provided do not match the current values"
        )
    if record.name == zone.name and record.type in ("SOA", "NS"):
        kind = "one SOA record" if record.type == "SOA" else "at least one NS record"
        return f"A HostedZone must contain {kind} for the zone itself."
    del records[record.key]
    return None


def _described(record: RecordSet) -> str:
    identifier = f", set identifier='{record.set_identifier}'" if record.set_identifier else ""
    return f"[name='{record.name}', type='{record.type}'{identifier}]"


def _comparable(record: RecordSet) -> tuple[object, ...]:
    return (
        record.key, record.ttl, frozenset(record.values), record.weight, record.failover, record.health_check_id,
        record.alias,
    )  # fmt: skip


def _zone_problems(zone: ZoneRef, records: Records, names: Iterable[str]) -> list[str]:
    """Conflicts among the record sets of the names that the batch touched."""
    by_name: dict[str, dict[str, list[RecordSet]]] = defaultdict(lambda: defaultdict(list))
    for record in records.values():
        by_name[record.name][record.type].append(record)
    problems: list[str] = []
    for name in sorted(names):
        problems += _cname_problems(zone, name, by_name[name])
        for group in by_name[name].values():
            problems += _group_problems(group)
            problems += [p for record in group if (p := _alias_problem(zone, record, by_name))]
    return problems


def _cname_problems(zone: ZoneRef, name: str, types: Mapping[str, list[RecordSet]]) -> list[str]:
    if "CNAME" not in types:
        return []
    if name == zone.name:
        return [f"RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {zone.name}"]
    if len(types) > 1:
        return [
            f"RRSet of type CNAME with DNS name {name} is not permitted as it conflicts with other records "
            f"with the same DNS name in zone {zone.name}"
        ]
    return []


def _group_problems(group: list[RecordSet]) -> list[str]:
    """Several record sets of one name and type have to share one routing policy."""
    if len(group) < 2:
        return []
    described = ", ".join(_described(record) for record in group)
    if len({record.policy for record in group}) > 1:
        return [f"RRSets with the same DNS name and type must have one routing policy, but found several: {described}"]
    roles = [record.failover for record in group if record.failover]
    if len(set(roles)) != len(roles):
        return [f"RRSets with the same DNS name and type may have one PRIMARY and one SECONDARY only: {described}"]
    if group[0].policy == "weighted" and len({record.ttl for record in group if record.alias is None}) > 1:
        return [f"Weighted RRSets with the same DNS name and type must have the same TTL: {described}"]
    return []


def _alias_problem(
    zone: ZoneRef, record: RecordSet, by_name: Mapping[str, Mapping[str, list[RecordSet]]]
) -> str | None:
    alias = record.alias
    if alias is None:
        return None
    tried = f"Tried to create an alias that targets {alias.name}, type {record.type} in zone {alias.zone_id}"
    if alias.zone_id != zone.id:
        return f"{tried}, but the lab serves aliases within their own zone {zone.id} only"
    if not within(alias.name, zone.name):
        return f"{tried}, but the alias target name does not lie within the target zone"
    target = by_name.get(alias.name, {}).get(record.type)
    if not target:
        return f"{tried}, but that target was not found"
    if alias.name == record.name:
        return f"{tried}, but that is the alias itself"
    return None
