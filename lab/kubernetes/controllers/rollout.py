"""The arithmetic of rolling updates: how large each ReplicaSet may be now."""

from __future__ import annotations

from typing import Any

from .revisions import MAXIMUM, available, by_age, is_rolling, max_surge, max_unavailable, total_size, wanted_size

Json = dict[str, Any]


def new_size(deployment: Json, present: int, total: int) -> int:
    """The size of the new ReplicaSet: as near to the wanted number as the surge allows.

    ``present`` is its size now, ``total`` that of all ReplicaSets with it.
    """
    wanted: int = deployment["spec"]["replicas"]
    if not is_rolling(deployment) or present >= wanted:
        return wanted
    room = wanted + max_surge(deployment) - total
    return present + max(0, min(room, wanted - present))


def scaled_down_sizes(deployment: Json, new: Json, old: list[Json]) -> dict[str, int]:
    """The sizes of the old ReplicaSets, by name: unhealthy pods go first, healthy ones as availability allows."""
    sizes = {item["metadata"]["name"]: wanted_size(item) for item in old}
    minimum = deployment["spec"]["replicas"] - max_unavailable(deployment)
    new_unavailable = wanted_size(new) - available(new)
    budget = total_size(old) + wanted_size(new) - minimum - new_unavailable
    if budget <= 0:
        return sizes
    for item in by_age(old):
        name = item["metadata"]["name"]
        unhealthy = max(0, sizes[name] - available(item))
        taken = min(budget, unhealthy)
        sizes[name] -= taken
        budget -= taken
    spare = sum(available(item) for item in [*old, new]) - minimum
    for item in by_age(old):
        name = item["metadata"]["name"]
        taken = min(max(0, spare), sizes[name])
        sizes[name] -= taken
        spare -= taken
    return sizes


def proportional_sizes(deployment: Json, new: Json | None, old: list[Json]) -> dict[str, int]:
    """The sizes after a change of the wanted number, by name, for those that get one."""
    wanted: int = deployment["spec"]["replicas"]
    everything = [*old, new] if new is not None else list(old)
    active = [item for item in everything if wanted_size(item) > 0]
    if len(active) <= 1:
        target = active[0] if active else new or (by_age(old)[-1] if old else None)
        return {} if target is None else {target["metadata"]["name"]: wanted}
    if new is not None and _is_saturated(deployment, new):
        return {item["metadata"]["name"]: 0 for item in active if item is not new}
    return _spread(deployment, active, wanted)


def _is_saturated(deployment: Json, new: Json) -> bool:
    wanted = deployment["spec"]["replicas"]
    annotated = (new["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/desired-replicas")
    return wanted_size(new) == wanted and annotated == str(wanted) and available(new) == wanted


def _spread(deployment: Json, active: list[Json], wanted: int) -> dict[str, int]:
    allowed = wanted + max_surge(deployment) if wanted > 0 else 0
    change = allowed - total_size(active)
    # The largest get their share first; among equals the newest when growing, the oldest when shrinking.
    ordered = sorted(by_age(active) if change < 0 else by_age(active)[::-1], key=wanted_size, reverse=True)
    sizes: dict[str, int] = {}
    added = 0
    for item in ordered:
        share = _share(deployment, item, change, added) if change else 0
        sizes[item["metadata"]["name"]] = max(0, wanted_size(item) + share)
        added += share
    first = ordered[0]["metadata"]["name"]
    sizes[first] = max(0, sizes[first] + change - added)
    return sizes


def _share(deployment: Json, replica_set: Json, change: int, added: int) -> int:
    """This ReplicaSet's part of the change, by its part of the total it was last sized for, within what is left."""
    size = wanted_size(replica_set)
    if size == 0 or change == added:
        return 0
    noted = (replica_set["metadata"].get("annotations") or {}).get(MAXIMUM, "")
    total = int(noted) if noted.isdigit() and int(noted) else deployment["status"].get("replicas", 0) or size
    goal = deployment["spec"]["replicas"] + max_surge(deployment)
    fraction = int(size * goal / total + 0.5) - size
    left = change - added
    return min(fraction, left) if change > 0 else max(fraction, left)
