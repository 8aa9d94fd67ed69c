# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with pgBackRest's repositories: each holds backups of its own, so copies are counted by repository.

PRIVATE to the collection.
"""

from __future__ import annotations

from .clock import to_iso
from .recovery_points_judge import Judge
from .recovery_points_model import FAILED, INCOMPLETE, UNVERIFIED
from .recovery_points_pgbackrest import Repository


def judge_repositories(judge: Judge, holders: list[Repository]) -> None:
    """Add findings to the component: in place of a newest point's copies, the repositories that are fresh enough."""
    component, asked, limits = judge.component, judge.asked, judge.limits
    component.findings = [one for one in component.findings if one.kind != "too_few_copies"]
    fresh, silent = [], []
    for one in holders:
        if one.error:
            silent.append(one.name)
            text = f"Repository {one.name} of {judge.place} could not be read: {one.error}"
            component.find(UNVERIFIED, "unreachable_store", text, store=one.name)
            continue
        ends = [one.until(backup["from"]) for backup in one.backups.values() if not backup["error"]]
        newest = max(ends, default=None)
        if newest is None:
            component.find(
                FAILED, "no_point", f"Repository {one.name} of {judge.place} has no good backup", "", one.name
            )
        elif (limits.now - newest).total_seconds() > asked.every_seconds * (1 + limits.grace):
            asked_for = f"asked are {asked.every_seconds} s"
            text = f"Repository {one.name} restores {judge.place} to {to_iso(newest)} at best; {asked_for}"
            component.find(FAILED, "overdue_backup", text, "", one.name)
        else:
            fresh.append(one.name)
    if len(fresh) < asked.copies:
        level = UNVERIFIED if len(fresh) + len(silent) >= asked.copies else FAILED
        told = ", ".join(fresh) or "none"
        text = f"{judge.place} is fresh in {len(fresh)} of {asked.copies} repositories: {told}"
        component.find(level, "too_few_copies", text)
    for point in component.points:
        for copy in point.copies:
            if copy.state == INCOMPLETE:
                text = f"{judge.place}/{point.id} in {copy.store}: {copy.why}"
                component.find(FAILED, "incomplete_copy", text, point.id, copy.store)
