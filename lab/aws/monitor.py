"""The health checkers: one task for each health check and region, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lab.aws.health import PROBED_TYPES, regions
from lab.aws.probes import Probed, Timeouts, probe
from lab.aws.state import HealthCheck
from lab.aws.store import Store

log = logging.getLogger(__name__)

TaskKey = tuple[str, int, str]


@dataclass(frozen=True)
class Observation:
    """What one checker saw last, and when (UTC)."""

    region: str
    text: str
    checked: datetime
    healthy: bool


class Monitor:
    """Keeps a checker running for every enabled health check; verdicts go into the store when they change."""

    def __init__(self, store: Store, scale: float, resolve: Callable[[str], str | None]) -> None:
        self._store = store
        self._scale = scale
        self._resolve = resolve
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="health-checkers")
        self._tasks: dict[TaskKey, asyncio.Task[None]] = {}
        self._lock = threading.Lock()
        self._latest: dict[tuple[str, str], Observation] = {}
        self._last_failure: dict[tuple[str, str], Observation] = {}

    def start(self) -> None:
        """Start the checkers of every health check in the store."""
        self._thread.start()
        self.refresh()

    def stop(self) -> None:
        """Stop every checker."""
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def refresh(self) -> None:
        """Adopt health checks that were created, changed, disabled or deleted."""
        self._loop.call_soon_threadsafe(self._reconcile)

    def latest(self, check_id: str) -> list[Observation]:
        """Each checker's last observation."""
        with self._lock:
            return [seen for (owner, _), seen in sorted(self._latest.items()) if owner == check_id]

    def last_failures(self, check_id: str) -> list[Observation]:
        """Each checker's last failure, if it had one."""
        with self._lock:
            return [seen for (owner, _), seen in sorted(self._last_failure.items()) if owner == check_id]

    def _reconcile(self) -> None:
        with self._store.read() as state:
            wanted = {
                (check.id, check.version, region): check
                for check in state.health_checks.values()
                if check.config["Type"] in PROBED_TYPES and not check.config.get("Disabled")
                for region in regions(check.config)
            }
        for key in set(self._tasks) - set(wanted):
            self._tasks.pop(key).cancel()
        for key in set(wanted) - set(self._tasks):
            self._tasks[key] = self._loop.create_task(self._check(wanted[key], key[2]))

    async def _cancel_all(self) -> None:
        """End every checker. Cancelled just as a timeout of its own fires, one may go on (Python 3.11): ask again."""
        pending = set(self._tasks.values())
        while pending:
            for task in pending:
                task.cancel()
            _done, pending = await asyncio.wait(pending, timeout=0.2)

    async def _check(self, check: HealthCheck, region: str) -> None:
        """One checker: probe, count in a row, tell the store when the verdict turns, wait for the next turn."""
        config = dict(check.config)
        failing, against = check.failing.get(region, False), 0
        interval = config["RequestInterval"] * self._scale
        await asyncio.sleep(interval * regions(config).index(region) / len(regions(config)))
        next_probe = self._loop.time()
        while True:
            seen = await self._probe(config)
            self._observe(check.id, region, seen)
            against = against + 1 if seen.healthy == failing else 0
            if against >= config["FailureThreshold"]:
                failing, against = not failing, 0
                self._turn(check.id, region, failing, seen)
            next_probe = max(next_probe + interval, self._loop.time())
            await asyncio.sleep(next_probe - self._loop.time())

    async def _probe(self, config: dict[str, Any]) -> Probed:
        address = config.get("IPAddress") or await self._address_of(config["FullyQualifiedDomainName"])
        if address is None:
            return Probed(False, "Failure: DNS resolution failed: the domain name has no IPv4 address.")
        return await probe(config, address, Timeouts.scaled(config["Type"], self._scale))

    async def _address_of(self, name: str) -> str | None:
        """An IPv4 address from the lab's own zones, or else from this machine's resolver."""
        own = self._resolve(name)
        if own is not None:
            return own
        try:
            found = await self._loop.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
        except OSError:
            return None
        return str(found[0][4][0]) if found else None

    def _observe(self, check_id: str, region: str, seen: Probed) -> None:
        observation = Observation(region, seen.text, datetime.now(UTC), seen.healthy)
        with self._lock:
            self._latest[(check_id, region)] = observation
            if not seen.healthy:
                self._last_failure[(check_id, region)] = observation

    def _turn(self, check_id: str, region: str, failing: bool, seen: Probed) -> None:
        log.info("health check %s from %s: %s (%s)", check_id, region, "failing" if failing else "healthy", seen.text)
        with self._store.write() as state:
            check = state.health_checks.get(check_id)
            if check is not None:
                check.failing[region] = failing
