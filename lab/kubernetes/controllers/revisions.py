"""A deployment's ReplicaSets: which is the new one, revisions, and the annotations they carry."""

from __future__ import annotations

import json
from typing import Any

from ..values import SAFE_ALPHABET, clone, parse_time, portion
from .base import owner_reference

Json = dict[str, Any]
HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
_OWN_ANNOTATIONS = frozenset({REVISION, HISTORY, DESIRED, MAXIMUM, "kubectl.kubernetes.io/last-applied-configuration"})


def max_surge(deployment: Json) -> int:
    """Pods that a rolling update may have above the wanted number."""
    return _fenceposts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Json) -> int:
    """Pods that a rolling update may lack below the wanted number."""
    replicas: int = deployment["spec"]["replicas"]
    if not is_rolling(deployment) or replicas == 0:
        return 0
    return min(_fenceposts(deployment)[1], replicas)


def is_rolling(deployment: Json) -> bool:
    return bool(deployment["spec"]["strategy"]["type"] == "RollingUpdate")


def _fenceposts(deployment: Json) -> tuple[int, int]:
    rolling = deployment["spec"]["strategy"].get("rollingUpdate") or {}
    replicas = deployment["spec"]["replicas"]
    surge = portion(rolling.get("maxSurge", "25%"), replicas, round_up=True)
    unavailable = portion(rolling.get("maxUnavailable", "25%"), replicas, round_up=False)
    # Both rounding to nothing would leave a rollout no way to go on.
    return surge, max(unavailable, 1) if surge == 0 else unavailable


def template_hash(template: Json, collisions: int) -> str:
    """FNV-1a (32 bit) of the template, written in the alphabet that Kubernetes uses for hashes."""
    value = 2166136261
    for byte in json.dumps([template, collisions], sort_keys=True, separators=(",", ":")).encode():
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return "".join(SAFE_ALPHABET[int(digit) % len(SAFE_ALPHABET)] for digit in str(value))


def plain_template(replica_set: Json) -> Json:
    """The template of a ReplicaSet without the hash label: what the deployment asked for."""
    template: Json = clone(replica_set["spec"]["template"])
    template["metadata"].get("labels", {}).pop(HASH_LABEL, None)
    return template


def by_age(replica_sets: list[Json]) -> list[Json]:
    return sorted(
        replica_sets, key=lambda item: (parse_time(item["metadata"]["creationTimestamp"]), item["metadata"]["name"])
    )


def find_new(deployment: Json, replica_sets: list[Json]) -> Json | None:
    """The oldest ReplicaSet with the deployment's present template, or None."""
    template = deployment["spec"]["template"]
    return next((item for item in by_age(replica_sets) if plain_template(item) == template), None)


def revision_of(obj: Json) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def annotations_for(deployment: Json, present: Json, revision: int) -> Json:
    """The annotations of the new ReplicaSet: the deployment's own, and its revision with the ones it had before."""
    copied = {
        key: value
        for key, value in (deployment["metadata"].get("annotations") or {}).items()
        if key not in _OWN_ANNOTATIONS
    }
    wanted = {**present, **copied}
    old = present.get(REVISION, "")
    if revision > (int(old) if old.isdigit() else 0):
        if old:
            wanted[HISTORY] = ",".join(filter(None, [present.get(HISTORY, ""), old]))
        wanted[REVISION] = str(revision)
    return wanted


def size_annotations(deployment: Json) -> Json:
    """What a ReplicaSet was last sized for; a change of the wanted number shows against it."""
    replicas = deployment["spec"]["replicas"]
    return {DESIRED: str(replicas), MAXIMUM: str(replicas + max_surge(deployment))}


def new_replica_set(deployment: Json, revision: int, replicas: int) -> Json:
    """A ReplicaSet for the deployment's present template."""
    collisions = deployment.get("status", {}).get("collisionCount", 0)
    template = clone(deployment["spec"]["template"])
    tag = template_hash(template, collisions)
    labels = template["metadata"].setdefault("labels", {})
    labels[HASH_LABEL] = tag
    selector = clone(deployment["spec"]["selector"])
    selector.setdefault("matchLabels", {})[HASH_LABEL] = tag
    spec: Json = {"replicas": replicas, "selector": selector, "template": template}
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return {
        "metadata": {
            "name": f"{deployment['metadata']['name']}-{tag}",
            "labels": dict(labels),
            "annotations": {**annotations_for(deployment, {}, revision), **size_annotations(deployment)},
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": spec,
    }


def wanted_size(replica_set: Json) -> int:
    return int(replica_set["spec"].get("replicas", 1))


def total_size(replica_sets: list[Json]) -> int:
    return sum(wanted_size(item) for item in replica_sets)


def available(replica_set: Json) -> int:
    return int(replica_set.get("status", {}).get("availableReplicas", 0))


def count(replica_sets: list[Json], field: str) -> int:
    """The sum of a status count over ReplicaSets."""
    return sum(item.get("status", {}).get(field, 0) for item in replica_sets)
