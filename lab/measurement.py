"""From what client and observer saw to what a report needs: outage, lost acknowledged writes, writable primaries."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import time
import typing as t
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .client.http import ServiceConnection
from .client.names import Names, Unresolved
from .observer.writable import observed

#: ids asked for in one request
BATCH = 500
#: the public clients, as a vantage; the others are the regions in which the clients are
WORLD = "world"
#: lost writes that are listed one by one; all are counted
LISTED = 1000


class MeasurementError(Exception):
    """The clients' record does not allow a measurement; the text says why."""


@dataclass(frozen=True)
class Attempt:
    """One write as the client saw it: when it began and ended, whether it was acknowledged."""

    id: str
    began: dt.datetime
    ended: dt.datetime
    ok: bool
    vantage: str = WORLD


@dataclass(frozen=True)
class Outage:
    """From the first failed write after a success to the first success after it; ended is None while it lasts."""

    started: dt.datetime | None = None
    ended: dt.datetime | None = None

    @property
    def seconds(self) -> float:
        """Length, 0 where there was none."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else 0.0

    def as_dict(self) -> dict[str, t.Any]:
        """Times as RFC 3339, seconds."""
        return {"started": iso(self.started), "ended": iso(self.ended), "seconds": round(self.seconds, 3)}


def iso(moment: dt.datetime | None) -> str | None:
    """Render a moment as RFC 3339 in UTC."""
    return None if moment is None else moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def parse(text: str) -> dt.datetime:
    """Parse an RFC 3339 time."""
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def lines(path: Path) -> Iterator[dict[str, t.Any]]:
    """Yield a JSON-lines file; the last line may still be in the writing and is then left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8") as record:
        for line in record:
            if line.endswith("\n"):
                yield json.loads(line)


def writes(path: Path, since: dt.datetime, vantage: str = WORLD) -> list[Attempt]:
    """Return the writes of a client's record that ended after `since`, in order."""
    found = []
    for line in lines(path):
        if line["op"] == "write":
            began = parse(line["t"])
            ended = began + dt.timedelta(seconds=line["seconds"])
            if ended >= since:
                found.append(Attempt(line["id"], began, ended, line["ok"], vantage))
    return found


def longest_outage(attempts: Iterable[Attempt], since: dt.datetime | None = None) -> Outage:
    """Return the longest outage; one that still lasts counts as the longest.

    One that was over before `since` belongs to what happened before.
    """
    longest, started = Outage(), None
    for attempt in attempts:
        if attempt.ok:
            outage = Outage(started, attempt.ended) if started and not (since and attempt.ended < since) else Outage()
            longest = max(longest, outage, key=lambda one: one.seconds)
            started = None
        elif started is None:
            started = attempt.began
    return Outage(started, None) if started else longest


def present(connection: ServiceConnection, identifiers: list[str]) -> set[str]:
    """Ask the service, through its public name, which of the writes it can read."""
    found: set[str] = set()
    for start in range(0, len(identifiers), BATCH):
        try:
            answer = connection.request("POST", "/writes/query", {"ids": identifiers[start : start + BATCH]})
        except (OSError, http.client.HTTPException, Unresolved) as error:
            raise MeasurementError(f"Failed to read the writes back from {connection.url}: {error}") from error
        if answer.status != 200:
            raise MeasurementError(f"Failed to read the writes back from {connection.url}: status {answer.status}")
        found |= set(answer.body["present"])
    return found


