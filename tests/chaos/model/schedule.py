"""One seeded schedule from its first event to its verdict."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.model.checker import Broken
from tests.chaos.model.clients import Client
from tests.chaos.model.faults import Faults
from tests.chaos.model.operators import Run, WayBack
from tests.chaos.model.region import Region
from tests.chaos.model.seams import installed
from tests.chaos.model.world import World

#: what is asked of the operators, and how often
STORIES = {"failover": 38, "switchover": 20, "rivals": 16, "failback": 14, "acceptance": 6, "way back": 8, "nothing": 6}
WARM, FAULTS_END, PATIENCE = 3.0, 18.0, 45.0


@dataclass
class Verdict:
    """What came of one seed."""

    seed: int
    broken: str
    seconds: float
    counted: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    #: seconds of the longest time with two writable primaries, where that is measured
    both: float = 0.0
    #: writes that the wrong one acknowledged meanwhile
    wrong: int = 0


@dataclass(frozen=True)
class Variant:
    """What is other than usual: for mutants, and for the classes of faults that are known to be too much."""

    timing: dict[str, float] | None = None
    drift: float | None = None
    #: the stores' clocks are as fast, and all others as slow, as `drift` allows
    opposed: bool = False
    stories: tuple[str, ...] = ()
    #: kinds of faults, instead of the usual ones
    kinds: tuple[str, ...] = ()
    stores: tuple[int, ...] = (1, 3)
    probes: bool = True
    converge: bool = True
    #: two writable primaries are measured instead of being a failure
    measure: bool = False


USUAL = Variant()


class Schedule:
    """Builds a world from a seed, breaks it, heals it, and asks whether it serves."""

    def __init__(self, seed: int, trace: bool = False, variant: Variant = USUAL) -> None:
        self.world = World(seed, trace)
        rng = self.world.rng
        self.variant = variant
        self.story = rng.choices(list(STORIES), list(STORIES.values()))[0]
        if variant.stories:
            self.story = rng.choice(variant.stories)
        timing = variant.timing or rng.choice(
            (
                {"ttl": 6.0, "allowance": 1.0, "renew": 1.0, "margin": 2.0},
                {"ttl": 6.0, "allowance": 1.0, "renew": 1.0, "margin": 2.0},
                {"ttl": 5.0, "allowance": 0.5, "renew": 1.5, "margin": 1.0},
            )
        )
        # Two clocks that drift apart by the most still agree on the TTL to within half the allowance.
        drift = rng.choice((0.0, 0.0002, 0.004, timing["allowance"] / timing["ttl"] / 4))
        drift = drift if variant.drift is None else variant.drift
        self.world.build(rng.choices((2, 3), (8, 2))[0], rng.choice(variant.stores), timing, drift, variant.opposed)
        self.world.duplicates = rng.random() < 0.3
        self.world.checker.measure = variant.measure
        self.world.probes = variant.probes
        self.faults = Faults(self.world, variant.kinds)
        self.runs = self.world.runs
        self.clients: list[Client] = []

    def run(self) -> Verdict:
        """Let it happen."""
        world = self.world
        broken = ""
        gc.disable()  # a third of the time otherwise; what a schedule leaves is collected after it
        with installed(world):
            try:
                self._live()
            except Broken as error:
                broken = str(error)
            finally:
                world.engine.close()
                gc.enable()
        world.count(f"story {self.story}")
        checker = world.checker
        return Verdict(
            world.seed, broken, world.engine.now, world.counted, world.lines, checker.both_longest, checker.wrong
        )

    def _live(self) -> None:
        world = self.world
        for region in world.regions.values():
            region.start()
            self._replicate(region)
        self.clients = [Client(world, name, name) for name in world.regions]
        self.clients.append(Client(world, "internet", None))
        world.engine.at(WARM, self._tell)
        self.faults.plan(WARM, FAULTS_END)
        self._until(FAULTS_END + 3.0)
        if not self.variant.converge:
            return
        if self.story == "failback":
            self._heal_and_converge()
            self._fail_back()
        self._heal_and_converge()
        serving = [region for region in world.regions.values() if region.database.writable]
        world.checker.finish(serving[0])

    def _replicate(self, region: Region) -> None:
        def pull() -> None:
            region.database.pull()
            self.world.engine.at(self.world.rng.uniform(0.05, 0.2), pull)

        pull()

    def _tell(self) -> None:
        """Somebody decides to act, rightly or wrongly."""
        rng, world = self.world.rng, self.world
        if self.story == "nothing":
            return
        source, *others = world.regions
        target = rng.choice(others)
        first = Run(world, "operator-1", source, target, planned=self.story == "switchover")
        first.accept = self.story == "acceptance"
        if first.accept:
            first.wait_seconds = rng.uniform(0.5, 5.0)
        first.confirm_seconds = rng.choice((0.0, rng.uniform(0.0, 6.0)))
        later = rng.uniform(0.0, 10.0)
        if first.accept:  # no receipt can come in time
            world.engine.at(later, lambda: self.faults.isolate(source, 15.0))
        self._begin(first, later)
        if self.story == "way back":
            self._begin(WayBack(world, "operator-2", target, source), later + rng.uniform(4.0, 10.0))
        if self.story == "rivals":
            pair = rng.choice(((source, target), (target, source), (source, others[-1])))
            second = Run(world, "operator-2", *pair, planned=rng.random() < 0.2)
            second.confirm_seconds = rng.choice((0.0, rng.uniform(0.0, 12.0)))
            world.count("rival")
            self._begin(second, rng.uniform(0.0, 12.0))

    def _begin(self, run: Run, later: float) -> None:
        self.runs.append(run)
        run.retries = 3
        self.world.engine.at(later, lambda: run.begin(self.world.rng.uniform(0.5, 3.0)))

    def _fail_back(self) -> None:
        """Rebuild the region that was left as a standby of the one that serves, and switch back amid new faults."""
        world = self.world
        serving = next(region for region in world.regions.values() if region.database.writable)
        home = world.regions["east"]
        if serving is home:
            return
        self._rebuild(home, serving)
        self._until(world.engine.now + 2.0)
        world.count("failback")
        self.runs.clear()
        self._begin(Run(world, "operator-1", serving.name, home.name, planned=True), world.rng.uniform(0.0, 5.0))
        self.faults.plan(world.engine.now, world.engine.now + 8.0)
        self._until(world.engine.now + 10.0)

    def _rebuild(self, home: Region, serving: Region) -> None:
        if home.database.process is not None:
            home.database.process.kill()
        home.database.copy_from(serving)
        home.start_database()
        self.world.say(home.name, f"rebuilt as a standby of {serving.name}")

    def _heal_and_converge(self) -> None:
        """After the faults the same command again converges: one region serves, and the name leads to it."""
        world = self.world
        self.faults.heal()
        for process in [process for region in world.regions.values() for process in region.processes()]:
            process.thaw()
        for run in self.runs:
            run.retries = 0
        self._until(world.engine.now + PATIENCE, lambda: self._settled() or not any(run.busy for run in self.runs))
        for _attempt in range(4):
            self._until(world.engine.now + 12.0, self._settled)
            if self._settled():
                return
            for run in [one for one in self.runs if self.story != "way back" or not one.done]:
                if "no receipt says" in run.refused or "the rest did not come" in run.refused:
                    world.count("switchover became failover")  # the remedy that the refusal names
                    run.planned = False
                run.confirm_seconds, run.wait_seconds = 0.0, None
                run.begin()
                self._until(world.engine.now + PATIENCE, lambda run=run: not run.busy)  # type: ignore[misc]
        if not self._settled():
            world.checker.broken(f"it does not converge: {self._described()}")

    def _settled(self) -> bool:
        """Nobody acts any more, one region serves, and somebody outside writes to it."""
        world = self.world
        if any(run.busy for run in self.runs) or self._pending():
            return False
        serving = [name for name, region in world.regions.items() if region.database.writable]
        return len(serving) == 1 and world.name == serving[0] and self.clients[-1].last_success > world.engine.now - 1.0

    def _pending(self) -> bool:
        """A command failed and nobody has typed it again yet."""
        return bool(self.runs) and not any(run.done for run in self.runs) and self.world.counted["story nothing"] == 0

    def _described(self) -> str:
        parts = [
            f"{name} {'writable' if one.database.writable else 'not writable'}"
            for name, one in self.world.regions.items()
        ]
        failed = "; ".join(run.refused for run in self.runs if run.refused)
        return f"{', '.join(parts)}; the name is {self.world.name}; {failed}"

    def _until(self, moment: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Run on; conditions are looked at every now and then."""
        engine, over = self.world.engine, [False]

        def look() -> None:
            over[0] = stop()
            if not over[0]:
                engine.at(0.25, look)

        engine.at(0.25, look)
        engine.run(moment, lambda: over[0])


def play(seed: int, trace: bool = False, variant: Variant = USUAL) -> Verdict:
    """Play one seed."""
    return Schedule(seed, trace, variant).run()
