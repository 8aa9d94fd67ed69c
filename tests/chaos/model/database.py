"""One region's PostgreSQL: write-ahead log, sessions, replication, start, stop and promotion.

What decides whether a client's write commits is kept as PostgreSQL has it: the process runs and is not stopped by a
signal, is out of recovery, and the client has a session or `pg_hba.conf` as last loaded admits one. Sessions outlive
a change of that file. So a server counts as writable from the first moment on at which anybody can have a session.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.sql import SqlFailed, WriteRefused

from tests.chaos.model.engine import Event, Process

if TYPE_CHECKING:
    from tests.chaos.model.region import Region
    from tests.chaos.model.world import World

_START = 0x3000000


@dataclass(eq=False, slots=True)
class Entry:
    """One record in the log. `end` is where the next one begins."""

    end: int
    kind: str
    at: float
    region: str
    acknowledged: bool = False
    beat: tuple[str, int, int, dt.datetime, str] | None = None


def shown(position: int) -> str:
    """A position as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


class Database:
    """A cluster on its disk, and its server while one runs."""

    def __init__(self, world: World, region: Region, in_recovery: bool) -> None:
        self.world = world
        self.region = region
        self.log: list[Entry] = [Entry(_START, "start", 0.0, region.name)]
        self.replayed = 1
        self.beats: dict[str, tuple[str, int, int, dt.datetime, str]] = {}
        self.signal_file = in_recovery
        self.timeline = 1
        self.control = "in production"
        self.checkpoint = _START
        self.upstream: Region | None = None
        self.process: Process | None = None
        self.in_recovery = in_recovery
        self.replay_paused = False
        self.replay_lag = 0.0
        self.hba_loaded_open = False
        self.sessions = False
        self.stopping = False
        self.promoting = False
        self.stop_seconds = 0.1
        self.quit_seconds = 0.03
        self.gone = Event(world.engine)
        self._waiting: list[Callable[[], None]] = []
        self._ordered: list[Callable[[Any], None]] = []

    @property
    def running(self) -> bool:
        """A postmaster is there."""
        return self.process is not None and self.process.alive

    @property
    def awake(self) -> bool:
        """It runs and is not frozen."""
        return self.process is not None and self.process.alive and not self.process.frozen

    @property
    def writable(self) -> bool:
        """A client's write could commit at this instant."""
        return self.awake and not self.in_recovery and (self.sessions or self.hba_loaded_open)

    @property
    def end(self) -> int:
        """Where the log ends."""
        return self.log[-1].end

    def start(self, process: Process) -> None:
        """The postmaster is there; it reads its files."""
        self.process = process
        process.on_exit.append(self._gone)
        process.on_thaw.append(self._thawed)
        self.stopping = self.promoting = self.sessions = self.hba_loaded_open = False
        self.in_recovery = self.signal_file
        if not self.in_recovery:
            self.control = "in production"
            self._replay(len(self.log))
        self.load_hba()
        self.world.say(self.region.name, f"PostgreSQL started, {'standby' if self.in_recovery else 'primary'}")

    def load_hba(self) -> None:
        """SIGHUP."""
        if self.awake:
            self.hba_loaded_open = not self.region.machine.hba_closed
            self.sessions = self.sessions or self.hba_loaded_open
            self.world.look()

    def commit(self, kind: str, beat: Any = None) -> Entry:
        """Write one record and make it durable."""
        entry = Entry(self.end + self.world.rng.randrange(40, 400), kind, self.world.engine.now, self.region.name)
        self.log.append(entry)
        if beat is not None:
            entry.beat = beat
        self._replay(len(self.log))
        return entry

    def write(self, kind: str) -> Entry:
        """A client's write over a session of its own. Raises WriteRefused as sql.Postgres would."""
        self._need_login()
        if self.in_recovery:
            raise WriteRefused(f"{self.region.name} is read-only")
        entry = self.commit(kind)
        self.world.checker.committed(self.region, entry)
        return entry

    def heartbeat(self, values: dict[str, Any]) -> str:
        """The guard's statement; returns the position before it."""
        if self.in_recovery:
            raise WriteRefused("read-only")
        position = shown(self.end)
        old = self.beats.get(values["region"])
        at = dt.datetime.fromisoformat(values["at"].replace("Z", "+00:00"))
        self.commit("beat", (values["region"], values["epoch"], old[2] + 1 if old else 1, at, position))
        return position

    def state(self) -> tuple[Any, ...]:
        """What the query of postgres_state answers."""
        self._need_login()
        replay = shown(self.log[self.replayed - 1].end)
        if self.in_recovery:
            return (True, "1", str(self.timeline), None, shown(self.end), replay, self.replay_paused)
        return (False, "1", f"{self.timeline:08X}", shown(self.end), None, replay, False)

    def promote(self, reply: Callable[[Any], None], by: str) -> None:
        """pg_promote(true): replays what was received, then leaves recovery; the answer comes when that is done."""
        if not self.in_recovery:
            reply(SqlFailed("recovery is not in progress", "55000"))
            return
        self.world.checker.promotion_ordered(self.region, by)
        process = self.process
        self._ordered.append(reply)
        if self.promoting:
            return
        self.promoting = True

        def leave() -> None:
            if process is None or not process.alive or process is not self.process:
                return
            if process.frozen:
                self.when_awake(leave)
                return
            self._replay(len(self.log))
            self.signal_file = False
            self.world.engine.at(0.01, lambda: self.when_awake(write))

        def write() -> None:
            if process is None or not process.alive or process is not self.process:
                return
            self.in_recovery = self.promoting = False
            self.timeline += 1
            self.commit("timeline")
            self.world.checker.promoted(self.region, by)
            ordered, self._ordered = self._ordered, []
            for answer in ordered:
                answer(True)
            self.world.look()

        self.world.engine.at(self.world.rng.uniform(0.02, 0.6), leave)

    def pull(self) -> None:
        """Receive and replay what the upstream server has and a link lets through."""
        source = self.upstream.database if self.upstream else None
        if not self.in_recovery or not self.awake or source is None or self.promoting:
            return
        if self._connected(source):
            now = self.world.engine.now
            while len(self.log) < len(source.log) and source.log[len(self.log)].at <= now - self.replay_lag:
                self.log.append(source.log[len(self.log)])
            self.timeline = source.timeline if len(self.log) == len(source.log) else self.timeline
        if not self.replay_paused:
            self._replay(len(self.log))

    def shut_down(self) -> None:
        """The end of an orderly stop: the last record, then the wait for the standbys that are connected."""
        if not self.in_recovery and self.control != "shut down":
            self.checkpoint = self.end
            self.commit("shutdown")
            self.control = "shut down"
        process = self.process
        others = [one.database for one in self.world.regions.values() if one.database.upstream is self.region]
        if any(one.in_recovery and one.awake and one.behind(self) for one in others):
            self.world.engine.at(0.05, lambda: process is self.process and self.when_awake(self.shut_down))
        elif process is not None:
            process.kill()

    def copy_from(self, source: Region) -> None:
        """Become a standby of `source` again: a fresh copy of what it has now."""
        other = source.database
        self.log, self.replayed, self.beats = list(other.log), len(other.log), dict(other.beats)
        self.signal_file, self.upstream, self.timeline = True, source, other.timeline

    def when_awake(self, call: Callable[[], None]) -> None:
        """Call now, or once the server is no longer frozen."""
        if self.process is not None and self.process.frozen:
            self._waiting.append(call)
        else:
            call()

    def behind(self, source: Database) -> bool:
        """A walsender of `source` has something left for us."""
        return len(self.log) < len(source.log) and self._connected(source)

    def _connected(self, source: Database) -> bool:
        """A walsender serves us: it runs, the link is open both ways, and our log is a part of its own."""
        here, there = self.region.name, source.region.name
        network = self.world.network
        return (
            source.awake
            and not source.in_recovery
            and network.open(here, there)
            and network.open(there, here)
            and len(self.log) <= len(source.log)
            and source.log[len(self.log) - 1] is self.log[-1]
        )

    def _need_login(self) -> None:
        if not self.running or self.stopping:
            raise WriteRefused(f"{self.region.name}: Connection refused")
        if not self.hba_loaded_open:
            raise WriteRefused(f"{self.region.name}: pg_hba.conf rejects connection")

    def _replay(self, upto: int) -> None:
        for entry in self.log[self.replayed : upto]:
            if entry.beat is not None:
                self.beats[entry.beat[0]] = entry.beat
        self.replayed = max(self.replayed, upto)

    def _gone(self) -> None:
        self.world.say(self.region.name, f"PostgreSQL ended ({self.control})")
        self.sessions = self.hba_loaded_open = False
        self.gone.set()
        self.gone = Event(self.world.engine)
        self._thawed()
        self.world.look()

    def _thawed(self) -> None:
        self.world.look()
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()
