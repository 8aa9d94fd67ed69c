# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges a report: what failed, what could not be verified, and the verdict that follows.

A check that could not run is not a pass: one `unverified` finding makes the verdict `unverified`.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from . import report_divergence
from .clock_skew import is_off, told
from .report_timeline import OBSERVING, OpenStep

Report = t.Mapping[str, t.Any]
Finding = dict[str, t.Any]
Found = t.Iterator[Finding]


def findings_of(report: Report, open_steps: t.Sequence[OpenStep], measured: bool) -> list[Finding]:
    """Return all findings, the worst first: {level: failed|unverified|note, about, finding, event}."""
    found = [
        *_ledger(report),
        *_steps(report, open_steps),
        *_validation(report),
        *_measurement(report, measured),
        *_services(report),
        *_acceptances(report),
        *_clocks(report),
        *(_finding(*one) for one in report_divergence.findings(report)),
        *_loss(report),
        *_primaries(report, measured),
    ]
    order = ("failed", "unverified", "note")
    return sorted(found, key=lambda finding: order.index(finding["level"]))


def verdict_of(findings: t.Sequence[Finding]) -> str:
    """Return passed, failed or unverified."""
    levels = {finding["level"] for finding in findings}
    return "failed" if "failed" in levels else "unverified" if "unverified" in levels else "passed"


def _finding(level: str, about: str, text: str, event: int | None = None) -> Finding:
    return {"level": level, "about": about, "finding": text, "event": event}


def _first(problems: t.Sequence[object], count: int = 2) -> str:
    """Return the first problems; the ledger has all of them."""
    more = f"; and {len(problems) - count} more" if len(problems) > count else ""
    return "; ".join(map(str, problems[:count])) + more


def _ledger(report: Report) -> Found:
    ledger = report["ledger"]
    for problem in ledger["problems"]:
        yield _finding("failed", "ledger", f"The chain is broken: {problem}.")
    for reason in ledger["unverified"]:
        yield _finding("unverified", "ledger", reason)


def _steps(report: Report, open_steps: t.Sequence[OpenStep]) -> Found:
    went_on = any(phase["phase"] not in OBSERVING for phase in report["phases"])
    for step in open_steps:
        data, seq = step.event.data, step.event.seq
        observing = step.event.phase in OBSERVING
        why = str(data.get("error") or _first(data.get("problems") or []) or "it says no more")
        if step.kind == "failed":
            level = "note" if observing and went_on else "failed"
            yield _finding(level, step.name, f"It failed, and was not verified later: {why}", seq)
        elif step.kind == "check":
            yield _finding("note" if observing else "failed", step.name, f"It found: {why}", seq)
        elif step.kind == "unverified":
            yield _finding("note" if observing else "unverified", step.name, f"It could not be checked: {why}", seq)
        elif step.kind == "effect":
            yield _finding("unverified", step.name, "It was ordered, and its effect was not observed.", seq)
        else:
            yield _finding("unverified", step.name, "It was begun, and nothing says how it ended.", seq)


def _validation(report: Report) -> Found:
    if not any(phase["phase"] == "validate" and phase["steps"] for phase in report["phases"]):
        yield _finding("unverified", "validate", "Nothing was validated: the run did not get there.")


def _measurement(report: Report, measured: bool) -> Found:
    if not measured:
        text = "There is no client-side record: RTO is the ledger's, RPO is unknown."
        yield _finding("unverified", "measurement", text)
        rto, objective = report["rto_seconds"], report["rto_objective_seconds"]
        if rto is not None and objective is not None and rto > objective:
            yield _finding("failed", "RTO", f"{_s(rto)} by the ledger, the objective is {_s(objective)}.")
    elif not report["services"]:
        yield _finding("unverified", "measurement", "The client-side record names no service.")


def _services(report: Report) -> Found:
    for one in report["services"]:
        name = one["service"]
        if not one["measured"]:
            if report["measurement"]:
                yield _finding("unverified", name, "The client-side record does not have this service.")
            continue
        if not one["recovered"]:
            yield _finding(
                "failed", name, f"It had not come back when the record ended, {_s(one['rto_seconds'])} later."
            )
        for what, key in (("RTO", "rto"), ("RPO", "rpo")):
            value, objective = one[f"{key}_seconds"], one[f"{key}_objective_seconds"]
            if value is not None and objective is not None and value > objective:
                yield _finding("failed", name, f"{what} missed: {_s(value)}, the objective is {_s(objective)}.")
        if one["rpo_seconds"] is None or (one["lost_acknowledged_writes"] and one["rpo_seconds"] <= 0):
            yield _finding("unverified", name, "The client-side record does not say how old its lost writes were.")
        if one["acknowledged_writes"] == 0:
            yield _finding("unverified", name, "No write was acknowledged: its record proves no loss and no safety.")


def _acceptances(report: Report) -> Found:
    """Nothing proved that the old primary had stopped: whatever was measured, that stays unverified."""
    for one in report["acceptances"]:
        text = f"No receipt proved the fence; somebody accepted it by typing: {one['acceptance']}"
        yield _finding("unverified", one["step"], text, one["event"])


def _clocks(report: Report) -> Found:
    """A run whose clock was off: the recovery is as safe as ever, its times are not what they seem."""
    for one in report["controller_clocks"]:
        if is_off(one):
            yield _finding("note", "clock", told(one), one["event"])


def _loss(report: Report) -> Found:
    bound, lost = report["stated_loss_bound_seconds"], report["lost_acknowledged_writes"] or 0
    rpo = max((one["rpo_seconds"] or 0.0 for one in report["services"] if one["measured"]), default=0.0)
    if lost and bound is None:
        yield _finding("failed", "loss", f"{lost} acknowledged writes were lost, and no bound of the loss was stated.")
    elif lost and rpo > bound:
        text = f"Acknowledged writes {_s(rpo)} old were lost, the stated bound is {_s(bound)}."
        yield _finding("failed", "loss", text)
    objective = report["rpo_objective_seconds"]
    if bound is not None and objective is not None and bound > objective:
        text = f"The stated bound of the loss is {_s(bound)}, the RPO objective is {_s(objective)}."
        yield _finding("note", "loss", text)


def _primaries(report: Report, measured: bool) -> Found:
    most = report["max_writable_primaries"]
    if most is not None and most > 1:
        yield _finding("failed", "primaries", f"{most} primaries accepted writes at the same time.")
    elif measured and (most is None or not report["observer_rounds"]):
        yield _finding("unverified", "primaries", "Nobody observed how many primaries accepted writes.")
    elif report["undecided_primaries"]:
        times = report["undecided_primaries"]
        text = f"Two primaries may have accepted writes at the same time, {times} times: the order cannot be told."
        yield _finding("unverified", "primaries", text)


def _s(seconds: float) -> str:
    return f"{seconds:.10g} s"
