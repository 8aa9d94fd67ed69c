# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the source had beside what is here: each difference by kind and name.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t

from .verify_rung import Rung

Document = t.Mapping[str, t.Any]


class Comparison:
    """Compares one database's facts, or those of the whole cluster (`database` empty)."""

    def __init__(self, rung: Rung, database: str, ignored: t.Callable[[str], bool]) -> None:
        self._rung, self._ignored = rung, ignored
        self._where = f"{database}: " if database else ""

    def failed(self, reason: str) -> None:
        """One difference."""
        self._rung.failed(f"{self._where}{reason}.")

    def value(self, what: str, before: t.Any, now: t.Any) -> None:
        """One value that has to be the same."""
        if before != now:
            self.failed(f"{what} is {now}, the source had {before}. Create the database anew with it")

    def names(self, kind: str, before: t.Iterable[str], now: t.Container[str]) -> list[str]:
        """Name what is missing; return what is there."""
        there = []
        for name in before:
            if name in now:
                there.append(name)
            elif not self._ignored(name):
                self.failed(f"{kind} {name} is missing, the source had it. Restore it")
        return there

    def documents(self, kind: str, before: Document, now: Document) -> None:
        """Each has to be there and the same."""
        for name in self.names(kind, before, now):
            if before[name] != now[name] and not self._ignored(name):
                self.failed(f"{kind} {name} differs from the source's{_members(before[name], now[name])}")

    def definitions(self, kind: str, before: Document, now: Document, exact: bool) -> None:
        """Constraints, indexes, triggers.

        PostgreSQL may word an expression otherwise once it was dumped and loaded: unless `exact` only names and
        switches count, and of constraints those without expressions.
        """
        for name in self.names(kind, before, now):
            one, other = before[name], now[name]
            stable = exact or one.get("kind") in ("f", "p", "u")
            if stable and one["digest"] != other["digest"] and not self._ignored(name):
                self.failed(f"{kind} {name} is defined otherwise than in the source")
            if one.get("enabled") != other.get("enabled") and not self._ignored(name):
                state = "disabled" if other["enabled"] == "D" else "enabled in another mode"
                self.failed(f"{kind} {name} is {state}, the source had it otherwise")

    def tables(self, before: Document, now: Document) -> None:
        """Tables, views and foreign tables with their columns."""
        kinds = {"r": "table", "p": "table", "m": "materialized view", "v": "view", "f": "foreign table"}
        for name in before:
            kind = kinds[before[name]["kind"]]
            if not self.names(kind, [name], now):
                continue
            for key, what in (
                ("columns", "other columns"), ("kind", "another kind"), ("persistence", "another persistence"),
                ("owner", "another owner"), ("row_security", "row security switched otherwise"),
            ):  # fmt: skip
                if before[name][key] != now[name][key] and not self._ignored(name):
                    self.failed(f"{kind} {name} has {what} than in the source")

    def extensions(self, before: Document, now: Document) -> None:
        """A newer version than the source's is what a newer server brings."""
        for name in self.names("extension", before, now):
            wanted, found = before[name]["version"], now[name]["version"]
            if _numbers(found) < _numbers(wanted) and not self._ignored(name):
                self.failed(
                    f"extension {name} is version {found}, the source had {wanted}. ALTER EXTENSION {name} UPDATE"
                )

    def grants(self, before: Document, now: Document) -> None:
        """Rights that are missing, and rights that nobody granted."""
        for name in sorted(before.keys() | now.keys()):
            had, has = set(before.get(name, ())), set(now.get(name, ()))
            if self._ignored(name):
                continue
            for right in sorted(had - has):
                self.failed(f"grant on {name} is missing: {right}. Restore the grants")
            for right in sorted(has - had):
                self.failed(f"grant on {name} is more than the source had: {right}. Revoke it")


def _members(before: t.Any, now: t.Any) -> str:
    if not isinstance(before, dict):
        return ""
    return ": " + ", ".join(
        f"{key} is {now.get(key)}, not {value}" for key, value in before.items() if now.get(key) != value
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
