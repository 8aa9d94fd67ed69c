# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The recovery points of all components on one screen, drawn for people: the verdict first, then what is wrong.

PRIVATE to the collection.
"""

from __future__ import annotations

import textwrap
import typing as t

from .report_table import WIDTH, duration

_HEAD = ("component", "can be restored to", "age", "asked", "points", "complete in", "last proof")


def table(result: t.Mapping[str, t.Any]) -> str:
    """Return the table, without a line feed at its end."""
    rows = [_HEAD, *(_row(one) for one in result["components"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [f"{str(result['outcome']).upper()}   recovery points", ""]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for title, name in (("wrong", "problems"), ("not known", "unverified")):
        if result[name]:
            lines += ["", f"{title}:"]
            lines += [_wrapped(text) for text in result[name]]
    return "\n".join(lines)


def _row(one: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    proof = one["last_proof"]
    return (
        f"{one['service']}/{one['component']}",
        f"{one['window']['to'][:19]}Z" if one["window"] else "-",
        duration(one["age_seconds"]),
        duration(float(one["every_seconds"])),
        f"{one['usable_points']} of {one['points']}",
        f"{', '.join(one['complete_in']) or '-'} ({one['copies']} asked)",
        f"{proof['outcome']} {proof['time'][:16]}Z" if proof else "never",
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
