"""Waiting on conditions, and doing independent work side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from lab.errors import LabError

T = TypeVar("T")


def until(observe: Callable[[], T | None], what: str, timeout: float = 30.0, interval: float = 0.05) -> T:
    """The first true value of ``observe``. It may raise LabError for what will never come true.

    Raises LabError naming ``what`` after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = observe()
        if found:
            return found
        left = deadline - time.monotonic()
        if left <= 0:
            raise LabError(f"Timed out after {timeout:g} s waiting for {what}.")
        threading.Event().wait(min(interval, left))


@dataclass(frozen=True)
class Step:
    """One piece of work, and the names of those that have to be done before it."""

    name: str
    action: Callable[[], None]
    needs: tuple[str, ...] = ()
    #: what to tell people once it is done; nothing when empty
    done: str = ""


def run_steps(steps: list[Step], report: Callable[[str], None], workers: int = 12) -> None:
    """Run every step as soon as what it needs is done; ``report`` gets each step's ``done`` text.

    The first failure lets the steps that are under way end, starts no others, and is raised.
    """
    waiting = {step.name: step for step in steps}
    unknown = {need for step in steps for need in step.needs} - waiting.keys()
    if unknown or len(waiting) != len(steps):
        raise LabError(f"Failed to order the steps: unknown or repeated names {sorted(unknown)}.")
    done: set[str] = set()
    running: dict[Future[None], Step] = {}
    failure: BaseException | None = None
    with ThreadPoolExecutor(workers) as pool:
        while True:
            if failure is None:
                for step in [step for step in waiting.values() if done.issuperset(step.needs)]:
                    running[pool.submit(step.action)] = waiting.pop(step.name)
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step = running.pop(future)
                error = future.exception()
                if error is not None:
                    failure = failure or error
                    continue
                done.add(step.name)
                if step.done:
                    report(step.done)
    if failure is not None:
        raise failure
    if waiting:
        raise LabError(f"Failed to order the steps: {', '.join(sorted(waiting))} wait for each other.")
