"""Which of several record sets of one name and type answers: Route 53's routing policies and its rules about health."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from lab.dns.records import RecordSet

Healthy = Callable[[RecordSet], bool]


def choose(group: Sequence[RecordSet], healthy: Healthy, rng: random.Random) -> RecordSet:
    """The record set that answers this query. ``group`` is not empty and holds one policy."""
    policy = group[0].policy
    if policy == "weighted":
        return _weighted(group, healthy, rng)
    if policy == "failover":
        return _failover(group, healthy)
    return group[0]


def _weighted(group: Sequence[RecordSet], healthy: Healthy, rng: random.Random) -> RecordSet:
    """By weight among the healthy; zero weights only when no other is healthy; all unhealthy counts as all healthy."""
    weighing = [record for record in group if record.weight]
    pool = (
        [record for record in weighing if healthy(record)]
        or [record for record in group if not record.weight and healthy(record)]
        or weighing
        or list(group)
    )
    return rng.choices(pool, weights=[record.weight or 1 for record in pool])[0]


def _failover(group: Sequence[RecordSet], healthy: Healthy) -> RecordSet:
    """The primary while healthy, else a healthy secondary, else the primary again."""
    by_role = {record.failover: record for record in group}
    primary, secondary = by_role.get("PRIMARY"), by_role.get("SECONDARY")
    if primary is not None and (healthy(primary) or secondary is None or not healthy(secondary)):
        return primary
    return secondary or group[0]
