"""The one owner of Route 53's state: locking, propagation of changes in time, and the state file."""

from __future__ import annotations

import json
import os
import secrets
import string
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lab.aws.config import ZoneConfig
from lab.aws.errors import ApiError, not_found
from lab.aws.state import Change, HealthCheck, State, Zone
from lab.dns.records import RecordSet, normalise_name
from lab.dns.zone import ZoneData

NAME_SERVERS = [f"ns-{number}.lab-dns.test" for number in (1, 2, 3, 4)]
ALPHABET = string.ascii_uppercase + string.digits


def new_id(first: str) -> str:
    """An id as Route 53 makes them: a letter, then 20 letters and digits."""
    return first + "".join(secrets.choice(ALPHABET) for _ in range(20))


class Store:
    """State under a lock. Changes become INSYNC, and visible to DNS, once their time has come."""

    def __init__(self, path: Path, insync_seconds: Callable[[], float]) -> None:
        self._path = path
        self._insync_seconds = insync_seconds
        self._lock = threading.RLock()
        self._changing: dict[str, threading.Lock] = {}
        self._state = State.from_json(json.loads(path.read_text())) if path.exists() else State()
        self._pending = [change for change in self._state.changes.values() if change.result is not None]

    @contextmanager
    def read(self) -> Iterator[State]:
        """The state with every change that is due published; do not alter it."""
        with self._lock:
            self._settle()
            yield self._state

    @contextmanager
    def write(self) -> Iterator[State]:
        """The state to alter; saved to the file when the block ends well."""
        with self._lock:
            self._settle()
            yield self._state
            self.save()

    @contextmanager
    def changing(self, zone_id: str, seconds: float) -> Iterator[None]:
        """Occupy a zone with one change request for ``seconds`` or more; PriorRequestNotComplete if it is occupied."""
        with self._lock:
            occupied = self._changing.setdefault(zone_id, threading.Lock())
        if not occupied.acquire(blocking=False):
            message = "The request was rejected because Route 53 was still processing a prior request."
            raise ApiError("PriorRequestNotComplete", message)
        try:
            time.sleep(seconds)
            yield
        finally:
            occupied.release()

    def save(self) -> None:
        """Write the state file, atomically and durably."""
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._path.with_suffix(".partial")
            with partial.open("w") as file:
                json.dump(self._state.to_json(), file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)

    def ensure_zone(self, config: ZoneConfig) -> None:
        """Create a hosted zone unless one of that name exists."""
        name = normalise_name(config.name)
        with self._lock:
            if not any(zone.name == name for zone in self._state.zones.values()):
                self.add_zone(name, caller_reference=f"lab-{name}", comment="created by the lab", zone_id=config.id)

    def add_zone(self, name: str, caller_reference: str, comment: str, zone_id: str | None = None) -> Zone:
        """Create a hosted zone with its SOA and NS record sets, published at once."""
        soa = f"{NAME_SERVERS[0]}. hostmaster.lab-dns.test. 1 7200 900 1209600 86400"
        records = [
            RecordSet(name, "NS", 172800, tuple(f"{server}." for server in NAME_SERVERS)),
            RecordSet(name, "SOA", 900, (soa,)),
        ]
        zone = Zone(
            id=zone_id or new_id("Z"),
            name=name,
            caller_reference=caller_reference,
            comment=comment,
            name_servers=list(NAME_SERVERS),
            records={record.key: record for record in records},
            published=ZoneData(name, records),
        )
        with self.write() as state:
            state.zones[zone.id] = zone
        return zone

    def add_change(self, zone: Zone, comment: str = "") -> Change:
        """Send the zone's present record sets on their way to the name servers. Call inside ``write``."""
        now = time.time()
        change = Change(new_id("C"), zone.id, now, now + self._insync_seconds(), comment, list(zone.records.values()))
        self._state.changes[change.id] = change
        self._pending.append(change)
        return change

    def zone(self, state: State, zone_id: str) -> Zone:
        """The zone of an id, or NoSuchHostedZone."""
        try:
            return state.zones[zone_id.rpartition("/")[2]]
        except KeyError:
            raise not_found("HostedZone", f"No hosted zone found with ID: {zone_id}") from None

    def health_check(self, state: State, check_id: str) -> HealthCheck:
        """The health check of an id, or NoSuchHealthCheck."""
        try:
            return state.health_checks[check_id]
        except KeyError:
            raise not_found("HealthCheck", f"No health check exists with the specified ID {check_id}") from None

    def published_zones(self) -> Sequence[ZoneData]:
        """What DNS may answer from, now."""
        with self.read() as state:
            return [zone.published for zone in state.zones.values()]

    def _settle(self) -> None:
        """Publish what is due. A zone's latest due change carries its earlier ones with it."""
        now = time.time()
        latest_due = {change.zone_id: change for change in self._pending if change.due <= now}
        if not latest_due:
            return
        for zone_id, due in latest_due.items():
            zone = self._state.zones.get(zone_id)
            if zone is not None and due.result is not None:
                zone.published = ZoneData(zone.name, due.result)
            of_zone = [change for change in self._pending if change.zone_id == zone_id]
            for change in of_zone[: of_zone.index(due) + 1]:
                change.result = None
        self._pending = [change for change in self._pending if change.result is not None]
        self.save()
