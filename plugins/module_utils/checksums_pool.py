# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Work on many files by all cores: the largest first, so that no core is left with a big one at the end.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import queue
import threading
import typing as t

from .errors import RecoveryError

J = t.TypeVar("J")
R = t.TypeVar("R")


class Stopped(Exception):
    """The work is not wanted any more."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool(t.Generic[J, R]):
    """Runs `work` on each job in threads. `stopping` is set as soon as the results are not wanted any more."""

    def __init__(self, work: t.Callable[[J], R], workers: int) -> None:
        self.stopping = threading.Event()
        self._work = work
        self._workers = workers
        self._results: queue.SimpleQueue[tuple[J, R | Exception]] = queue.SimpleQueue()

    def results(
        self, jobs: t.Iterable[J], idle: t.Callable[[], None], every: float
    ) -> t.Iterator[tuple[J, R | RecoveryError]]:
        """Yield each job with its result, or with the RecoveryError that it raised, in the order in which they end.

        `idle` is called at least every `every` seconds, in the caller's thread. Any other exception is raised here.
        """
        todo: queue.SimpleQueue[J] = queue.SimpleQueue()
        count = 0
        for job in jobs:
            todo.put(job)
            count += 1
        threads = [threading.Thread(target=self._run, args=(todo,)) for _number in range(min(self._workers, count))]
        try:
            for thread in threads:
                thread.start()
            while count:
                idle()
                try:
                    job, got = self._results.get(timeout=every)
                except queue.Empty:
                    continue
                if isinstance(got, Exception) and not isinstance(got, RecoveryError):
                    raise got
                count -= 1
                yield job, got
        finally:
            self.stopping.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()

    def _run(self, todo: queue.SimpleQueue[J]) -> None:
        while not self.stopping.is_set():
            try:
                job = todo.get_nowait()
            except queue.Empty:
                return
            try:
                self._results.put((job, self._work(job)))
            except Exception as error:  # goes on in the caller's thread
                self._results.put((job, error))
