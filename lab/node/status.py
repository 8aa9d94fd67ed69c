"""What a pod's status says of its containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.node.container import Container, timestamp

Document = dict[str, Any]


def container_status(container: Container, init: bool = False) -> Document:
    """One entry of containerStatuses; an init container is ready once it has succeeded."""
    return {
        "name": container.spec["name"],
        "image": container.spec["image"],
        "imageID": container.image_id,
        "containerID": container.container_id,
        "state": container.state,
        "lastState": container.last_state,
        "ready": container.finished == 0 if init else container.ready,
        "started": container.started,
        "restartCount": container.restarts,
    }


def pod_phase(containers: Sequence[Container]) -> str:
    """The phase of a pod whose init containers are done."""
    codes = [container.finished for container in containers]
    if None not in codes:
        return "Failed" if any(codes) else "Succeeded"
    fresh = [c for c in containers if "waiting" in c.state and not c.last_state]
    return "Pending" if fresh else "Running"


def pod_conditions(before: Sequence[Document], containers: Sequence[Container], initialized: bool) -> list[Document]:
    """The conditions that a node sets; each keeps the time of its last transition."""
    unready = [c.spec["name"] for c in containers if not c.ready]
    done = all(c.finished is not None for c in containers)
    problem: Document = {}
    if unready:
        words = ("PodCompleted", "") if done else ("ContainersNotReady", f"containers with unready status: {unready}")
        problem = {"reason": words[0], "message": words[1]}
    states = {
        "PodScheduled": (True, {}),
        "PodReadyToStartContainers": (True, {}),
        "Initialized": (initialized, {} if initialized else {"reason": "ContainersNotInitialized"}),
        "ContainersReady": (not unready, problem),
        "Ready": (not unready and initialized, problem),
    }
    known = {condition["type"]: condition for condition in before}
    return [_condition(kind, value, why, known.get(kind)) for kind, (value, why) in states.items()]


def _condition(kind: str, value: bool, why: Document, before: Document | None) -> Document:
    status = "True" if value else "False"
    since = before["lastTransitionTime"] if before and before["status"] == status else timestamp()
    # A merge keeps what it is not told: the reason of yesterday must be taken away by name.
    return {"type": kind, "status": status, "lastTransitionTime": since, "reason": None, "message": None, **why}
