"""One region: a machine with PostgreSQL and its guard, and what a service manager does there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_config import GuardConfig
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_fence import before_start

from tests.chaos.model.database import Database
from tests.chaos.model.engine import Host, Process
from tests.chaos.model.guard import ModelWatchdog
from tests.chaos.model.machine import Machine

if TYPE_CHECKING:
    from tests.chaos.model.world import World


class Region:
    """Its parts, and how they are started, killed and started again."""

    def __init__(self, world: World, name: str, host: Host, primary: bool, timing: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.host = host
        self.machine = Machine()
        self.database = Database(world, self, in_recovery=not primary)
        self.up = True
        self.watchdog: Process | None = None
        self.renewer: Process | None = None
        here = Path("/model") / name
        self.config = GuardConfig(
            region=name,
            lease=world.lease_option(answer_seconds=None),
            renew_seconds=timing["renew"],
            fence_margin_seconds=timing["margin"],
            postgres={"host": name, "user": "dr_guard"},
            data_directory=here / "data",
            hba_file=here / "pg_hba.conf",
            start_argv=("start",),
            state_directory=here / "state",
            bootstrap=primary,
        )

    def start(self) -> None:
        """Everything, as after a boot."""
        self.up = True
        self.start_guard()
        self.start_database()

    def start_guard(self) -> None:
        """The guard; the service manager starts it again a second after it ends."""
        if not self.up or (self.watchdog is not None and self.watchdog.alive):
            return
        process = self.world.engine.process(
            f"{self.name} watchdog", self.host, lambda: ModelWatchdog(self.world, self).run()
        )
        process.on_exit.append(lambda: self.world.engine.at(1.0, self.start_guard))
        self.watchdog = process

    def start_database(self) -> None:
        """The guard's hook, then the postmaster."""
        machine = self.machine
        if not self.up or self.database.running or (machine.starting is not None and machine.starting.alive):
            return

        def work() -> None:
            before_start(self.config)
            self.world.engine.sleep(self.world.rng.uniform(0.05, 0.6))
            if self.up and not self.database.running:
                self.database.start(Process(self.world.engine, f"{self.name} postgres", self.host))

        machine.starting = self.world.engine.process(f"{self.name} start", self.host, work)

    def crash(self) -> None:
        """Power off."""
        self.up = False
        for process in (self.watchdog, self.renewer, self.machine.starting, self.database.process):
            if process is not None:
                process.kill()

    def processes(self) -> list[Process]:
        """What lives here now."""
        found = (self.watchdog, self.renewer, self.machine.starting, self.database.process)
        return [process for process in found if process is not None and process.alive]
