# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits until the workloads among manifests have rolled out.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .clock import Wait
from .errors import RecoveryError
from .kubernetes_api import KubernetesApi
from .manifests_entry import Entry
from .workloads_model import Key
from .workloads_wait import Goal, Waiting

_AWAITED = ("Deployment.apps", "StatefulSet.apps")


class Rollout:
    """The wait for all workloads of a task, and what is known of it however it ends."""

    def __init__(self, api: KubernetesApi, entries: t.Sequence[Entry]) -> None:
        self._api = api
        mine = [entry for entry in entries if str(entry.manifest.identity.kind) in _AWAITED]
        self.goals = [_goal(entry) for entry in mine]
        others = [entry for entry in entries if str(entry.manifest.identity.kind) == "DaemonSet.apps"]
        self.unverified = [f"{entry.manifest.identity}: its rollout was not awaited" for entry in others]
        self.waits: list[dict[str, t.Any]] = []
        self.observed = False

    def run(self, timeout: float) -> None:
        """Wait. Raises TimedOut, or RecoveryError when a rollout cannot succeed."""
        wait = Wait("pods_ready")
        try:
            if self.goals:
                with wait:
                    Waiting(self._api, self.goals, timeout).run()
                self.waits = [wait.as_dict()]
            self.observed = True
        except RecoveryError:
            self.waits = [wait.as_dict()]
            raise

    def workloads(self) -> dict[str, t.Any]:
        """What each workload had at the end of the wait."""
        return {str(goal.key): {"ready": goal.ready, "seconds": goal.seconds} for goal in self.goals}


def _goal(entry: Entry) -> Goal:
    identity = entry.manifest.identity
    shown = entry.after or entry.before or entry.manifest.raw
    replicas = int((shown.get("spec") or {}).get("replicas", 1))
    return Goal(Key(identity.namespace, identity.kind.name, identity.name), replicas)
