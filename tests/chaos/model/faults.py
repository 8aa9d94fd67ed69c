"""What goes wrong: a seed decides what, where, when and for how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.chaos.model.engine import Process

if TYPE_CHECKING:
    from tests.chaos.model.world import World

#: weight of each kind
KINDS = {
    "partition": 3, "cut_witness": 3, "one_way": 3, "cut_regions": 2, "cut_operator": 2, "slow_link": 3,
    "store_down": 3, "store_slow": 2, "store_throttles": 2, "store_forgets": 1,
    "freeze_guard": 4, "kill_guard": 3, "catch_guard": 3, "freeze_postgres": 3, "kill_postgres": 2, "crash": 4,
    "kill_operator": 4, "freeze_operator": 3, "catch_operator": 3,
    "clock_step": 2, "slow_fence": 4, "full_disk": 1, "replay_paused": 3, "replay_lags": 2,
}  # fmt: skip


def _role(process: Process) -> str:
    return "operator" if process.name.startswith("operator") else process.name.rsplit(" ", 1)[-1]


class Faults:
    """Sets off faults, and takes them back at the end."""

    def __init__(self, world: World, kinds: tuple[str, ...] = ()) -> None:
        self.world = world
        self.kinds = dict.fromkeys(kinds, 1) or KINDS
        world.engine.pausable = "pause_machine" in self.kinds
        self.rng: random.Random = world.rng
        self._undo: list[Callable[[], None]] = []
        #: one of a guard's two processes is hurt in a schedule, never both: docs/development.md, "Chaos"
        self._victims = {name: self.rng.choice(("renewer", "watchdog")) for name in world.regions}
        self._operators = ("operator-1", "operator-2")

    def plan(self, begin: float, end: float) -> None:
        """Draw the faults of one stretch of time."""
        rng = self.rng
        kinds = rng.choices(list(self.kinds), list(self.kinds.values()), k=rng.randint(2, 6))
        for kind in kinds:
            moment = rng.uniform(begin, end)
            span = min(rng.choice((0.3, 1.0, 3.0, 8.0, 20.0)) * rng.uniform(0.5, 1.5), end + 3.0 - moment)
            self.world.engine.at(moment - self.world.engine.now, lambda kind=kind, span=span: self._set_off(kind, span))  # type: ignore[misc]

    def heal(self) -> None:
        """Take everything back."""
        undo, self._undo = self._undo, []
        for call in reversed(undo):
            call()
        self.world.network.heal()
        self.world.traps.clear()
        self.world.say("faults", "healed")

    def _set_off(self, kind: str, span: float) -> None:
        self.world.count(kind)
        getattr(self, f"_{kind}")(span)

    def _for(self, span: float, undo: Callable[[], None]) -> None:
        self._undo.append(undo)

        def over() -> None:
            if undo in self._undo:
                self._undo.remove(undo)
                undo()

        self.world.engine.at(span, over)

    def _region(self) -> str:
        """A region; the one that serves more often than not."""
        serving = [name for name, one in self.world.regions.items() if one.database.writable]
        return serving[0] if serving and self.rng.random() < 0.6 else self.rng.choice(list(self.world.regions))

    def _cut(self, pairs: list[tuple[str, str]], span: float, what: str) -> None:
        network = self.world.network
        changed = [network.quality(*pair) for pair in pairs if pair[0] != pair[1]]
        for one in changed:
            one.cut = True
        self.world.say("fault", f"{what} cut for {span:.1f} s")

        def heal() -> None:
            for one in changed:
                one.cut = False

        self._for(span, heal)

    def _both(self, here: str, there: list[str]) -> list[tuple[str, str]]:
        return [pair for other in there for pair in ((here, other), (other, here))]

    def _partition(self, span: float) -> None:
        self.isolate(self._region(), span)

    def isolate(self, region: str, span: float) -> None:
        """Cut a region off from everybody."""
        self._cut(self._both(region, list(self.world.hosts)), span, region)

    def _cut_witness(self, span: float) -> None:
        region = self._region()
        self._cut(self._both(region, list(self.world.stores)), span, f"{region} - witness")

    def _one_way(self, span: float) -> None:
        region, hosts = self._region(), list(self.world.hosts)
        others = hosts if self.rng.random() < 0.5 else list(self.world.stores)
        outward = self.rng.random() < 0.5
        pairs = [(region, other) if outward else (other, region) for other in others]
        self._cut(pairs, span, f"{'from' if outward else 'to'} {region}")

    def _cut_regions(self, span: float) -> None:
        region = self._region()
        self._cut(self._both(region, list(self.world.regions)), span, f"{region} - regions")

    def _cut_operator(self, span: float) -> None:
        operator = self.rng.choice(self._operators)
        others = self.rng.choice((list(self.world.hosts), list(self.world.stores), list(self.world.regions)))
        self._cut(self._both(operator, others), span, operator)

    def _slow_link(self, span: float) -> None:
        here = self.rng.choice([*self.world.regions, "operator-1"])
        delay, loss = self.rng.uniform(0.05, 1.0), self.rng.choice((0.0, 0.1, 0.4))
        changed = [self.world.network.quality(*pair) for pair in self._both(here, list(self.world.stores))]
        for one in changed:
            one.delay, one.loss = delay, loss
        self.world.say("fault", f"{here} - witness {delay:.2f} s late, {loss:.0%} lost, for {span:.1f} s")

        def heal() -> None:
            for one in changed:
                one.delay = one.loss = 0.0

        self._for(span, heal)

    def _store(self, name: str, value: object, usual: object, span: float) -> None:
        store = self.world.stores[self.rng.choice(list(self.world.stores))]
        setattr(store, name, value)
        self.world.say("fault", f"{store.name}: {name} = {value} for {span:.1f} s")
        self._for(span, lambda: setattr(store, name, usual))

    def _store_down(self, span: float) -> None:
        self._store("up", False, True, span)

    def _store_slow(self, span: float) -> None:
        self._store("slow", self.rng.uniform(0.5, 5.0), 0.0, span)

    def _store_throttles(self, span: float) -> None:
        self._store("throttling", True, False, span)

    def _store_forgets(self, _span: float) -> None:
        """One of three loses what it had, once: of fewer nobody could do without it."""
        if len(self.world.stores) < 3 or self.world.counted["store_forgets"] > 1:
            return
        store = self.rng.choice(list(self.world.stores.values()))
        store.objects.clear()
        self.world.say("fault", f"{store.name} lost its objects")

    def _guard(self) -> tuple[str, Process | None]:
        region = self.world.regions[self._region()]
        victim = self._victims[region.name]
        return f"{region.name} {victim}", region.renewer if victim == "renewer" else region.watchdog

    def _freeze(self, process: Process | None, span: float) -> None:
        if process is None or not process.alive or process.frozen:
            return
        self.world.say("fault", f"{process.name} frozen for {span:.1f} s")
        self.world.count(f"frozen: {_role(process)}")
        process.freeze()
        self.world.look()
        self._for(span, process.thaw)

    def _freeze_guard(self, span: float) -> None:
        self._freeze(self._guard()[1], span)

    def _kill(self, process: Process | None) -> None:
        if process is not None and process.alive:
            self.world.say("fault", f"{process.name} killed")
            self.world.count(f"killed: {_role(process)}")
            process.kill()

    def _kill_guard(self, _span: float) -> None:
        self._kill(self._guard()[1])

    def _catch_guard(self, span: float) -> None:
        """Freeze or kill it in the middle of an effect."""
        name, _process = self._guard()
        step = self.rng.choice(("open", "opened", "close", "reload", "remember", "pg_controldata"))
        deadly = self.rng.random() < 0.4
        self.world.traps[name, step] = lambda process: self._kill(process) if deadly else self._freeze(process, span)

    def _freeze_postgres(self, span: float) -> None:
        self._freeze(self.world.regions[self._region()].database.process, span)

    def _kill_postgres(self, _span: float) -> None:
        region = self.world.regions[self._region()]
        self._kill(region.database.process)
        self.world.engine.at(self.rng.uniform(0.2, 3.0), region.start_database)

    def _crash(self, span: float) -> None:
        region = self.world.regions[self._region()]
        if not region.up:
            return
        self.world.say("fault", f"{region.name} lost for {span:.1f} s")
        region.crash()
        self._for(span, region.start)

    def _operator(self) -> Process | None:
        running = [run.process for run in self.world.runs if run.busy]
        return self.rng.choice(running) if running else None

    def _kill_operator(self, _span: float) -> None:
        self._kill(self._operator())

    def _freeze_operator(self, span: float) -> None:
        self._freeze(self._operator(), span)

    def _catch_operator(self, span: float) -> None:
        step = self.rng.choice(("claim", "fence", "promote", "traffic"))
        deadly = self.rng.random() < 0.5
        self.world.traps[self.rng.choice(self._operators), step] = lambda process: (
            self._kill(process) if deadly else self._freeze(process, span)
        )

    def _clock_step(self, _span: float) -> None:
        host = self.world.hosts[self.rng.choice(list(self.world.hosts))]
        host.wall_step += self.rng.choice((-300.0, -2.0, 2.0, 300.0, 86400.0))

    def _slow_fence(self, span: float) -> None:
        database = self.world.regions[self._region()].database
        database.stop_seconds, database.quit_seconds = self.rng.uniform(0.5, 30.0), self.rng.uniform(0.03, 20.0)
        self.world.say("fault", f"{database.region.name}: PostgreSQL stops slowly")

        def heal() -> None:
            database.stop_seconds, database.quit_seconds = 0.1, 0.03

        self._for(span + 5.0, heal)

    def _full_disk(self, span: float) -> None:
        """Whoever makes room starts the server, where it could not be: a start needs to write, too."""
        region = self.world.regions[self._region()]
        region.machine.disk_full = True
        self.world.say("fault", f"{region.name}: the guard's disk is full for {span:.1f} s")

        def heal() -> None:
            region.machine.disk_full = False
            region.start_database()

        self._for(span, heal)

    def _replay_paused(self, span: float) -> None:
        for region in self.world.regions.values():
            if region.database.in_recovery:
                database = region.database
                database.replay_paused = True
                self.world.say("fault", f"{region.name}: replay paused for {span:.1f} s")
                self._for(span, lambda database=database: setattr(database, "replay_paused", False))  # type: ignore[misc]

    def _replay_lags(self, span: float) -> None:
        database = self.world.regions[self._region()].database
        database.replay_lag = self.rng.uniform(0.2, 4.0)
        self._for(span, lambda: setattr(database, "replay_lag", 0.0))

    # What follows is too much by design: docs/development.md, "Chaos". None of it is among the usual kinds.

    def _freeze_both_guards(self, span: float) -> None:
        """Both processes of a guard, and not the server that it guards."""
        region = self.world.regions[self._region()]
        self._freeze(region.watchdog, span)
        self._freeze(region.renewer, span)

    def _freeze_all(self, span: float) -> None:
        """Guard and server together, as a control group that is frozen; the machine's clocks go on."""
        for process in self.world.regions[self._region()].processes():
            self._freeze(process, span)

    def _pause_machine(self, span: float) -> None:
        """A hypervisor pauses the machine, and its clocks with it."""
        region = self.world.regions[self._region()]
        if region.host.paused:
            return
        region.host.pause(True)
        stopped = region.processes()
        self._freeze_all(span)

        def go_on() -> None:
            region.host.pause(False)
            for process in stopped:
                process.thaw()

        self._for(span, go_on)

    def _witness_goes_back(self, _span: float) -> None:
        """All stores are restored from an older backup, once every guard has seen the newest epoch."""
        newest = max(self.world.truth.epoch.values(), default=0)
        if all(region.machine.memory.highest_epoch >= newest for region in self.world.regions.values()):
            for store in self.world.stores.values():
                store.go_back()
            self.world.say("fault", "the witness was restored from an older backup")
