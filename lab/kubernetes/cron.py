"""Whether a CronJob's schedule can be read (five fields, or a descriptor such as ``@daily``)."""

from __future__ import annotations

import re

_DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_RANGE = re.compile(r"^(?P<first>\*|\?|\w+)(-(?P<last>\w+))?(/(?P<step>\d+))?$")


def schedule_problem(schedule: str) -> str | None:
    """Why the schedule cannot be read, or None where it can."""
    text = schedule.strip()
    if text.startswith("@"):
        is_known = text in _DESCRIPTORS or re.fullmatch(r"@every \d+\w+", text)
        return None if is_known else f"unrecognized descriptor: {text}"
    fields = text.split()
    if len(fields) != 5:
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    for field, bounds in zip(fields, _BOUNDS, strict=True):
        for part in field.split(","):
            problem = _range_problem(part, *bounds)
            if problem:
                return problem
    return None


def _range_problem(text: str, low: int, high: int, names: dict[str, int]) -> str | None:
    found = _RANGE.match(text)
    if not found:
        return f"failed to parse int from {text}"
    if found["step"] == "0":
        return f"step of range should be a positive number: {text}"
    if found["first"] in ("*", "?"):
        return None
    words = (found["first"], found["last"] or found["first"])
    ends = [names.get(word.lower(), int(word) if word.isdigit() else None) for word in words]
    first, last = ends
    if first is None or last is None:
        return f"failed to parse int from {words[0] if first is None else words[1]}"
    return _bounds_problem(text, first, last, low, high)


def _bounds_problem(text: str, first: int, last: int, low: int, high: int) -> str | None:
    if first < low:
        return f"beginning of range ({first}) below minimum ({low}): {text}"
    if last > high:
        return f"end of range ({last}) above maximum ({high}): {text}"
    return f"beginning of range ({first}) beyond end of range ({last}): {text}" if first > last else None
