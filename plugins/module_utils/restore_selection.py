# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which entries of an archive bring some tables back whole: what they need before, and what hangs on them after.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .divergence_catalog import identifier
from .errors import Refused, failed
from .logical_toc import Entry, Toc

_RELATIONS = ("TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE")
_VIEWS = ("VIEW", "MATERIALIZED VIEW")
#: what comes with the thing that it depends on
_ATTACHED = (
    "TABLE DATA", "TABLE ATTACH", "DEFAULT", "SEQUENCE", "SEQUENCE SET", "SEQUENCE OWNED BY", "INDEX", "INDEX ATTACH",
    "CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "RULE", "POLICY", "ROW SECURITY", "STATISTICS",
    "MATERIALIZED VIEW DATA", "COMMENT", "ACL", "SECURITY LABEL",
)  # fmt: skip


@dataclass
class Selection:
    """Numbers of the chosen entries, the tables whose rows come, and what is left out, by name, with the reason."""

    chosen: set[int] = field(default_factory=set)
    tables: list[str] = field(default_factory=list)
    definitions_only: list[str] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)


def select(toc: Toc, names: t.Sequence[str]) -> Selection:
    """Choose what brings the named tables back. Raises Refused for one that is not in the archive."""
    return _Choice(toc).make(names)


class _Choice:
    def __init__(self, toc: Toc) -> None:
        self.toc = toc
        self.by_number = {entry.number: entry for entry in toc.entries}
        self.relations = {entry.number for entry in toc.of(*_RELATIONS)}
        self.chosen: set[int] = set()

    def make(self, names: t.Sequence[str]) -> Selection:
        tables = self._with_children({self._table(name).number for name in names})
        self.chosen = set(tables)
        before = -1
        while before != len(self.chosen):
            before = len(self.chosen)
            self._grow(tables)
            self._needs()
        found = Selection(self.chosen, left_out=self._left_out(tables))
        for entry in self.toc.entries:
            if entry.kind == "TABLE" and entry.number in self.chosen:
                (found.tables if entry.number in tables else found.definitions_only).append(entry.name)
        return found

    def _table(self, name: str) -> Entry:
        for entry in self.toc.of("TABLE"):
            if name in (entry.name, f"{identifier(entry.schema)}.{identifier(entry.tag)}"):
                return entry
        there = sorted(entry.name for entry in self.toc.of("TABLE"))
        near = [one for one in there if one.rpartition(".")[2] == name.rpartition(".")[2]] or there
        told = ", ".join(near[:10]) + (" and more" if len(near) > 10 else "")
        remedy = f"Name tables as schema.table; there are {told}." if there else "It has no tables."
        raise Refused(failed("restore", f"table {name}", "it is not in the dump", remedy))

    def _with_children(self, tables: set[int]) -> set[int]:
        """Partitions and children hold a table's rows."""
        while True:
            partitions = {entry.name for entry in self.toc.of("TABLE ATTACH") if entry.needs & tables}
            children = (one for one in self.toc.of("TABLE") if one.needs & tables or one.name in partitions)
            more = {entry.number for entry in children}
            if more <= tables:
                return tables
            tables = tables | more

    def _grow(self, tables: set[int]) -> None:
        """Add what hangs on what is chosen, and views all of whose tables come with their rows."""
        full = tables | {one for one in self.chosen if self.by_number[one].kind in _VIEWS}
        for entry in self.toc.entries:
            if entry.number in self.chosen or not entry.needs & self.chosen:
                continue
            relations = entry.needs & self.relations
            if entry.kind in _VIEWS:
                fits = bool(relations) and relations <= full
            elif entry.kind in ("FK CONSTRAINT", "TABLE DATA"):
                fits = bool(relations) and relations <= tables
            else:
                fits = entry.kind in _ATTACHED and relations <= self.chosen
            if fits:
                self.chosen.add(entry.number)

    def _needs(self) -> None:
        """Add what the chosen ones need before, and the schemas, with comments and rights of those."""
        added = set(self.chosen)
        while added:
            needed = {number for one in added for number in self.by_number[one].needs if number in self.by_number}
            schemas = {self.by_number[one].schema for one in added}
            needed |= {entry.number for entry in self.toc.of("SCHEMA") if entry.tag in schemas}
            added = needed - self.chosen
            self.chosen |= added
        for entry in self.toc.of("COMMENT", "ACL", "SECURITY LABEL"):
            if entry.needs and entry.needs <= self.chosen:
                self.chosen.add(entry.number)

    def _left_out(self, tables: set[int]) -> list[dict[str, str]]:
        kinds = ("FK CONSTRAINT", "TRIGGER", "RULE")
        own = tuple(f"{self.by_number[number].name} " for number in tables)
        return [
            {"object": entry.name, "kind": entry.kind.lower(), "reason": f"needs {self._without(entry)}"}
            for entry in self.toc.of(*kinds, *_VIEWS)
            if entry.number not in self.chosen and entry.needs & tables
            if entry.kind not in kinds or entry.name.startswith(own)
        ]

    def _without(self, entry: Entry) -> str:
        return ", ".join(sorted(self.by_number[one].name for one in entry.needs & self.relations - self.chosen))
