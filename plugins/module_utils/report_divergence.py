# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report's section on divergent writes: what only an old primary had, where it is kept, what could not be read.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from pathlib import PurePath

from .ledger_event import Event

HEAD = ("DIVERGENT WRITES", "INSERTED", "UPDATED", "DELETED", "WRITTEN", "UNRESOLVED", "")
_COUNTS = ("inserted", "updated", "deleted", "written", "unresolved")
#: kinds of what is no row that mean that something is not known
_UNKNOWN = {
    "lost_storage": "changes of tables that are gone and cannot be named",
    "wal_before_the_fork_gone": "deletes of transactions that began before the WAL that is left",
}
_LONGEST = 44


def divergences(events: t.Sequence[Event]) -> list[dict[str, t.Any]]:
    """Return what pg_divergence found last of each cluster and fork, with the number of its event."""
    found: dict[tuple[t.Any, ...], dict[str, t.Any]] = {}
    for event in events:
        evidence = event.data.get("evidence")
        if isinstance(evidence, dict) and {"diverged", "fork_lsn", "totals", "region"} <= evidence.keys():
            found[evidence["region"], evidence.get("cluster"), evidence["fork_lsn"]] = {**evidence, "event": event.seq}
    return [one for one in found.values() if one["diverged"]]


def findings(report: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str, str, int]]:
    """Yield (level, about, text, event): saved is a note, what could not be read leaves the recovery unverified."""
    for one in report.get("divergences") or []:
        about, totals = f"divergence {one['region']}", one["totals"]
        many = f"{one['transactions']} committed transactions are on the old primary alone"
        if not one.get("saved"):
            yield "unverified", about, f"{many}: they were counted, not saved.", one["event"]
            continue
        yield "note", about, f"{many}; they are saved, see {one['manifest']}.", one["event"]
        if totals.get("unresolved"):
            text = f"{totals['unresolved']} changed rows could not be read; the files name each by table and place."
            yield "unverified", about, text, one["event"]
        kinds = {other.get("kind") for other in one.get("others") or []}
        for kind in _UNKNOWN.keys() & kinds:
            yield "unverified", about, f"Not known: {_UNKNOWN[kind]}. The WAL is saved.", one["event"]


def rows(one: t.Mapping[str, t.Any]) -> list[tuple[str, ...]]:
    """Return one divergence as rows below HEAD: a line a table, then what is no row of a table."""
    found = []
    for table in one["tables"]:
        names = [table["database"], table.get("schema"), table["table"]]
        name = ".".join(str(part) for part in names if part)
        counts = ["-" if table.get(count) is None else str(table[count]) for count in _COUNTS]
        found.append((_short(name), *counts, ""))
    kinds: dict[str, int] = {}
    for other in one.get("others") or []:
        kinds[str(other.get("kind"))] = kinds.get(str(other.get("kind")), 0) + 1
    if kinds:
        also = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
        found.append((f"also: {also}", *("",) * (len(HEAD) - 1)))
    return found


def where(one: t.Mapping[str, t.Any]) -> str:
    """Return the directory of the files, or that there is none."""
    return str(PurePath(one["manifest"]).parent) if one.get("saved") else "counted, not saved"


def _short(name: str) -> str:
    name = "".join(letter if letter.isprintable() else "?" for letter in name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."
