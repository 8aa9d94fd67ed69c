# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges a logical backup by what it says of itself: is it whole, of the right database, and young enough?

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import typing as t
from pathlib import Path

from .clock import from_iso, utc_now
from .errors import RecoveryError
from .logical_archive import recognise
from .logical_destination import DUMP, FACTS, require_whole
from .logical_facts import read_facts
from .logical_messages import Problem

_OTHER = "Fetch another copy of the recovery point, or use another one."


def judge(
    directory: Path, database: str | None = None, max_age_seconds: float | None = None, now: dt.datetime | None = None
) -> tuple[dict[str, t.Any], list[Problem]]:
    """Return the backup's facts and what is wrong with it; the facts are empty where they cannot be read.

    `database` is the name that it has to be of, `max_age_seconds` how old the moment of its facts may be.
    """
    try:
        require_whole(directory)
        facts = read_facts(directory / FACTS)
    except RecoveryError as error:
        return {}, [Problem("incomplete_backup", directory.name, str(error), _OTHER)]
    problems = _database_problems(directory, facts, database)
    if max_age_seconds is not None:
        problems += _age_problems(facts, max_age_seconds, now or utc_now())
    return facts, problems


def _database_problems(directory: Path, facts: t.Mapping[str, t.Any], wanted: str | None) -> list[Problem]:
    names = {"facts.json": facts.get("database")}
    with contextlib.suppress(RecoveryError):  # the restore says what is wrong with it
        names["the dump"] = recognise(directory / DUMP).database
    expected = wanted or facts.get("database")
    wrong = {where: name for where, name in names.items() if name != expected}
    told = ", ".join(f"{where} is of database {name}" for where, name in wrong.items())
    remedy = f"Use a recovery point of {expected}."
    return [Problem("other_database", directory.name, f"{told}, and not of {expected}", remedy)] if wrong else []


def _age_problems(facts: t.Mapping[str, t.Any], limit: float, now: dt.datetime) -> list[Problem]:
    moment = facts.get("moment")
    if not moment:
        cause = "facts.json names no moment: the standby it is from had replayed nothing"
        return [Problem("unknown_age", FACTS, cause, "Back up from the primary, or once it has replayed a commit.")]
    age = (now - from_iso(str(moment))).total_seconds()
    if age <= limit:
        return []
    cause = f"it has what was committed until {moment}, {age:.0f} s ago; {limit:.0f} s are allowed"
    return [Problem("stale_backup", FACTS, cause, "Use a newer recovery point, and see why backups are overdue.")]
