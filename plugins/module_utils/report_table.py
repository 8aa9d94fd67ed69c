# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Draws a report for a tired reader: plain text, at most 100 columns, the verdict first.

PRIVATE to the collection.
"""

from __future__ import annotations

import textwrap
import typing as t

from . import report_divergence
from .clock import from_iso
from .report_timeline import OBSERVING

WIDTH = 100
Report = t.Mapping[str, t.Any]
Row = t.Sequence[str]


def render(report: Report, report_path: str | None, ledger_path: str) -> str:
    """Return the table, without a line feed at its end."""
    blocks = [
        _head(report),
        _objectives(report),
        _phases(report),
        _services(report),
        _receipts(report),
        *_divergences(report),
        _findings(report),
        _where(report, report_path, ledger_path),
    ]
    return "\n\n".join(block for block in blocks if block)


def duration(seconds: float | None) -> str:
    """Return seconds as people read them: 0.84 s, 18.4 s, 4:05, 1:02:03."""
    if seconds is None:
        return "-"
    if abs(seconds) < 10:
        return f"{seconds:.2f} s"
    if abs(seconds) < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(abs(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return f"-{text}" if seconds < 0 else text


def _head(report: Report) -> str:
    title = f"Drill {report['drill']}" if report["drill"] else str(report["mode"]).capitalize()
    verdict = str(report["verdict"]).upper()
    line = f"{verdict}   {title}, {report['incident']}"
    run = report["runs"][0]
    more = f", {len(report['runs'])} runs" if len(report["runs"]) > 1 else ""
    declared = f"declared {_date(report['declared_at'])} by {run['actor'] or 'unknown'}{more}"
    return _wrap(f"{line}, {declared}", indent=len(verdict) + 3)


def _objectives(report: Report) -> str:
    lost, written = report["lost_acknowledged_writes"], report["acknowledged_writes"]
    loss = "no client-side record" if written is None else f"{lost} of {written} acknowledged writes lost"
    source = "outage that the clients saw" if report["rto_source"] == "client" else "ledger: declared to validated"
    bound = "none was stated" if report["loss_bound"] is None else "stated before the loss was measured"
    most = report["max_writable_primaries"]
    rows = [
        ("RTO", duration(report["rto_seconds"]), *_against(report, "rto"), source),
        ("RPO", duration(report["rpo_seconds"]), *_against(report, "rpo"), loss),
        ("loss bound", duration(report["stated_loss_bound_seconds"]), "", "", bound),
        (
            "orchestration",
            duration(report["orchestration_seconds"]),
            "",
            "",
            "RTO less lease, promotion, pods and TTL waits",
        ),
        (
            "primaries",
            "-" if most is None else str(most),
            "1",
            "",
            f"most at once, in {report['observer_rounds']} looks",
        ),
    ]
    return _table(("", "MEASURED", "OBJECTIVE", "", ""), rows, right=(1, 2))


def _against(report: Report, name: str) -> tuple[str, str]:
    value, objective = report[f"{name}_seconds"], report[f"{name}_objective_seconds"]
    if value is None or objective is None:
        return duration(objective), ""
    return duration(objective), "met" if value <= objective else "MISSED"


def _phases(report: Report) -> str:
    declared, objective = from_iso(report["declared_at"]), report["rto_objective_seconds"]
    several = len(report["runs"]) > 1
    rows = []
    for phase in report["phases"]:
        at = (from_iso(phase["ended"]) - declared).total_seconds()
        used = f"{100 * at / objective:.0f} %" if objective else ""
        name = f"{phase['phase']} (run {phase['run']})" if several else phase["phase"]
        word = "found" if phase["phase"] in OBSERVING else "failed"
        failures = f"{phase['failed']} {word}" if phase["failed"] else ""
        clock = f"{_clock(phase['started'])} - {_clock(phase['ended'])}"
        rows.append((name, clock, duration(phase["seconds"]), f"+{duration(at)}", used, str(phase["steps"]), failures))
    head = ("PHASE", "UTC", "TOOK", "SINCE DECLARED", "OF RTO", "STEPS", "")
    table = _table(head, rows, right=(2, 3, 4, 5))
    waits = [f"{wait['name']} {duration(wait['seconds'])}" for wait in report["waits"]]
    return table + ("\n" + _wrap("waits: " + ", ".join(waits), indent=9, first=2) if waits else "")


def _services(report: Report) -> str:
    rows = []
    for one in report["services"]:
        writes = one["acknowledged_writes"]
        lost = "not measured" if writes is None else f"{one['lost_acknowledged_writes']} of {writes}"
        state = "" if one["recovered"] in (True, None) else "STILL DOWN"
        tier = "-" if one["tier"] is None else str(one["tier"])
        rows.append(
            (
                one["service"],
                tier,
                _of(one["rto_seconds"], one["rto_objective_seconds"]),
                _of(one["rpo_seconds"], one["rpo_objective_seconds"]),
                lost,
                state,
            )
        )
    return _table(("SERVICE", "TIER", "RTO", "RPO", "WRITES LOST", ""), rows) if rows else ""


def _of(value: float | None, objective: float | None) -> str:
    return f"{duration(value)} of {duration(objective)}" if objective is not None else duration(value)


def _receipts(report: Report) -> str:
    rows = [
        (
            str(receipt.get("subject", "-")),
            str(receipt.get("method", "-")),
            str(receipt.get("epoch", "-")),
            _date(str(receipt["certain_at"])) if receipt.get("certain_at") else "-",
        )
        for receipt in report["receipts"]
    ]
    return _table(("FENCED", "BY", "EPOCH", "CERTAIN AT"), rows) if rows else ""


def _divergences(report: Report) -> t.Iterator[str]:
    """Yield a block for each old primary that had writes of its own."""
    for one in report.get("divergences") or []:
        table = _table(report_divergence.HEAD, report_divergence.rows(one), right=(1, 2, 3, 4, 5))
        span = f"{one['transactions']} transactions from {one['fork_lsn']} to {one['end_lsn']}"
        lines = [_wrap(f"{one['region']} ({one['cluster']}), {span}", indent=2), table]
        yield "\n".join([*lines, f"files   {report_divergence.where(one)}"])


def _findings(report: Report) -> str:
    if not report["findings"]:
        return "FINDINGS  none"
    lines = ["FINDINGS"]
    for one in report["findings"]:
        event = f" (event {one['event']})" if one["event"] else ""
        lines.append(_wrap(f"{one['level']:<10}  {one['about']}: {one['finding']}{event}", indent=14, first=2))
    return "\n".join(lines)


def _where(report: Report, report_path: str | None, ledger_path: str) -> str:
    ledger = report["ledger"]
    state = {"passed": "verified", "failed": "BROKEN"}.get(ledger["outcome"], "not fully verified")
    lines = [f"report  {report_path}"] if report_path else []
    lines.append(f"ledger  {ledger_path}")
    lines.append(f"        {ledger['events']} events, {state}, head {ledger['head'][:16]}")
    return "\n".join(lines)


def _table(head: Row, rows: t.Sequence[Row], right: t.Sequence[int] = ()) -> str:
    """Return aligned columns; the last one is cut where it would leave the page."""
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip()[:WIDTH])
    return "\n".join(line for line in lines if line)


def _wrap(text: str, indent: int, first: int = 0) -> str:
    return textwrap.fill(
        " ".join(text.split("\n")),
        WIDTH,
        initial_indent=" " * first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _clock(moment: str) -> str:
    return from_iso(moment).strftime("%H:%M:%S")


def _date(moment: str) -> str:
    return from_iso(moment).strftime("%Y-%m-%d %H:%M:%SZ")
