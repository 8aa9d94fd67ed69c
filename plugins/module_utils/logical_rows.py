# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compares the rows that came back with those that were counted in the dump's own snapshot.

pg_restore loads a data file that was cut at the end of a compressed block, or that is empty, without a word.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .clock import Deadline
from .errors import RecoveryError
from .logical_messages import Problem
from .verify_facts import count_rows
from .verify_session import Limits, Session

_REMEDY = "Fetch another copy of the recovery point, or use another one."


def row_problems(
    facts: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any], database: str, timeout: float
) -> list[Problem]:
    """Return a problem for each table that has not the rows that facts.json counted. Raises Unreachable."""
    cluster = facts.get("cluster") or {}
    tables = ((cluster.get("databases") or {}).get(facts.get("database")) or {}).get("tables") or {}
    wanted = {
        name: table["rows"] for name, table in tables.items() if table.get("leaf") and table.get("rows") is not None
    }
    found: list[Problem] = []
    if not wanted:
        return found
    with Session(options, database, Limits(statement=timeout, lock=60.0, deadline=Deadline(timeout))) as session:
        for name, rows in sorted(wanted.items()):
            try:
                there = count_rows(session, name)
            except RecoveryError as error:
                found.append(Problem("missing_table", name, str(error), _REMEDY))
                continue
            if there != rows:
                told = f"{there} rows came back; {rows} were in the dump's snapshot"
                found.append(Problem("missing_rows" if there < rows else "other_rows", name, told, _REMEDY))
    return found
