# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a ledger says about time: runs, phases, waits, receipts, loss bounds, and the steps that were left open.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import dataclass

from .clock import from_iso, to_iso
from .ledger_event import Event, canonical
from .ledger_status import CLOSE, DECLARE, PUBLISH, RESUME

Interval = tuple[dt.datetime, dt.datetime]

_OWN_STEPS = {DECLARE, RESUME, PUBLISH, CLOSE}
#: phases whose checks say what has happened to the service, not how well the recovery went
OBSERVING = ("detect", "assess")


@dataclass(frozen=True)
class OpenStep:
    """A step whose last event is not `verified` or `skipped`."""

    event: Event
    #: failed (it ended in an error), check (it looked and found something wrong), unverified, effect or intent
    kind: str

    @property
    def name(self) -> str:
        """Return step, task and what told it from its siblings."""
        data = self.event.data
        of = "".join(f" [{data[key]}]" for key in ("host", "item") if data.get(key))
        task = f" ({data['task']})" if data.get("task") else ""
        return f"{self.event.phase}: {self.event.step}{of}{task}"


def runs(events: t.Sequence[Event]) -> list[dict[str, t.Any]]:
    """Return who acted: one entry a run, with its fencing token and the time of its first event."""
    found: list[dict[str, t.Any]] = []
    for number, group in _by_run(events):
        first = group[0]
        found.append({"run": number, "actor": first.actor, "token": group[-1].token, "started": first.time})
    return found


def phases(events: t.Sequence[Event]) -> list[dict[str, t.Any]]:
    """Return one entry a run and phase, in order: {phase, run, started, ended, seconds, steps, failed}."""
    found = []
    for number, group in _by_run(events):
        names = dict.fromkeys(event.phase for event in group if event.step != PUBLISH)
        for phase in names:
            mine = [event for event in group if event.phase == phase]
            started, ended = min(began(event) for event in mine), max(from_iso(event.time) for event in mine)
            found.append(
                {
                    "phase": phase,
                    "run": number,
                    "started": to_iso(started),
                    "ended": to_iso(ended),
                    "seconds": round((ended - started).total_seconds(), 3),
                    "steps": len({_key(event) for event in mine if event.step not in _OWN_STEPS}),
                    "failed": sum(event.state == "failed" for event in mine),
                }
            )
    return found


def began(event: Event) -> dt.datetime:
    """Return when an event's step began: an outcome tells how many seconds it took."""
    seconds = event.data.get("seconds")
    took = float(seconds) if isinstance(seconds, (int, float)) and event.state != "intent" else 0.0
    return from_iso(event.time) - dt.timedelta(seconds=took)


def waits(events: t.Sequence[Event]) -> list[dict[str, t.Any]]:
    """Return all recorded waits, each once, by their beginning: {name, started, ended, seconds, phase, step}."""
    found: dict[tuple[str, str, str], dict[str, t.Any]] = {}
    for event in events:
        for wait in event.data.get("waits") or []:
            key = (str(wait.get("name")), str(wait.get("started")), str(wait.get("ended")))
            found.setdefault(key, {**wait, "phase": event.phase, "step": event.step})
    return sorted(found.values(), key=lambda wait: str(wait["started"]))


def receipts(events: t.Sequence[Event]) -> list[dict[str, t.Any]]:
    """Return all fencing receipts, each once, in order."""
    found = {canonical(receipt): receipt for event in events for receipt in event.data.get("receipts") or []}
    return list(found.values())


def acceptances(events: t.Sequence[Event]) -> list[Event]:
    """Return the events of steps that rest on a typed acceptance instead of a receipt."""
    found = []
    for event in events:
        evidence = event.data.get("evidence")
        if isinstance(evidence, dict) and evidence.get("acceptance"):
            found.append(event)
    return found


