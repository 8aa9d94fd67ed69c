# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Records, changes and answers as return values, in the words of the module's options.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .clock import to_iso
from .dns_observation import Observation
from .route53 import Change, Zone
from .traffic_records import Planned, RecordSet, values_of

Told = dict[str, t.Any]


def answered(seen: Observation) -> str:
    """Return what a server said, or why it said nothing, for messages."""
    return seen.error or ", ".join(seen.answer) or "nothing"


def records_told(plans: list[Planned]) -> list[Told]:
    """Return each record as the shift makes it (as it is, where a problem forbids that), and as it was before."""
    return [
        {
            "zone": planned.zone_name,
            "name": planned.wanted.name,
            "type": planned.wanted.type,
            "set_identifier": planned.wanted.set_identifier,
            **_content(planned.after or planned.before or {}),
            "before": _told(planned.before),
            "changed": planned.differs,
        }
        for planned in plans
    ]


def changes_told(changes: list[Change], planned: list[Zone]) -> list[Told]:
    """Return each change batch; one that check mode would submit has the status PLANNED."""
    done: list[Told] = [
        {
            "id": change.id,
            "zone": change.zone.name,
            "status": change.status,
            "submitted": to_iso(change.submitted),
            "insync": to_iso(change.insync) if change.insync else None,
            "seconds": change.seconds,
        }
        for change in changes
    ]
    empty: Told = {"id": None, "submitted": None, "insync": None, "seconds": None}
    return done + [{**empty, "zone": zone.name, "status": "PLANNED"} for zone in planned]


def diff_told(plans: list[Planned]) -> Told:
    """Return Ansible's diff of all records."""
    return {
        "before": {f"{planned.zone_name} {planned.wanted.label}": _told(planned.before) for planned in plans},
        "after": {
            f"{planned.zone_name} {planned.wanted.label}": _told(planned.after or planned.before) for planned in plans
        },
    }


def _told(record_set: RecordSet | None) -> Told | None:
    return None if record_set is None else _content(record_set)


def _content(record_set: RecordSet) -> Told:
    return {
        "ttl": record_set.get("TTL"),
        "values": sorted(values_of(record_set)),
        "weight": record_set.get("Weight"),
        "failover": record_set.get("Failover"),
        "health_check_id": record_set.get("HealthCheckId"),
    }
