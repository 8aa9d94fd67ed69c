"""Virtual time: processes and threads as greenlets, one at a time, in an order that a seed decides.

Code that blocks (the collection's own, unchanged) runs in a task. Whatever it blocks on ends up in `Engine.block`,
which hands over to whoever is next. A process may be frozen (its tasks resume when it thaws, and find that time went
on) or killed (they never resume, not even for their `finally`).
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import greenlet
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError


class Host:
    """A machine: its monotonic clock has an offset and a rate of its own, its wall clock may step."""

    def __init__(self, engine: Engine, name: str, offset: float = 0.0, rate: float = 1.0) -> None:
        self.engine = engine
        self.name = name
        self.rate = rate
        self.wall_step = 0.0
        self._shown = offset
        self._since = engine.now
        self.paused = False
        self._on_resume: list[Callable[[], None]] = []

    def clock(self) -> float:
        """What time.monotonic() shows on this machine."""
        if self.paused:
            return self._shown
        return self._shown + (self.engine.now - self._since) * self.rate

    def pause(self, paused: bool) -> None:
        """A hypervisor stops the machine, and its clocks with it, or lets it go on."""
        self._shown, self._since, self.paused = self.clock(), self.engine.now, paused
        if not paused:
            waiting, self._on_resume = self._on_resume, []
            for call in waiting:
                self.engine.at(0.0, call)

    def alarm(self, shown: float, call: Callable[[], None]) -> None:
        """Call once the machine's clock shows this."""
        left = shown - self.clock()
        if left > 1e-9 and not self.paused:
            self.engine.at(left / self.rate, lambda: self.alarm(shown, call))
        elif left > 1e-9:
            self._on_resume.append(lambda: self.alarm(shown, call))
        else:
            call()


class Process:
    """One process of the operating system."""

    def __init__(self, engine: Engine, name: str, host: Host) -> None:
        self.engine = engine
        self.name = name
        self.host = host
        self.alive = True
        self.frozen = False
        self.last_words = ""
        self.on_exit: list[Callable[[], None]] = []
        self.on_thaw: list[Callable[[], None]] = []
        self._late: list[tuple[Task, int, bool]] = []

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT: everything that came due meanwhile happens now."""
        if not self.frozen or not self.alive:
            return
        self.frozen = False
        late, self._late = self._late, []
        for task, token, woken in late:
            self.engine.at(0.0, partial(task.resume, token, woken))
        for call in list(self.on_thaw):
            call()

    def kill(self) -> None:
        """SIGKILL, or the end of its main task."""
        if self.alive:
            self.alive = False
            for call in list(self.on_exit):
                call()

    def defer(self, task: Task, token: int, woken: bool) -> None:
        """Keep what comes due while the process is frozen."""
        self._late.append((task, token, woken))


class Task:
    """One thread."""

    def __init__(self, engine: Engine, process: Process, work: Callable[[], Any]) -> None:
        self.engine = engine
        self.process = process
        self.token = 0
        self.woken = False
        self.finished = False
        self.done = Event(engine)
        self.greenlet = greenlet.greenlet(lambda: self._run(work), engine.hub)

    def _run(self, work: Callable[[], Any]) -> None:
        work()
        self.finished = True
        self.done.set()

    def resume(self, token: int, woken: bool) -> None:
        """Go on after block(); a token that was used already is a wake that came too late."""
        if token != self.token or not self.process.alive or self.engine.closed:
            return
        if self.process.frozen:
            self.process.defer(self, token, woken)
            return
        self.token += 1
        self.woken = woken
        self.engine.current, before = self, self.engine.current
        try:
            self.greenlet.switch()
        finally:
            self.engine.current = before


class Engine:
    """The queue of what happens when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.current: Task | None = None
        self.hub = greenlet.getcurrent()
        self.closed = False
        #: machines may be paused with their clocks
        self.pausable = False
        self.tasks: list[Task] = []
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    def at(self, seconds: float, call: Callable[[], None]) -> None:
        """Call `seconds` from now."""
        heapq.heappush(self._queue, (self.now + seconds, next(self._number), call))

    def run(self, until: float, stop: Callable[[], bool]) -> None:
        """Let things happen until that time, or until `stop`."""
        while self._queue and not stop():
            moment, _number, call = heapq.heappop(self._queue)
            if moment > until:
                heapq.heappush(self._queue, (moment, next(self._number), call))
                break
            self.now = moment
            call()

    def start(self, process: Process, work: Callable[[], Any]) -> Task:
        """Start a thread in a process."""
        task = Task(self, process, work)
        self.tasks.append(task)
        self.at(0.0, lambda: task.resume(0, True))
        return task

    def process(self, name: str, host: Host, work: Callable[[], Any]) -> Process:
        """Start a process; it ends with its first thread."""
        process = Process(self, name, host)

        def main() -> None:
            try:
                work()
            except (OSError, RecoveryError) as error:  # as the interpreter ends with a traceback
                process.last_words = f"{type(error).__name__}: {error}"
            process.kill()

        self.start(process, main)
        return process

    def block(self, seconds: float | None) -> bool:
        """Let others run until the task is woken (True) or `seconds` of its machine's clock have passed (False)."""
        task = self.current
        if task is None or self.closed:
            raise greenlet.GreenletExit
        token = task.token
        if seconds is not None:
            host, seconds = task.process.host, max(1e-6, seconds)
            if self.pausable:
                shown = host.clock() + seconds
                self.at(seconds / host.rate, lambda: host.alarm(shown, lambda: task.resume(token, False)))
            else:
                self.at(seconds / host.rate, partial(task.resume, token, False))
        self.hub.switch()
        return task.woken

    def sleep(self, seconds: float) -> None:
        """Block for a time."""
        self.block(seconds)

    def clock(self) -> float:
        """The monotonic clock of whoever asks."""
        return self.current.process.host.clock() if self.current else self.now

    def close(self) -> None:
        """Forget everything; tasks that still wait end without doing anything more."""
        self.closed = True
        self._queue.clear()
        self.tasks.clear()


class Event:
    """threading.Event."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.happened = False
        self._waiting: list[tuple[Task, int]] = []

    def is_set(self) -> bool:
        """Whether it happened."""
        return self.happened

    def clear(self) -> None:
        """Make it not have happened."""
        self.happened = False

    def set(self) -> None:
        """Wake who waits."""
        self.happened = True
        waiting, self._waiting = self._waiting, []
        for task, token in waiting:
            self.engine.at(0.0, partial(task.resume, token, True))

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it happened, at most `timeout` seconds."""
        if not self.happened:
            task = self.engine.current
            if task is None:
                raise greenlet.GreenletExit
            self._waiting.append((task, task.token))
            self.engine.block(timeout)
        return self.happened