def clocks(events: t.Sequence[Event]) -> list[dict[str, t.Any]]:
    """Return how far each run's clock was from the witness's, as its first event says: {event, store, skew_seconds}."""
    found = []
    for event in events:
        evidence = event.data.get("evidence")
        if event.step in (DECLARE, RESUME) and isinstance(evidence, dict) and evidence.get("controller_clock"):
            found.append({"event": event.seq, **evidence["controller_clock"]})
    return found


def loss_bound(events: t.Sequence[Event]) -> dict[str, t.Any] | None:
    """Return the loss bound that was stated: observed rather than predicted, the latest of each subject, the largest.

    One that is `proven`, as after a switchover, stands against every estimate of the same subject. None when none was
    stated; `seconds` may be None: stated as unknown.
    """
    latest: dict[tuple[bool, str], dict[str, t.Any]] = {}
    for event in events:
        for bound in _bounds(event.data.get("evidence")):
            subject = str(bound.get("subject") or bound.get("database") or event.data.get("item") or "")
            key = bool(bound.get("predicted")), subject
            if bound.get("proven") or not latest.get(key, {}).get("proven"):
                latest[key] = {**bound, "event": event.seq}
    observed = [bound for (predicted, _subject), bound in latest.items() if not predicted]
    stated = observed or list(latest.values())
    if not stated:
        return None
    return max(stated, key=lambda bound: float("inf") if bound.get("seconds") is None else float(bound["seconds"]))


def open_steps(events: t.Sequence[Event]) -> list[OpenStep]:
    """Return the steps that were left open, in order of their last event.

    An effect that one task ordered may be observed by another: the same step, named so in both, of the same host.
    """
    last: dict[bytes, Event] = {}
    for event in events:
        if event.step not in _OWN_STEPS:
            last.pop(_key(event), None)
            last[_key(event)] = event
            if event.state == "verified":
                ordered = [key for key, other in last.items() if other.state == "effect" and _same(other, event)]
                for key in ordered:
                    del last[key]
    kinds = ((event, _kind(event)) for event in last.values())
    return [OpenStep(event, kind) for event, kind in kinds if kind]


def union_seconds(intervals: t.Iterable[Interval], within: Interval) -> float:
    """Return how many seconds of `within` the intervals cover together."""
    start, end = within
    covered, reached = 0.0, start
    for begin, finish in sorted(intervals):
        since, until = max(begin, reached), min(finish, end)
        if until > since:
            covered += (until - since).total_seconds()
            reached = until
    return covered


def interval(wait: t.Mapping[str, t.Any]) -> Interval:
    """Return the interval of a recorded wait."""
    return from_iso(wait["started"]), from_iso(wait["ended"])


def _by_run(events: t.Sequence[Event]) -> list[tuple[int, list[Event]]]:
    groups: list[list[Event]] = []
    for event in events:
        if not groups or event.step == RESUME:
            groups.append([])
        groups[-1].append(event)
    return list(enumerate(groups, 1))


def _key(event: Event) -> bytes:
    told = {key: event.data.get(key) for key in ("task", "host", "item")}
    return canonical([event.phase, event.step, told])


def _same(ordered: Event, observed: Event) -> bool:
    """Whether one event tells of the other's step: of one host and item, whatever the task and the phase."""
    return all(
        [
            ordered.step == observed.step,
            *(ordered.data.get(key) == observed.data.get(key) for key in ("host", "item")),
        ]
    )


def _kind(event: Event) -> str:
    if event.state in ("effect", "intent"):
        return event.state
    if event.state != "failed":
        return ""
    if event.data.get("error"):
        return "failed"
    outcome = event.data.get("outcome")
    return {"unverified": "unverified", "failed": "check"}.get(str(outcome), "failed")


def _bounds(evidence: t.Any) -> t.Iterator[dict[str, t.Any]]:
    """Yield every `loss_bound` in the evidence, however deep."""
    if isinstance(evidence, dict):
        for key, value in evidence.items():
            if key == "loss_bound" and isinstance(value, dict):
                yield value
            else:
                yield from _bounds(value)
    elif isinstance(evidence, list):
        for item in evidence:
            yield from _bounds(item)
