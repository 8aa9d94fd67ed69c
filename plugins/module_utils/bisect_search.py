# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The search itself: between a moment that is good and one that is bad, with few restores.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .bisect_plan import Chooser

#: whether the moment after the candidate of this number is good
Ask = t.Callable[[int], bool]


@dataclass
class Span:
    """`good` is the last candidate known to be good (-1: the base itself), `bad` the first known to be bad."""

    good: int
    bad: int

    @property
    def left(self) -> int:
        """How many candidates may be the first bad one."""
        return self.bad - self.good


def narrow(span: Span, ask: Ask, chooser: t.Callable[[], Chooser], go_on: t.Callable[[], bool]) -> Span:
    """Ask until one candidate is left, or `go_on` says no. The costs are measured anew before each step."""
    while span.left > 1 and go_on():
        index = span.good + chooser().ahead(span.left)
        if ask(index):
            span.good = index
        else:
            span.bad = index
    return span


def newest_good(count: int, ask: Ask) -> int | None:
    """Return the newest good one of `count` backups, the newest being bad; None where even the oldest is bad."""
    low, high = -1, count - 1
    while high - low > 1:
        middle = (low + high) // 2
        if ask(middle):
            low = middle
        else:
            high = middle
    return low if low >= 0 else None
