"""A deployment's status: counts, and the conditions Available and Progressing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ..values import clone, now, parse_time, timestamp
from .base import condition
from .revisions import available, count, max_unavailable, total_size

Json = dict[str, Any]
AVAILABLE, PROGRESSING, FAILURE = "Available", "Progressing", "ReplicaFailure"
COMPLETE, UPDATED, TIMED_OUT = "NewReplicaSetAvailable", "ReplicaSetUpdated", "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"
NO_DEADLINE = 2**31 - 1


def new_condition(kind: str, status: str, reason: str, message: str) -> Json:
    moment = timestamp()
    return {
        "type": kind,
        "status": status,
        "lastUpdateTime": moment,
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }


def set_condition(status: Json, wanted: Json) -> None:
    """Put a condition in place of the one of its type; it keeps its transition time while its status stays the same."""
    present = condition({"status": status}, wanted["type"])
    said = ("status", "reason", "message")
    if present is not None and all(present[key] == wanted[key] for key in said):
        return
    if present is not None and present["status"] == wanted["status"]:
        wanted = {**wanted, "lastTransitionTime": present["lastTransitionTime"]}
    others = [item for item in status.get("conditions", []) if item["type"] != wanted["type"]]
    status["conditions"] = [*others, wanted]


def drop_condition(status: Json, kind: str) -> None:
    status["conditions"] = [item for item in status.get("conditions", []) if item["type"] != kind]


def counted(deployment: Json, replica_sets: list[Json], new: Json | None) -> Json:
    """The status with present counts and the condition Available."""
    available_count = count(replica_sets, "availableReplicas")
    before = deployment.get("status", {})
    counts = {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": count(replica_sets, "replicas"),
        "updatedReplicas": count([new] if new else [], "replicas"),
        "readyReplicas": count(replica_sets, "readyReplicas"),
        "availableReplicas": available_count,
        "unavailableReplicas": max(0, total_size(replica_sets) - available_count),
        "collisionCount": before.get("collisionCount", 0),
    }
    status: Json = {name: number for name, number in counts.items() if number}
    status["terminatingReplicas"] = count(replica_sets, "terminatingReplicas")
    status["conditions"] = clone(before.get("conditions", []))
    if available_count >= deployment["spec"]["replicas"] - max_unavailable(deployment):
        text = "Deployment has minimum availability."
        set_condition(status, new_condition(AVAILABLE, "True", "MinimumReplicasAvailable", text))
    else:
        text = "Deployment does not have minimum availability."
        set_condition(status, new_condition(AVAILABLE, "False", "MinimumReplicasUnavailable", text))
    return status


def has_deadline(deployment: Json) -> bool:
    return bool(deployment["spec"].get("progressDeadlineSeconds", NO_DEADLINE) != NO_DEADLINE)


def is_complete(deployment: Json, status: Json) -> bool:
    """Every wanted pod is of the new revision, available, and no other is left."""
    wanted = deployment["spec"]["replicas"]
    counts = (status.get(name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas"))
    return all(number == wanted for number in counts)


def _has_progressed(before: Json, status: Json) -> bool:
    def old(source: Json) -> int:
        return int(source.get("replicas", 0) - source.get("updatedReplicas", 0))

    grown = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return any(status.get(name, 0) > before.get(name, 0) for name in grown) or old(status) < old(before)


def deadline_left(deployment: Json, status: Json) -> float | None:
    """Seconds until the rollout is late, 0 or less where it is; None where nothing is under way."""
    present = condition({"status": status}, PROGRESSING)
    if present is None or present["reason"] in (COMPLETE, PAUSED) or not has_deadline(deployment):
        return None
    if present["reason"] == TIMED_OUT:
        return 0.0
    ends = parse_time(present["lastUpdateTime"]) + timedelta(seconds=deployment["spec"]["progressDeadlineSeconds"])
    return (ends - now()).total_seconds()


def rollout_status(deployment: Json, replica_sets: list[Json], new: Json | None) -> Json:
    """The status during and after a rollout, with the condition Progressing."""
    status = counted(deployment, replica_sets, new)
    before = deployment.get("status", {})
    if not has_deadline(deployment):
        drop_condition(status, PROGRESSING)
    present = condition({"status": status}, PROGRESSING)
    is_settled = (
        present is not None
        and present["reason"] == COMPLETE
        and status.get("replicas") == status.get("updatedReplicas")
    )
    what = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    if has_deadline(deployment) and not is_settled:
        left = deadline_left(deployment, status)
        if is_complete(deployment, status):
            set_condition(status, new_condition(PROGRESSING, "True", COMPLETE, f"{what} has successfully progressed."))
        elif _has_progressed(before, status):
            _note_progress(status, new_condition(PROGRESSING, "True", UPDATED, f"{what} is progressing."))
        elif left is not None and left <= 0:
            set_condition(status, new_condition(PROGRESSING, "False", TIMED_OUT, f"{what} has timed out progressing."))
    _copy_failure(status, replica_sets)
    return status


def _note_progress(status: Json, wanted: Json) -> None:
    """Progress renews the update time even when nothing else about the condition changes."""
    present = condition({"status": status}, PROGRESSING)
    if present is not None and present["status"] == "True":
        wanted["lastTransitionTime"] = present["lastTransitionTime"]
    drop_condition(status, PROGRESSING)
    status["conditions"].append(wanted)


def _copy_failure(status: Json, replica_sets: list[Json]) -> None:
    failures = [found for item in replica_sets if (found := condition(item, FAILURE))]
    if failures:
        found = failures[-1]
        set_condition(status, new_condition(FAILURE, found["status"], found["reason"], found["message"]))
    else:
        drop_condition(status, FAILURE)


__all__ = ["available", "counted", "deadline_left", "is_complete", "new_condition", "rollout_status", "set_condition"]
