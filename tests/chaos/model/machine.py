"""A region's machine under its guard: pg_hba.conf, the guard's memory and lock, signals to PostgreSQL.

Each effect takes a moment, in which whoever makes it can be frozen or killed.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_hba import HbaFile
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_postmaster import Postmaster
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_state import Memory, StateDirectory

from tests.chaos.model.database import shown
from tests.chaos.model.engine import Process

if TYPE_CHECKING:
    from tests.chaos.model.world import World


class Machine:
    """What survives processes."""

    def __init__(self) -> None:
        self.hba_closed = False
        self.memory = Memory()
        self.locked_by: Process | None = None
        self.disk_full = False
        self.starting: Process | None = None


class ModelHba(HbaFile):
    """guard_hba.HbaFile over Machine."""

    def __init__(self, world: World, path: Path) -> None:
        super().__init__(path)
        self.world = world
        self.machine = world.regions[path.parent.name].machine

    @property
    def closed(self) -> bool:
        """It rejects."""
        return self.machine.hba_closed

    def close(self, reason: str) -> bool:
        """Make it reject."""
        self.world.step("close")
        if self.machine.disk_full:
            raise OSError("No space left on device")
        changed, self.machine.hba_closed = not self.machine.hba_closed, True
        return changed

    def open(self) -> bool:
        """Put the original back."""
        if not self.closed:
            return False
        self.world.step("open")
        if self.machine.disk_full:
            raise OSError("No space left on device")
        self.machine.hba_closed = False
        self.world.step("opened")
        return True


class ModelState(StateDirectory):
    """guard_state.StateDirectory over Machine."""

    def __init__(self, world: World, path: Path) -> None:
        self.path = path
        self.world = world
        self.machine = world.regions[path.parent.name].machine

    def memory(self) -> Memory:
        """What is remembered."""
        return self.machine.memory

    def remember(self, **changes: Any) -> Memory:
        """Change it durably."""
        new = replace(self.machine.memory, **changes)
        if new != self.machine.memory:
            self.world.step("remember")
            if self.machine.disk_full:
                raise RecoveryError("No space left on device")
            self.machine.memory = new
        return new

    def show(self, status: dict[str, Any]) -> None:
        """Nobody asks for the status."""

    @contextlib.contextmanager
    def lock(self, patience: float) -> Iterator[bool]:
        """flock: free again when its holder closes it, or ends."""
        process = self.world.process()
        waited = 0.0
        while self._taken(process) and waited < patience:
            self.world.engine.sleep(0.02)
            waited += 0.02
        if self._taken(process):
            yield False
            return
        self.machine.locked_by = process
        try:
            yield True
        finally:
            if self.machine.locked_by is process and process.alive:
                self.machine.locked_by = None

    def _taken(self, process: Process) -> bool:
        holder = self.machine.locked_by
        return holder is not None and holder is not process and holder.alive


class ModelPostmaster(Postmaster):
    """guard_postmaster.Postmaster: its decisions, over the model's server."""

    def __init__(self, world: World, data: Path) -> None:
        super().__init__(data)
        self.world = world
        self.region = world.regions[data.parent.name]
        self.database = self.region.database

    @property
    def is_primary(self) -> bool:
        """No standby.signal."""
        return not self.database.signal_file

    def pid(self) -> int | None:
        """A number that is the process's own."""
        return id(self.database.process) if self.database.running else None

    def processes(self) -> list[int]:
        """One stands for all."""
        pid = self.pid()
        return [pid] if pid is not None else []

    def start(self, argv: tuple[str, ...]) -> bool:
        """Order the start; returns False while an earlier order runs."""
        machine = self.region.machine
        if machine.starting is not None and machine.starting.alive:
            return False
        self.region.start_database()
        return True

    def last_checkpoint(self) -> dict[str, str]:
        """pg_controldata."""
        self.world.step("pg_controldata")
        return {"cluster state": self.database.control, "checkpoint": shown(self.database.checkpoint)}

    def _signal(self, pid: int | None, number: int) -> None:
        """Signals that a frozen server gets are acted on when it thaws, but for SIGKILL."""
        process = self.database.process
        if pid is None or process is None or not process.alive or pid != id(process):
            return
        if number == signal.SIGKILL:
            process.kill()
        elif number == signal.SIGHUP:
            self.world.step("reload")
            self.database.when_awake(self.database.load_hba)
        elif number in (signal.SIGINT, signal.SIGQUIT):
            self.database.when_awake(lambda: self._ordered(process, number))

    def _ordered(self, process: Process, number: int) -> None:
        if not process.alive:
            return
        engine, database = self.world.engine, self.database
        if number == signal.SIGQUIT:
            engine.at(database.quit_seconds, lambda: database.when_awake(process.kill))
        elif not database.stopping:
            database.stopping = True
            engine.at(database.stop_seconds, lambda: database.when_awake(lambda: self._finish(process)))

    def _finish(self, process: Process) -> None:
        if process.alive:
            self.database.shut_down()
