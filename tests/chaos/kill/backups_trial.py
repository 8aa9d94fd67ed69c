"""A backup or a validation killed at one place and run again, in a lab that archives."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from tests.chaos.kill.aged import plant
from tests.chaos.kill.backups import MINIMUM, SERVICE, Backups
from tests.chaos.kill.backups_verdict import BackupStory, after_the_kill, at_the_end
from tests.chaos.kill.run import Kill, Run, playbook
from tests.chaos.kill.trial import Outcome
from tests.chaos.kill.world import HTTPError, RecoveryError, World

PLAYBOOKS = ("backup", "backup_validation")
#: of each kind of work one that is quick: files, a clone, and a cluster restored from pgBackRest (`database`)
COMPONENTS = ("monitoring", "configuration", "database")
_EVERYTHING = {"backup": {"dr_take": "all", "postgresql_backup_type": "incr"}, "backup_validation": {"dr_prove": "all"}}
#: days after which a lab's points have expired, and more
_EXPIRED = 40


class BackupTrials:
    """Trials in one lab. A trial that went wrong leaves a world that nobody vouches for: the lab starts afresh."""

    def __init__(self, world: World, components: tuple[str, ...] = COMPONENTS) -> None:
        """`components` limits what is taken and proven; `database` is pgBackRest's, the others are sealed in stores."""
        self.world = world
        self._limit = f"({'|'.join(map(re.escape, components))})"
        self._physical = "database" in components
        self.backups = Backups(world, tuple(one for one in components if one != "database"))
        self._fresh = False
        self._number = 0

    def run(self, name: str, kill: Kill | None, stay: bool = False) -> Outcome:
        """Kill the playbook, look, run it again, and look closely. `stay` means nothing here."""
        del stay
        if not self._fresh:
            self._begin()
        began = time.monotonic()
        self._number += 1
        try:
            outcome = self._trial(name, kill, began)
        except (subprocess.SubprocessError, RuntimeError, RecoveryError, HTTPError) as error:
            told = f"the harness failed: {error} {getattr(error, 'stderr', None) or ''}"
            outcome = Outcome(name, kill, True, "", 0, time.monotonic() - began, [told])
        if outcome.problems:
            self.world.stop()
            self._fresh = False
        return outcome

    def _begin(self) -> None:
        """Start a lab with as many points as a prune has to leave, the newest of them proven."""
        self.world.start()
        for component in self.backups.components:
            for days in range(1, MINIMUM):
                self._plant(component, days)
        for name in PLAYBOOKS:
            run = self._play(name)
            if run.status != 0:
                raise RuntimeError(f"the first {name} ended with {run.status}: {run.reason}")
        self._fresh = True

    def _plant(self, component: str, days: float) -> str:
        return plant(self.backups.stores, self.backups.signing_key, SERVICE, component, days)

    def _trial(self, name: str, kill: Kill | None, began: float) -> Outcome:
        expired = [self._plant(one, _EXPIRED) for one in self.backups.components] if name == "backup" else []
        story = BackupStory(name, self.backups.look(), expired, self._physical, self.world.lease["holder"])
        first = self._play(name, kill)
        found = list(after_the_kill(self.backups, story)) if first.killed else []
        runs = [first, self._play(name)] if first.killed else [first]
        found += self._judge(story, runs)
        if found:
            self._keep(name, runs)
        task = first.tasks[-1] if first.tasks else ""
        return Outcome(name, kill, first.killed, task, len(runs[-1].tasks), time.monotonic() - began, found)

    def _judge(self, story: BackupStory, runs: list[Run]) -> Iterator[str]:
        if runs[-1].status != 0:
            yield f"the last run ended with {runs[-1].status}: {runs[-1].reason}"
        yield from at_the_end(self.backups, story)

    def _play(self, name: str, kill: Kill | None = None) -> Run:
        variables: dict[str, Any] = {"dr_component": self._limit, **_EVERYTHING[name]}
        return playbook(name, self.world.directory, self.world.scratch, variables, kill)

    def _keep(self, name: str, runs: list[Run]) -> None:
        """What was printed, for whoever looks into it."""
        for number, run in enumerate(runs, 1):
            log = self.world.scratch / f"{name}-{self._number}.{number}.log"
            log.write_text(run.output, encoding="utf-8")
