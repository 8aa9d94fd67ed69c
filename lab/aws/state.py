"""What the lab's Route 53 remembers, and its form in the state file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.aws.batches import Records, ZoneRef
from lab.aws.record_sets import from_api, to_api
from lab.dns.records import RecordSet
from lab.dns.zone import ZoneData

MAX_CHANGES = 2000


@dataclass
class Zone:
    """A hosted zone: ``records`` is what the API shows at once, ``published`` what DNS answers from."""

    id: str
    name: str
    caller_reference: str
    comment: str
    name_servers: list[str]
    records: Records
    published: ZoneData

    @property
    def ref(self) -> ZoneRef:
        """Id and name."""
        return ZoneRef(self.id, self.name)


@dataclass
class Change:
    """A change on its way to the name servers. Times are in seconds since the epoch; ``result`` goes when INSYNC."""

    id: str
    zone_id: str
    submitted: float
    due: float
    comment: str
    result: list[RecordSet] | None

    @property
    def status(self) -> str:
        """PENDING or INSYNC."""
        return "INSYNC" if self.result is None else "PENDING"


@dataclass
class HealthCheck:
    """A health check: ``config`` is in API form, ``failing`` what each checker (by region) thinks now."""

    id: str
    caller_reference: str
    config: dict[str, Any]
    version: int = 1
    failing: dict[str, bool] = field(default_factory=dict)


@dataclass
class State:
    """Everything of one account."""

    zones: dict[str, Zone] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    health_checks: dict[str, HealthCheck] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the state file."""
        return {
            "zones": [_zone_to_json(zone) for zone in self.zones.values()],
            "changes": [_change_to_json(change) for change in list(self.changes.values())[-MAX_CHANGES:]],
            "health_checks": [vars(check) for check in self.health_checks.values()],
            "tags": self.tags,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> State:
        """The state that ``to_json`` wrote."""
        zones = [_zone_from_json(zone) for zone in data["zones"]]
        changes = [_change_from_json(change) for change in data["changes"]]
        checks = [HealthCheck(**check) for check in data["health_checks"]]
        return cls(
            zones={zone.id: zone for zone in zones},
            changes={change.id: change for change in changes},
            health_checks={check.id: check for check in checks},
            tags=data["tags"],
        )


def _zone_to_json(zone: Zone) -> dict[str, Any]:
    plain = {key: getattr(zone, key) for key in ("id", "name", "caller_reference", "comment", "name_servers")}
    return plain | {
        "records": [to_api(record) for record in zone.records.values()],
        "published": [to_api(record) for record in zone.published.record_sets],
    }


def _zone_from_json(data: dict[str, Any]) -> Zone:
    records = [from_api(record) for record in data["records"]]
    published = ZoneData(data["name"], [from_api(record) for record in data["published"]])
    return Zone(**data | {"records": {record.key: record for record in records}, "published": published})


def _change_to_json(change: Change) -> dict[str, Any]:
    result = None if change.result is None else [to_api(record) for record in change.result]
    return vars(change) | {"result": result}


def _change_from_json(data: dict[str, Any]) -> Change:
    result = data["result"]
    return Change(**data | {"result": None if result is None else [from_api(record) for record in result]})
