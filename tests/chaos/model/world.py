"""Everything that one schedule happens to: machines, network, stores, regions, names, clients and the checker."""

from __future__ import annotations

import collections
import datetime as dt
import random
from typing import Any

from tests.chaos.model.checker import Checker
from tests.chaos.model.engine import Engine, Host, Process, Task
from tests.chaos.model.network import Network
from tests.chaos.model.region import Region
from tests.chaos.model.stores import _BEGINNING, S3Client, Store
from tests.chaos.model.truth import Truth

KEY = "main.json"


class World:
    """One per schedule."""

    def __init__(self, seed: int, trace: bool = False) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.engine = Engine()
        self.counted: collections.Counter[str] = collections.Counter()
        self.network = Network(self.engine, self.rng, self.count)
        self.lines: list[str] = []
        self.trace = trace
        self.hosts: dict[str, Host] = {}
        self.stores: dict[str, Store] = {}
        self.regions: dict[str, Region] = {}
        self.duplicates = False
        #: the fence asks the region that it fences for a write, too
        self.probes = True
        #: (process, step) -> what happens to the process there, once
        self.traps: dict[tuple[str, str], Any] = {}
        self.timing: dict[str, float] = {}
        self.drift = 0.0
        self.truth = Truth(self)
        self.checker = Checker(self)
        #: which region the public name stands for, and when that was last changed
        self.name = ""
        self._unique = 0
        self.runs: list[Any] = []

    def build(self, regions: int, stores: int, timing: dict[str, float], drift: float, opposed: bool = False) -> None:
        """Make the machines. `drift`: how far a rate may be off; `opposed`: stores are fast, others slow."""
        rng = self.rng
        self.timing = timing
        self.drift = drift
        for number in range(stores):
            name = f"store-{number}"
            rate = 1.0 + (drift if opposed else rng.uniform(-drift, drift))
            self.stores[name] = Store(self, name, rng.uniform(0.0, 600.0), rate)
            self.host(name)
        names = ["east", "west", "north"][:regions]
        for name in names:
            rate = 1.0 - (drift if opposed else rng.uniform(-drift, drift))
            self.host(name, rng.uniform(0.0, 1e5), rate)
        for name in ("names", "internet", "operator-1", "operator-2"):
            self.host(name, rng.uniform(0.0, 1e5), 1.0 + rng.uniform(-drift, drift))
        for name in names:
            self.regions[name] = Region(self, name, self.hosts[name], name == "east", timing)
        for name in names[1:]:
            self.regions[name].database.copy_from(self.regions["east"])
        self.name = "east"

    def host(self, name: str, offset: float = 0.0, rate: float = 1.0) -> Host:
        """Add a machine."""
        self.hosts[name] = Host(self.engine, name, offset, rate)
        return self.hosts[name]

    def lease_option(self, answer_seconds: float | None = 2.0) -> dict[str, Any]:
        """The shared option `lease`."""
        stores = [
            {"name": name, "bucket": "leases", **({"timeout": answer_seconds} if answer_seconds else {})}
            for name in self.stores
        ]
        return {
            "key": KEY,
            "ttl_seconds": self.timing["ttl"],
            "clock_allowance_seconds": self.timing["allowance"],
            "stores": stores,
        }

    def s3_client(self, options: Any) -> S3Client:
        """What aws.client() returns."""
        return S3Client(self, self.stores[options["name"]], float(options.get("timeout") or 5.0))

    def process(self) -> Process:
        """Whose turn it is."""
        task = self.engine.current
        if task is None:
            raise RuntimeError("nobody's turn")
        return task.process

    def here(self) -> str:
        """The machine whose turn it is."""
        return self.process().host.name

    def thread(self, work: Any) -> Task:
        """Start a thread in the process whose turn it is."""
        return self.engine.start(self.process(), work)

    def handle_signal(self, _number: int, _handler: Any) -> None:
        """Nobody sends SIGTERM here."""

    def wall_clock(self) -> dt.datetime:
        """The wall clock of the machine whose turn it is, which steps."""
        return self.wall_clock_of(self.process().host)

    def wall_clock_of(self, host: Host) -> dt.datetime:
        """The wall clock of a machine."""
        return _BEGINNING + dt.timedelta(seconds=self.engine.now + host.wall_step)

    def unique(self) -> str:
        """A name that is used once."""
        self._unique += 1
        return f"{self.seed}-{self._unique}"

    def step(self, name: str) -> None:
        """An effect is about to be made; here its maker can be caught by a fault."""
        process = self.process()
        trap = self.traps.pop((process.name, name), None)
        if trap is not None:
            self.say(process.name, f"caught at {name}")
            trap(process)
        self.engine.sleep(self.rng.uniform(0.0002, 0.003))

    def look(self) -> None:
        """Something changed that decides who is writable."""
        self.checker.look()

    def count(self, what: str) -> None:
        """Something happened that a schedule is worth something for."""
        self.counted[what] += 1

    def say(self, who: str, text: str) -> None:
        """Write a line of the timeline."""
        self.lines.append(f"{self.engine.now:8.3f}  {who:<16} {text}")
        if self.trace:
            print(self.lines[-1])
