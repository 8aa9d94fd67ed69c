"""One playbook killed at one place and run again, in a lab that goes on from one trial to the next."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.kill.run import Kill, Run, playbook
from tests.chaos.kill.verdict import Story, problems
from tests.chaos.kill.world import HTTPError, RecoveryError, Snapshot, World

PLAYBOOKS = ("region_failover", "region_switchover", "region_failback")


@dataclass(frozen=True)
class Outcome:
    """What one trial came to. `task` began last before the kill; `tasks` is how many a whole run has."""

    playbook: str
    kill: Kill | None
    killed: bool
    task: str
    tasks: int
    seconds: float
    problems: list[str] = field(default_factory=list)


class Trials:
    """Trials in one lab. A trial that went wrong leaves a world that nobody vouches for: the lab starts afresh."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._fresh = False
        self._away = False
        self._prefix = f"kill-{uuid.uuid4().hex[:6]}"
        self._number = 0

    def run(self, name: str, kill: Kill | None, stay: bool = False) -> Outcome:
        """Bring about what the playbook is for, kill it, run it again, look, and go back to two healthy regions.

        With `stay` a failover leaves the region that it lost returned and not rebuilt, for a failback to begin with.
        """
        if not self._fresh:
            self.world.start()
            self._fresh, self._away = True, False
        began = time.monotonic()
        try:
            outcome = self._trial(name, kill, began)
            if not outcome.problems and name == "region_failover":
                self._return(stay)
        except (subprocess.SubprocessError, RuntimeError, RecoveryError, HTTPError) as error:
            told = f"the harness failed: {error} {getattr(error, 'stderr', None) or ''}"
            outcome = Outcome(name, kill, True, "", 0, time.monotonic() - began, [told])
        if outcome.problems:
            self._afresh()
        return outcome

    def _afresh(self) -> None:
        """Have the next trial start the lab."""
        self.world.stop()
        self._fresh = False

    def _trial(self, name: str, kill: Kill | None, began: float) -> Outcome:
        if name == "region_failback" and not self._away:
            self._lose_a_region()
        self._away = False
        before = self.world.observe()
        incident, target = self._incident(name), self.world.other(before.active)
        if name == "region_failover":
            self.world.lab("break", "region", before.active)
        variables: dict[str, Any] = {"dr_incident": incident}
        first = self._play(name, variables, kill)
        runs = [first, self._play(name, variables)] if first.killed else [first]
        found = list(self._judge(name, incident, before, target, runs))
        if found:
            self._keep(incident, runs)
        task = first.tasks[-1] if first.tasks else ""
        return Outcome(name, kill, first.killed, task, len(runs[-1].tasks), time.monotonic() - began, found)

    def _judge(self, name: str, incident: str, before: Snapshot, target: str, runs: list[Run]) -> Iterator[str]:
        """What is wrong; where the last run failed, nothing but that: the world is not what the rest asks for.

        A run that was killed after it had closed its incident leaves nothing to do: the next is told that it is closed.
        """
        last = runs[-1]
        closed = len(runs) > 1 and f"Incident {incident} is already closed" in last.output
        if last.status != (2 if closed else 0):
            yield f"the last run ended with {last.status}: {last.reason}"
            return
        try:
            after = self.world.observe(*([target] if name == "region_failover" else []))
            yield from problems(self.world, Story(name, before, after, target, incident))
        except (RecoveryError, HTTPError) as error:
            yield f"the world cannot be observed: {error}"

    def _lose_a_region(self) -> None:
        """What a failback is the end of: a region was lost, another took over, and the first has returned."""
        active = self.world.observe().active
        self.world.lab("break", "region", active)
        self._must("region_failover")
        self.world.heal(active)

    def _return(self, stay: bool) -> None:
        """The lost region returns; unless it stays as it is, it becomes the standby of whichever is active."""
        self.world.heal(self.world.other(self.world.lease["holder"]))
        self._away = stay
        if stay:
            return
        try:
            self._must("region_rebuild")
        except RuntimeError as error:  # trials of region_failback report that; here it is only the way home
            print(f"     the way home failed, the lab starts afresh: {error}", file=sys.stderr, flush=True)
            self._afresh()

    def _must(self, name: str) -> None:
        run = self._play(name, {"dr_incident": self._incident(f"set-{name}")})
        if run.status != 0:
            raise RuntimeError(f"{name} ended with {run.status}: {run.reason}")

    def _play(self, name: str, variables: dict[str, Any], kill: Kill | None = None) -> Run:
        return playbook(name, self.world.directory, self.world.scratch, variables, kill)

    def _incident(self, name: str) -> str:
        self._number += 1
        return f"{self._prefix}-{self._number}-{name.replace('_', '-')}"

    def _keep(self, incident: str, runs: list[Run]) -> None:
        """What was printed, for whoever looks into it."""
        for number, run in enumerate(runs, 1):
            (self.world.scratch / f"{incident}.{number}.log").write_text(run.output, encoding="utf-8")
