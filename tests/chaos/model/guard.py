"""The guard's two processes in the model: everything in them is the collection's own but fork, pipe and threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils import guard_watchdog
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_keeper import Keeper
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_link import Link
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_renewer import Renewer
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_sampler import Sampler
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_watchdog import Watchdog

from tests.chaos.model.engine import Event, Process

if TYPE_CHECKING:
    from tests.chaos.model.region import Region
    from tests.chaos.model.world import World


class ModelKeeper(Keeper):
    """A thread of the model."""

    def __init__(self, world: World, *given: Any) -> None:
        super().__init__(*given)
        self._model = world

    def start(self) -> None:
        """Start it."""
        self._model.thread(self.run)


class ModelSampler(Sampler):
    """A thread of the model."""

    def __init__(self, world: World, *given: Any) -> None:
        super().__init__(*given)
        self._model = world

    def start(self) -> None:
        """Start it."""
        self._model.thread(self.run)


class ModelLink(Link):
    """One end of the pipe pair: guard_link's judgement over the model's messages."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.process: Process | None = None
        self.other: ModelLink | None = None
        self.heard = world.engine.clock()
        self.last: dict[str, Any] = {}
        self.ended = False
        self._arrived: dict[str, Any] | None = None
        self._end = Event(world.engine)

    def say(self, message: dict[str, Any]) -> None:
        """Put it into the pipe."""
        if self.ended or self.other is None:
            return
        self.other._arrived = message

    def wait(self, seconds: float) -> None:
        """Take in what comes."""
        if not self.ended:
            self._end.wait(seconds)
        if self._arrived is not None:
            self.heard, self.last, self._arrived = self.world.engine.clock(), self._arrived, None

    def hang_up(self) -> None:
        """The other end is gone."""
        self.ended = True
        self._end.set()

    def close(self) -> None:
        """Close this end."""
        if self.other is not None:
            self.other.hang_up()


class ModelPopen:
    """The renewer, for its parent."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.pid = process.name
        self.returncode: int | None = None
        self._over = Event(process.engine)
        process.on_exit.append(self._over.set)

    def kill(self) -> None:
        """SIGKILL works on a frozen process, too."""
        self.process.kill()
        self.returncode = -9

    def terminate(self) -> None:
        """A guard that is stopped in order is not part of the schedules."""
        self.kill()

    def wait(self, _timeout: float | None = None) -> int:
        """Wait for its end."""
        self._over.wait()
        return self.returncode or 0


class ModelWatchdog(Watchdog):
    """guard_watchdog.Watchdog, with processes of the model."""

    def __init__(self, world: World, region: Region) -> None:
        self.world = world
        self.region = region
        super().__init__(region.config, "")

    def _start_renewer(self) -> Link:
        if guard_watchdog.now() - self._started < guard_watchdog._PAUSE:
            guard_watchdog.threading.Event().wait(guard_watchdog._PAUSE)
        self._started = guard_watchdog.now()
        world, ours, theirs = self.world, ModelLink(self.world), ModelLink(self.world)
        ours.other, theirs.other = theirs, ours
        process = world.engine.process(
            f"{self.region.name} renewer", self.region.host, lambda: Renewer(self.region.config, theirs).run()
        )
        process.on_exit.append(ours.hang_up)
        world.process().on_exit.append(theirs.hang_up)
        self.region.renewer = process
        self.renewer = ModelPopen(process)  # type: ignore[assignment]
        self.link = ours
        return ours
