# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report of an incident or drill: every number from its ledger and from what its clients saw.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import dataclass

from . import report_timeline as timeline
from .clock import NAMED_WAITS, from_iso, to_iso
from .ledger_event import Event
from .ledger_status import status_of
from .ledger_verify import Verification
from .report_divergence import divergences
from .report_measurement import Measurement, ServiceMeasurement
from .report_verdict import findings_of, verdict_of

Report = dict[str, t.Any]


@dataclass(frozen=True)
class Sources:
    """What a report is computed from. `objectives` is {rto_seconds, rpo_seconds, services: {name: {tier, ...}}}."""

    verification: Verification
    measurement: Measurement | None
    objectives: dict[str, t.Any]
    drill: str | None = None

    @property
    def events(self) -> list[Event]:
        """The ledger's events that are right."""
        return self.verification.events


def build(sources: Sources) -> Report:
    """Return the report: the same sources give the same report."""
    events, measured = sources.events, sources.measurement
    status = status_of(events)
    services = _services(sources)
    bound = timeline.loss_bound(events)
    report: Report = {
        "drill": sources.drill,
        "incident": events[0].incident,
        "mode": status.mode,
        "verdict": "unverified",
        "declared_at": status.declared_at,
        "closed_at": status.closed_at,
        "runs": timeline.runs(events),
        **_recovery(sources, services),
        "acknowledged_writes": sum(one.acknowledged for one in measured.services.values()) if measured else None,
        "lost_acknowledged_writes": sum(one.lost for one in measured.services.values()) if measured else None,
        "stated_loss_bound_seconds": bound.get("seconds") if bound else None,
        "loss_bound": bound,
        "max_writable_primaries": measured.max_writable_primaries if measured else None,
        "observer_rounds": measured.rounds if measured else 0,
        "undecided_primaries": measured.undecided if measured else 0,
        "phases": timeline.phases(events),
        "waits": timeline.waits(events),
        "receipts": timeline.receipts(events),
        "acceptances": [
            {"step": event.step, "event": event.seq, "acceptance": event.data["evidence"]["acceptance"]}
            for event in timeline.acceptances(events)
        ],
        "divergences": divergences(events),
        "controller_clocks": timeline.clocks(events),
        "services": services,
        "ledger": _ledger(sources.verification),
        "measurement": _measurement(measured),
    }
    report["findings"] = findings_of(report, timeline.open_steps(events), measured is not None)
    report["verdict"] = verdict_of(report["findings"])
    return report


def _services(sources: Sources) -> list[dict[str, t.Any]]:
    """Return each service of the catalogue and of the measurement, against its own objectives."""
    catalogue = sources.objectives.get("services") or {}
    measured = sources.measurement.services if sources.measurement else {}
    found = []
    for name in [*catalogue, *(name for name in measured if name not in catalogue)]:
        own, seen = catalogue.get(name, {}), measured.get(name)
        found.append(
            {
                "service": name,
                "tier": own.get("tier"),
                "measured": seen is not None,
                "recovered": seen.recovered if seen else None,
                "outage_started": _iso(seen.started) if seen else None,
                "outage_ended": _iso(seen.ended) if seen and seen.recovered else None,
                "rto_seconds": round(seen.outage_seconds, 3) if seen else None,
                "rto_objective_seconds": own.get("rto_seconds", sources.objectives.get("rto_seconds")),
                "rpo_seconds": seen.rpo_seconds if seen else None,
                "rpo_objective_seconds": own.get("rpo_seconds", sources.objectives.get("rpo_seconds")),
                "acknowledged_writes": seen.acknowledged if seen else None,
                "lost_acknowledged_writes": seen.lost if seen else None,
            }
        )
    return found


def _recovery(sources: Sources, services: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """Return RTO and RPO against the strictest objectives, and what of the RTO was the run's own time.

    The headline is the worst of the services that the strictest objective binds; the others stand in `services`
    against their own.
    """
    rto_objective = _strictest(sources, services, "rto_seconds")
    rpo_objective = _strictest(sources, services, "rpo_seconds")
    measured = sources.measurement.services if sources.measurement else {}
    bound_by_rto = _bound_by(services, "rto_objective_seconds", rto_objective)
    losses = [one["rpo_seconds"] for one in _bound_by(services, "rpo_objective_seconds", rpo_objective)]
    losses = [loss for loss in losses if loss is not None]
    recovery: dict[str, t.Any] = {
        "rto_seconds": _elapsed(sources.events),
        "rto_source": "ledger",
        "rto_objective_seconds": rto_objective,
        "rpo_seconds": max(losses, default=None),
        "rpo_objective_seconds": rpo_objective,
        "orchestration_seconds": None,
        "detection_seconds": None,
    }
    if bound_by_rto:
        worst = measured[max(bound_by_rto, key=lambda one: float(one["rto_seconds"]))["service"]]
        recovery.update(
            rto_seconds=round(worst.outage_seconds, 3),
            rto_source="client",
            orchestration_seconds=_orchestration(sources.events, worst),
            detection_seconds=_detection(sources.events, worst),
        )
    return recovery


def _strictest(sources: Sources, services: list[dict[str, t.Any]], name: str) -> float | None:
    key = name.replace("_seconds", "_objective_seconds")
    own = [one[key] for one in services if one[key] is not None]
    given = sources.objectives.get(name)
    return float(given) if given is not None else min(map(float, own), default=None)


def _bound_by(services: list[dict[str, t.Any]], key: str, objective: float | None) -> list[dict[str, t.Any]]:
    """Return the measured services that the strictest objective binds; all of them where it binds none."""
    measured = [one for one in services if one["measured"]]
    bound = [one for one in measured if objective is None or one[key] is None or float(one[key]) <= objective]
    return bound or measured


def _orchestration(events: t.Sequence[Event], worst: ServiceMeasurement) -> float:
    """Return the outage less the waits that belong to other systems."""
    if worst.started is None or worst.ended is None:
        return 0.0
    named = [timeline.interval(wait) for wait in timeline.waits(events) if wait["name"] in NAMED_WAITS]
    waited = timeline.union_seconds(named, (worst.started, worst.ended))
    return round(worst.outage_seconds - waited, 3)


def _detection(events: t.Sequence[Event], worst: ServiceMeasurement) -> float | None:
    """Return how long the outage had lasted when the incident was declared; None when it came after."""
    if worst.started is None:
        return None
    seconds = (from_iso(events[0].time) - worst.started).total_seconds()
    return round(seconds, 3) if seconds >= 0 else None


def _elapsed(events: t.Sequence[Event]) -> float | None:
    """Return the seconds from the declaration to the last thing that was validated; None when nothing was."""
    proven = [event for event in events if event.phase == "validate" and event.state == "verified"]
    if not proven:
        return None
    return round((from_iso(proven[-1].time) - from_iso(events[0].time)).total_seconds(), 3)


def _ledger(verification: Verification) -> dict[str, t.Any]:
    events = verification.events
    return {
        "outcome": verification.outcome,
        "events": len(events),
        "head": events[-1].hash,
        "problems": [str(problem) for problem in verification.problems],
        "unverified": list(verification.unverified),
    }


def _measurement(measured: Measurement | None) -> dict[str, t.Any] | None:
    if measured is None:
        return None
    return {
        "path": measured.path,
        "sha256": measured.sha256,
        "since": measured.since,
        "until": measured.until,
    }


def _iso(moment: dt.datetime | None) -> str | None:
    return to_iso(moment) if moment else None
