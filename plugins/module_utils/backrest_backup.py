# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Taking backups: of the type that is due, into each repository, by the primary.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import backrest_info as info
from .backrest_command import Backrest, Progress, Repository, Tell
from .backrest_info import Facts
from .clock import from_iso, utc_now
from .errors import RecoveryError, Refused, failed
from .sql import Postgres

#: what each type stands on, the strongest first
TYPES = ("full", "diff", "incr")


@dataclass(frozen=True)
class Plan:
    """What is to be taken where; `type` is None where nothing is due."""

    repository: Repository
    type: str | None
    reason: str


def due(backups: list[Facts], schedule: t.Mapping[str, float | None]) -> tuple[str | None, str]:
    """Return the type that is due and why. A backup with damaged pages counts as none; an incr is no full.

    `schedule` gives seconds from the start of one backup to the start of the next, by type.
    """
    if not any(one["type"] == "full" for one in backups):
        return "full", "there is no full backup"
    now = utc_now()
    for number, kind in enumerate(TYPES):
        every = schedule.get(kind)
        if every is None:
            continue
        stronger = [one for one in backups if TYPES.index(one["type"]) <= number]
        age = (now - from_iso(max(one["started"] for one in stronger))).total_seconds()
        if age >= every:
            return kind, f"the last {' or '.join(TYPES[: number + 1])} is {age:.0f} s old, one is due every {every:g} s"
    return None, "nothing is due"


def plan(backrest: Backrest, entries: list[Facts], copies: list[str], kind: str, schedule: Facts) -> list[Plan]:
    """Return what to take into each repository of `copies` (all when empty) that can be used."""
    plans = []
    for entry in entries:
        if copies and entry["name"] not in copies:
            continue
        repository = backrest.repository(entry["name"])
        if not info.usable(entry):
            continue
        given = (kind, "asked for") if kind != "due" else due(info.sound(entry), schedule)
        plans.append(Plan(repository, *given))
    return plans


def require_primary(backrest: Backrest) -> None:
    """Raise Refused on a standby: only the region that may write takes backups, or two would race."""
    if not backrest.postgres:
        raise Refused(failed("take", "a backup", "the server is not named", "Give postgres."))
    with Postgres(backrest.postgres) as server:
        if server.row("SELECT pg_is_in_recovery()")[0]:
            remedy = "Take it in the region that holds the lease."
            raise Refused(failed("take", f"a backup of {server.name}", "it is a standby", remedy))


def take(backrest: Backrest, one: Plan, before: list[Facts], timeout: float, tell: Tell | None) -> Facts:
    """Take one backup and return it as the repository lists it. Raises RecoveryError; then no such backup is listed."""
    what = f"a {one.type} backup of stanza {backrest.stanza} into {one.repository}"
    progress = Progress(f"pg_backrest {one.type} backup into {one.repository.name}", None, tell)
    backrest.run(
        "take", what, "backup", one.repository.option, f"--type={one.type}", timeout=timeout, asks_server=True,
        watch=progress,
    )  # fmt: skip
    known = {backup["label"] for backup in before}
    after = next(entry for entry in info.look(backrest, 60.0, False) if entry["name"] == one.repository.name)
    fresh = [backup for backup in after["backups"] if backup["label"] not in known]
    if not fresh:
        raise RecoveryError(failed("find", what, "the repository does not list it: " + ("; ".join(after["reasons"]))))
    return fresh[-1]
