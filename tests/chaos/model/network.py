"""Messages between machines: late, lost, twice, or cut off in one direction."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.chaos.model.engine import Engine, Event

#: What a served request calls with its answer: a value, or an exception to be raised where it was asked.
Reply = Callable[[Any], None]


class NoAnswer(Exception):
    """Nothing came in time."""


@dataclass
class Quality:
    """How one direction between two machines is. Seconds, and shares of messages."""

    cut: bool = False
    delay: float = 0.0
    loss: float = 0.0


class Network:
    """Who reaches whom."""

    def __init__(self, engine: Engine, rng: random.Random, count: Callable[[str], None]) -> None:
        self.engine = engine
        self.rng = rng
        self.count = count
        self.worse: dict[tuple[str, str], Quality] = {}

    def quality(self, source: str, target: str) -> Quality:
        """The direction's entry, to be changed by faults."""
        return self.worse.setdefault((source, target), Quality())

    def heal(self) -> None:
        """Everybody reaches everybody."""
        self.worse.clear()

    def open(self, source: str, target: str) -> bool:
        """Whether a message would get there."""
        found = self.worse.get((source, target))
        return found is None or not found.cut

    def request(
        self, target: str, serve: Callable[[Reply], None], timeout: float, what: str = "", again: float = 0.0
    ) -> Any:
        """Ask `target` and return what `serve` replied there. Raises NoAnswer; then it may have been served or not.

        `again` is the share of requests that arrive twice.
        """
        task = self.engine.current
        if task is None:
            raise RuntimeError("only a task can ask")
        source = task.process.host.name
        answered = Event(self.engine)
        box: list[Any] = []

        def answer(value: Any) -> None:
            back = self._delay(target, source)
            if back is None:
                self.count(f"answer lost: {what or 'sql'}")
                return
            self.engine.at(back, lambda: (box.append(value), answered.set()))  # type: ignore[func-returns-value]

        there = self._delay(source, target)
        if there is not None:
            self.engine.at(there, lambda: serve(answer))
            if again and self.rng.random() < again:
                self.count("request twice")
                self.engine.at(there + self.rng.uniform(0.0, 2.0), lambda: serve(lambda _value: None))
        answered.wait(timeout)
        if not box:
            raise NoAnswer(what)
        if isinstance(box[0], Exception):
            raise box[0]
        return box[0]

    def _delay(self, source: str, target: str) -> float | None:
        """Seconds that a message takes; None when it never arrives."""
        if source == target:
            return 0.0003
        rng = self.rng
        base = 0.001 + 0.004 * rng.random()
        worse = self.worse.get((source, target))
        if worse is None:
            return base
        if worse.cut or (worse.loss and rng.random() < worse.loss):
            # What is on its way is sent again until it arrives: now and then, long after the sender gave up.
            late = rng.random() < 0.1
            return rng.uniform(0.5, 15.0) if late else None
        if worse.delay:
            return base + rng.expovariate(1.0 / worse.delay)
        return base
