# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits until all workloads are as they were asked for, with one watch a collection.

PRIVATE to the collection.
"""

from __future__ import annotations

import threading
import time
import typing as t
from dataclasses import dataclass, field

from .clock import Deadline
from .errors import RecoveryError, TimedOut
from .kubernetes_api import Json, KubernetesApi
from .workloads_model import Key, Observed
from .workloads_pods import is_finished, summary, trouble_of
from .workloads_watch import Mirror, mirrors

#: How long a hopeless trouble has to last before the wait is given up: a status may be older than its cure.
_HOPELESS_SECONDS = 5.0


@dataclass
class Goal:
    """One workload's way to being ready, and how far it is."""

    key: Key
    replicas: int
    minimum: int | None = None
    #: whether pods above `replicas` have to be gone, not only asked to go
    shrinks: bool = False
    #: None until the workload was as asked for; then seconds since the wait began
    seconds: float | None = None
    observed: Observed | None = None
    missing: str = "it was not seen yet"
    problems: list[str] = field(default_factory=list)

    @property
    def ready(self) -> int | None:
        """Pods that are ready, as last seen."""
        return None if self.observed is None else self.observed.ready


class Waiting:
    """One wait for all workloads of a task."""

    def __init__(self, api: KubernetesApi, goals: t.Sequence[Goal], timeout: float) -> None:
        self._api = api
        self._goals = goals
        self._deadline = Deadline(timeout)
        self._changed = threading.Condition()
        self._hopeless_since: dict[tuple[Key, str], float] = {}

    def run(self) -> None:
        """Return when all goals hold at one time. Raises TimedOut, or RecoveryError when one cannot come true."""
        collections = [goal.key.collection for goal in self._goals]
        pods = [_pods_path(goal.key) for goal in self._goals]
        with mirrors(self._api, [*collections, *pods], self._changed, self._deadline) as seen:
            self._until_all_hold(seen)

    def _until_all_hold(self, seen: t.Mapping[str, Mirror]) -> None:
        with self._changed:
            while not self._look(seen):
                if self._deadline.expired:
                    raise TimedOut(self._timed_out(seen))
                # Woken by events; the second is for troubles that only time makes hopeless.
                self._changed.wait(min(1.0, self._deadline.remaining))

    def _look(self, seen: t.Mapping[str, Mirror]) -> bool:
        for goal in self._goals:
            mirror, pods = seen[goal.key.collection], seen[_pods_path(goal.key)]
            if not mirror.complete:
                continue
            raw = mirror.objects.get(goal.key.name)
            if raw is None:
                raise RecoveryError(f"Failed to wait for {goal.key}: it was deleted meanwhile.")
            self._judge(goal, Observed(raw), pods)
        return all(goal.seconds is not None for goal in self._goals)

    def _judge(self, goal: Goal, observed: Observed, pods: Mirror) -> None:
        mine = [pod for pod in pods.objects.values() if observed.selects(pod)]
        goal.observed = observed
        goal.missing = not_yet(goal, observed, mine if pods.complete else None)
        if not goal.missing:
            goal.seconds = round(self._deadline.elapsed, 3) if goal.seconds is None else goal.seconds
            goal.problems = []
            return
        goal.seconds = None
        troubles = [(pod, trouble) for pod in mine if (trouble := trouble_of(pod))]
        goal.problems = [*summary(trouble for _pod, trouble in troubles), *observed.complaints]
        hopeless = {pod["metadata"]["name"] for pod, one in troubles if one.hopeless and observed.made(pod)}
        self._give_up_on(goal, hopeless)

    def _give_up_on(self, goal: Goal, hopeless: set[str]) -> None:
        """Raise when so many pods are beyond hope that too few are left."""
        now = time.monotonic()
        for known in [key for key in self._hopeless_since if key[0] == goal.key and key[1] not in hopeless]:
            del self._hopeless_since[known]
        lasting = sum(
            now - self._hopeless_since.setdefault((goal.key, name), now) >= _HOPELESS_SECONDS for name in hopeless
        )
        if lasting > goal.replicas - (goal.replicas if goal.minimum is None else goal.minimum):
            raise RecoveryError(
                f"Failed to wait for {goal.key}: {'; '.join(goal.problems)}. This does not pass by itself."
            )

    def _timed_out(self, seen: t.Mapping[str, Mirror]) -> str:
        late = [goal for goal in self._goals if goal.seconds is None]
        told = "; ".join(f"{goal.key}: {', '.join([goal.missing, *goal.problems])}" for goal in late)
        errors = {str(mirror.error) for mirror in seen.values() if mirror.error}
        count = f"{len(late)} of {len(self._goals)} workloads"
        return " ".join([f"Timed out after {self._deadline.seconds:g} s waiting for {count}. {told}.", *errors])


def not_yet(goal: Goal, observed: Observed, pods: t.Sequence[Json] | None) -> str:
    """Return what a workload still lacks, or an empty text when it is as asked for."""
    wanted = max(goal.replicas, observed.replicas) if not goal.shrinks else goal.replicas
    if observed.replicas != wanted:
        return f"{observed.replicas} replicas are asked for, {wanted} were: somebody else changed it"
    if not observed.seen:
        return "the controller has not acted on it"
    needed = wanted if goal.minimum is None else min(goal.minimum, wanted)
    fresh = max(0, observed.ready - observed.outdated)
    if fresh < needed:
        return f"{fresh} of {needed} pods are ready"
    if goal.minimum is None and (observed.outdated or observed.current != wanted):
        return f"{observed.current} pods exist, {observed.outdated} of an older template; {wanted} are asked for"
    return _still_ending(pods, wanted) if goal.shrinks else ""


def _still_ending(pods: t.Sequence[Json] | None, wanted: int) -> str:
    if pods is None:
        return "its pods were not seen yet"
    left = sum(not is_finished(pod) for pod in pods) - wanted
    return f"{left} pods are still ending" if left > 0 else ""


def _pods_path(key: Key) -> str:
    return f"/api/v1/namespaces/{key.namespace}/pods"
