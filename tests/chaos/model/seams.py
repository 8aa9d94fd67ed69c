"""Where the collection's code meets the machine: time, threads, signals, files, S3's client and PostgreSQL's.

`installed(world)` puts the model's in their places for the time of one schedule. The code in between is what ships.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import queue
import signal
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils import (
    clock,
    concurrently,
    fencing,
    guard_config,
    guard_fence,
    guard_keeper,
    guard_postmaster,
    guard_renewer,
    guard_sampler,
    guard_watchdog,
    heartbeat,
    heartbeat_servers,
    lease,
    object_store,
    promotion,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease_patience import Patience

from tests.chaos.model.database_client import ModelPostgres, SamplerDriver
from tests.chaos.model.engine import Event, Process, Task
from tests.chaos.model.guard import ModelKeeper, ModelSampler
from tests.chaos.model.machine import ModelHba, ModelPostmaster, ModelState

if TYPE_CHECKING:
    from tests.chaos.model.world import World

_TIMED = (clock, fencing, guard_config, guard_keeper, guard_sampler, heartbeat, lease, object_store)
_THREADED = (
    clock, concurrently, guard_fence, guard_keeper, guard_postmaster, guard_sampler, guard_watchdog, lease,
)  # fmt: skip
_LOGGING = (guard_fence, guard_keeper, guard_renewer, guard_sampler, guard_watchdog)


#: the same header again and again: only the time that it takes is changed
_parsed = functools.lru_cache(4096)(email.utils.parsedate_to_datetime)


class Thread:
    """threading.Thread, for those who make one around a function."""

    def __init__(self, world: World, target: Callable[..., Any], args: tuple[Any, ...] = (), **_rest: Any) -> None:
        self._world = world
        self._work = lambda: target(*args)
        self._task: Task | None = None

    def start(self) -> None:
        """Start it in the process of whoever starts it."""
        self._task = self._world.thread(self._work)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        if self._task is not None:
            self._task.done.wait(timeout)


class SimpleQueue:
    """queue.SimpleQueue."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._items: list[Any] = []
        self._filled = Event(world.engine)

    def put(self, item: Any) -> None:
        """Add."""
        self._items.append(item)
        self._filled.set()

    def get(self, timeout: float | None = None) -> Any:
        """Take the oldest. Raises queue.Empty."""
        if not self._items:
            self._filled.clear()
            self._filled.wait(timeout)
        if not self._items:
            raise queue.Empty
        return self._items.pop(0)


class Patiences:
    """lease_patience.Patience, one for a process."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._made: dict[Process, Patience] = {}

    def __getattr__(self, name: str) -> Any:
        process = self._world.process()
        if process not in self._made:
            self._made[process] = Patience(self._world.engine.clock)
        return getattr(self._made[process], name)


@contextlib.contextmanager
def installed(world: World) -> Iterator[None]:
    """Run the collection's code in this world."""
    replaced: list[tuple[Any, str, Any]] = []

    def put(module: Any, name: str, value: Any) -> None:
        replaced.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    for module, name, value in _places(world):
        put(module, name, value)
    try:
        yield
    finally:
        for module, name, value in reversed(replaced):
            setattr(module, name, value)


def _places(world: World) -> Iterator[tuple[Any, str, Any]]:
    engine = world.engine
    times = SimpleNamespace(
        monotonic=engine.clock,
        clock_gettime=lambda _which: engine.clock(),
        CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
        CLOCK_MONOTONIC=time.CLOCK_MONOTONIC,
    )
    threads = SimpleNamespace(
        Event=lambda: Event(engine),
        Thread=lambda **given: Thread(world, **given),
    )
    queues = SimpleNamespace(SimpleQueue=lambda: SimpleQueue(world), Empty=queue.Empty)
    signals = SimpleNamespace(
        signal=world.handle_signal, SIGTERM=signal.SIGTERM, SIGINT=signal.SIGINT, Signals=signal.Signals
    )
    for module in _TIMED:
        yield module, "time", times
    for module in _THREADED:
        yield module, "threading", threads
    for module in (lease, concurrently):
        yield module, "queue", queues
    for module in (guard_renewer, guard_watchdog):
        yield module, "signal", signals
    for module in _LOGGING:
        yield module, "log", world.say
    for module in (clock, lease, promotion):
        yield module, "utc_now", world.wall_clock
    yield object_store, "email", SimpleNamespace(utils=SimpleNamespace(parsedate_to_datetime=_parsed))
    yield lease, "_PATIENCE", Patiences(world)
    yield lease, "uuid", SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=world.unique()))
    yield object_store, "aws", SimpleNamespace(client=lambda _service, options: world.s3_client(options))
    yield guard_fence, "HbaFile", lambda path: ModelHba(world, path)
    yield guard_fence, "Postmaster", lambda path: ModelPostmaster(world, path)
    yield guard_fence, "StateDirectory", lambda path: ModelState(world, path)
    yield guard_renewer, "Keeper", lambda *given: ModelKeeper(world, *given)
    yield guard_renewer, "Sampler", lambda *given: ModelSampler(world, *given)
    yield guard_sampler, "psycopg2", SamplerDriver(world)
    for module in (fencing, promotion, heartbeat_servers):
        yield module, "Postgres", lambda options, region="": ModelPostgres(world, options, region)