def measure_service(
    service: dict[str, t.Any],
    path: Path,
    since: dt.datetime,
    connection: ServiceConnection,
    timeout: float,
    inside: t.Mapping[str, Path] | None = None,
    declared: dt.datetime | None = None,
    before: Iterable[str] = (),
) -> dict[str, t.Any]:
    """Measure one service once its public client sees success again. Raises MeasurementError after `timeout` seconds.

    The outage is the public client's. What was acknowledged to the clients `inside` the regions, whose records these
    are, counts as well: losing it is losing a write. What was lost `before` (ids), and an outage that was over when the
    incident was `declared`, are not counted again.
    """
    deadline = time.monotonic() + timeout
    while True:
        attempts = writes(path, since)
        if attempts and attempts[-1].ok:
            break
        if time.monotonic() > deadline:
            seen = "no write of it" if not attempts else "its last write failed"
            raise MeasurementError(f"The client of {service['name']} saw no success within {timeout:g} s: {seen}.")
        time.sleep(0.1)
    others = [attempt for region, record in (inside or {}).items() for attempt in writes(record, since, region)]
    gone = set(before)
    acknowledged = [attempt for attempt in (*attempts, *others) if attempt.ok and attempt.id not in gone]
    readable = present(connection, [attempt.id for attempt in acknowledged])
    lost = sorted((one for one in acknowledged if one.id not in readable), key=lambda one: one.ended)
    outage = longest_outage(attempts, declared)
    return {
        "tier": service.get("tier"),
        "acknowledged_writes": len(acknowledged),
        "lost_acknowledged_writes": len(lost),
        "lost_ids": [one.id for one in lost],
        "lost": [{"id": one.id, "acknowledged_at": iso(one.ended), "vantage": one.vantage} for one in lost[:LISTED]],
        "vantages": {
            vantage: {
                "acknowledged_writes": sum(one.vantage == vantage for one in acknowledged),
                "lost_acknowledged_writes": sum(one.vantage == vantage for one in lost),
            }
            for vantage in (WORLD, *(inside or {}))
        },
        "outage": outage.as_dict(),
        "rpo_seconds": round(lost_seconds(lost, outage.started or attempts[-1].ended), 3),
    }


class KnownLosses:
    """Writes that measurements of earlier incidents found lost: a later one must not be blamed for them."""

    def __init__(self, path: Path, since: dt.datetime) -> None:
        self.path = path
        self.key = str(iso(since))
        try:
            self._all: dict[str, dict[str, list[str]]] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._all = {}

    def before(self, service: str) -> list[str]:
        """Return the ids of a service that earlier incidents lost."""
        earlier = [losses for since, losses in self._all.items() if parse(since) < parse(self.key)]
        return [identifier for losses in earlier for identifier in losses.get(service, [])]

    def save(self, losses: dict[str, list[str]]) -> None:
        """Remember what this incident lost; measured again, it says the same."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({**self._all, self.key: losses}), encoding="utf-8")


def lost_seconds(lost: t.Sequence[Attempt], outage: dt.datetime) -> float:
    """Return the time whose writes are lost: from the oldest of them to the outage, or to the youngest if it is later.

    Clients inside a region that is cut off write on when the outage of the others has begun.
    """
    if not lost:
        return 0.0
    return max(0.0, (max(outage, lost[-1].ended) - lost[0].ended).total_seconds())


def measure(
    config: dict[str, t.Any], observer: Path, since: dt.datetime, timeout: float, lookback: float
) -> dict[str, t.Any]:
    """Measure all services of the client's config.

    An incident is declared after the outage began, so the record is read from `lookback` seconds before `since`.
    """
    begin = since - dt.timedelta(seconds=lookback)
    known = KnownLosses(Path(config["directory"]) / "known-losses.json", since)
    names = Names(config["resolver"]["address"], config["resolver"]["port"], 3.0)
    services = {
        service["name"]: measure_service(
            service,
            Path(config["directory"]) / f"{service['name']}.jsonl",
            begin,
            ServiceConnection(service["url"], names, 10.0),
            timeout,
            {region: Path(where) / f"{service['name']}.jsonl" for region, where in config.get("inside", {}).items()},
            since,
            known.before(service["name"]),
        )
        for service in config["services"]
    }
    known.save({name: one.pop("lost_ids") for name, one in services.items()})
    return {
        "since": iso(begin),
        "until": iso(dt.datetime.now(dt.UTC)),
        "services": services,
        "observer": observed(lines(observer), begin),
    }
