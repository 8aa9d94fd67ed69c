# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why pods are not ready, in the words of the scheduler and the nodes.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass

from .kubernetes_api import Json

#: Nothing that a wait for pods could wait for puts these right.
_HOPELESS = {"InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"}
#: A pull that is tried again, unless the registry has said that there is no such image.
_PULLING = {"ErrImagePull", "ImagePullBackOff"}
_NO_SUCH_IMAGE = ("not found", "manifest unknown", "name unknown", "does not exist", "no such image")
#: Ordinary on the way to being ready.
_ON_THE_WAY = {"ContainerCreating", "PodInitializing"}
_MESSAGE = 300


@dataclass(frozen=True)
class Trouble:
    """What keeps one pod from being ready. `hopeless` troubles do not pass by themselves."""

    reason: str
    message: str
    hopeless: bool = False

    def __str__(self) -> str:
        return f"{self.reason} ({self.message})" if self.message else self.reason


def trouble_of(pod: Json) -> Trouble | None:
    """Return what keeps a pod from being ready, or None when it is ready, on its way, or leaving."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp") or is_ready(pod):
        return None
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Trouble("FailedScheduling", _short(condition.get("message") or condition.get("reason")))
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        found = _container(container)
        if found:
            return found
    if status.get("phase") == "Failed":
        return Trouble(status.get("reason") or "Failed", _short(status.get("message")))
    return None


def is_ready(pod: Json) -> bool:
    """True when a pod's Ready condition holds."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def is_finished(pod: Json) -> bool:
    """True when a pod has ended for good."""
    return (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}


def summary(troubles: t.Iterable[Trouble]) -> list[str]:
    """Say each different trouble once, with how many pods have it."""
    counted = Counter(troubles)
    return [f"{count} pod{'s' if count > 1 else ''}: {trouble}" for trouble, count in counted.most_common()]


def _container(status: Json) -> Trouble | None:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason") or "", waiting.get("message") or ""
    if not reason or reason in _ON_THE_WAY:
        return None
    if reason == "CrashLoopBackOff":
        message = _last_end(status) or message
    hopeless = reason in _HOPELESS or (reason in _PULLING and any(words in message.lower() for words in _NO_SUCH_IMAGE))
    return Trouble(reason, _short(f"container {status.get('name')}: {message}".rstrip(": ")), hopeless)


def _last_end(status: Json) -> str:
    ended = (status.get("lastState") or {}).get("terminated") or {}
    if not ended:
        return ""
    told = f"exit code {ended.get('exitCode')}, {status.get('restartCount', 0)} restarts"
    return f"{told}: {ended['message']}" if ended.get("message") else told


def _short(text: object) -> str:
    line = " ".join(str(text or "").split())
    return line[:_MESSAGE] + "..." if len(line) > _MESSAGE else line
