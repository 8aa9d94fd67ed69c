"""Which places of which playbooks are tried."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Protocol

from tests.chaos.kill.run import Kill
from tests.chaos.kill.trial import Outcome

#: seconds after the beginning of a task at which it is killed, for those that last
_WITHIN = (0.05, 0.3, 1.0, 2.5)
#: more than any playbook has
_MOST = 150
#: there and back
_JOURNEY = ("region_failover", "region_failback")
#: tasks that every playbook has at least
_LEAST = 30


class Kills(Protocol):
    """Tries one place of a playbook; `stay` is for a failover alone."""

    def run(self, name: str, kill: Kill | None, stay: bool = False) -> Outcome:
        """Kill, run again, judge."""


def at(trials: Kills, playbooks: Iterable[str], kill: Kill) -> Iterator[Outcome]:
    """One place."""
    for name in playbooks:
        yield trials.run(name, kill)


def everywhere(
    trials: Kills, playbooks: Iterable[str], after: float, first: int = 1, step: int = 1
) -> Iterator[Outcome]:
    """Every `step`th task of each playbook from `first` on, until a run is over before it could be killed.

    A failover is followed by the failback from it, so that the one brings about what the other is for.
    """
    names = list(playbooks)
    rounds = [list(_JOURNEY)] if set(_JOURNEY) <= set(names) else []
    rounds += [[name] for name in names if not rounds or name not in _JOURNEY]
    for together in rounds:
        left, task = set(together), first
        while left:
            for name in (name for name in together if name in left):
                outcome = trials.run(name, Kill(task, after), stay="region_failback" in left - {name})
                yield outcome
                if not outcome.killed and (not outcome.problems or task >= _MOST):
                    left.discard(name)  # one that failed by itself may have had more tasks
            task += step


def seeded(trials: Kills, playbooks: Iterable[str], count: int, seed: int) -> Iterator[Outcome]:
    """`count` places, drawn by `seed`, one playbook after the other.

    Each run after a kill tells how many tasks its playbook has; the first place is drawn from those that all have.
    """
    draw = random.Random(seed)
    names = list(playbooks)
    lengths = dict.fromkeys(names, _LEAST)
    for number in range(count):
        name = names[number % len(names)]
        outcome = trials.run(name, Kill(draw.randint(1, lengths[name]), draw.choice((0.0, *_WITHIN))))
        lengths[name] = max(lengths[name], outcome.tasks)
        yield outcome
