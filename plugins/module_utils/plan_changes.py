# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What changed between two observations, in the words of whoever has to decide again.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

#: changes of one section that a message names; the rest is counted
_NAMED = 3
#: members that say which thing an item of a list is
_IDENTITY = ("name", "object")


def changes(before: t.Any, after: t.Any) -> list[str]:
    """Return one line for every value that differs: where it is, what it was, what it is."""
    old, new = _flat(before), _flat(after)
    return [
        f"{place or 'it'} {old.get(place, 'absent')} -> {new.get(place, 'absent')}"
        for place in dict.fromkeys([*old, *new])
        if old.get(place) != new.get(place)
    ]


def summary(lines: t.Sequence[str]) -> str:
    """Return the first lines in one, and how many more there are."""
    more = len(lines) - _NAMED
    return "; ".join(lines[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _flat(value: t.Any, place: str = "") -> dict[str, str]:
    """Return every value with the place it stands at, such as `main epoch`."""
    if isinstance(value, t.Mapping):
        found: dict[str, str] = {}
        for name, item in value.items():
            if name not in _IDENTITY or not place:
                found.update(_flat(item, f"{place} {name}".strip()))
        return found
    if isinstance(value, (list, tuple)) and any(isinstance(item, t.Mapping) for item in value):
        found = {}
        for number, item in enumerate(value, 1):
            found.update(_flat(item, f"{place} {_identity(item, number)}".strip()))
        return found
    return {place: _shown(value)} if place or value else {}


def _identity(item: t.Any, number: int) -> str:
    names = [str(item[key]) for key in _IDENTITY if item.get(key)] if isinstance(item, t.Mapping) else []
    return " ".join(names) or str(number)


def _shown(value: t.Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value is None or value == "" else str(value)
