# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a step can do without a region: each of its needs judged, and drawn as a table.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .needs import CONTROL, Need
from .stability_regions import Regions, shown

FINE, TOLERATED, VIOLATION, UNKNOWN = "fine", "tolerated", "VIOLATION", "UNKNOWN"
OUTSIDE = "outside"


@dataclass(frozen=True)
class Step:
    """One task of a playbook: where it stands, what it is called, what it runs."""

    play: str
    task: str
    module: str
    place: str = ""


@dataclass(frozen=True)
class Finding:
    """What one step needs once, where that is, and what the loss of the region means to it."""

    step: Step
    api: str
    plane: str
    where: str
    endpoint: str
    verdict: str
    why: str = ""

    def as_dict(self) -> dict[str, str]:
        """JSON-safe, for a return value."""
        kept = {name: getattr(self, name) for name in ("api", "plane", "where", "endpoint", "verdict", "why")}
        return {"play": self.step.play, "task": self.step.task, "module": self.step.module, **kept}

    @property
    def problem(self) -> str:
        """One line that names the task and what is wrong."""
        place = f" ({self.step.place})" if self.step.place else ""
        return f"{self.step.play} / {self.step.task}{place}: {self.why}"


def judge(step: Step, needs: t.Sequence[Need], regions: Regions, failed: str) -> list[Finding]:
    """Return one finding a need of a step, should region `failed` be lost."""
    places = [(need, regions.of(need)) for need in needs]
    found = []
    for need, region in places:
        home = need.home
        where = home or region or OUTSIDE
        lost = failed in (home, region)
        left = sum(1 for other, place in places if other.group == need.group and failed not in (other.home, place))
        if not lost:
            verdict, why = FINE, ""
        elif need.tolerated:
            verdict, why = TOLERATED, need.tolerated
        elif need.quorum and left >= need.quorum:
            verdict, why = TOLERATED, f"{left} of the {need.group} remain, {need.quorum} would do"
        else:
            verdict, why = VIOLATION, needed(need, failed)
        found.append(Finding(step, need.api, need.plane, where, shown(need.endpoint), verdict, why))
    return found


def needed(need: Need, failed: str) -> str:
    """Return what is wrong with a need that goes with the failed region."""
    if need.home == failed:
        return f"needs the control plane of {need.api} in {failed}"
    plane = "the control plane of " if need.plane == CONTROL else ""
    endpoint = f" ({shown(need.endpoint)})" if shown(need.endpoint) else ""
    return f"needs {plane}{need.api} in {failed}{endpoint}"


def unknown(step: Step, why: str) -> Finding:
    """Return the finding of a step whose needs cannot be told; that is no pass."""
    return Finding(step, "?", "?", "?", "", UNKNOWN, why)


def outcome(findings: t.Sequence[Finding]) -> str:
    """Return failed where a step needs what is lost, else unverified where one could not be judged, else passed."""
    verdicts = {one.verdict for one in findings}
    if VIOLATION in verdicts:
        return "failed"
    return "unverified" if UNKNOWN in verdicts or not findings else "passed"


def table(findings: t.Sequence[Finding]) -> str:
    """Draw the findings, a play a block; what a task asks twice at one place is one line."""
    rows: list[tuple[str, ...]] = [("TASK", "API", "PLANE", "REGION", "WITHOUT THE REGION")]
    blocks: dict[str, list[tuple[str, ...]]] = {}
    for one in findings:
        verdict = one.verdict + (f": {one.why}" if one.why else "")
        row = (f"  {one.step.task}", one.api, one.plane, one.where, verdict)
        block = blocks.setdefault(one.step.play, [])
        if row not in block:
            block.append(row)
    rows += [row for block in blocks.values() for row in block]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]

    def line(row: tuple[str, ...]) -> str:
        return "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[4]]).rstrip()

    drawn = [line(rows[0])]
    for play, block in blocks.items():
        drawn += [play, *map(line, block)]
    return "\n".join(drawn)
