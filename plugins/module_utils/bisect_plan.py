# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which moment to ask next: recovery goes forward cheaply, and backward only by another restore.

A step forward costs `step` seconds. Where the answer is "bad" the next moment lies behind, so that it costs `restore`
seconds on top. Halving would pay for a restore every other time; walking would ask every transaction. Between them
lies one best share of the transactions that are left to step over: that with which a bad answer, which is dear,
narrows the rest down by as much more as it costs more. Then every path to the answer takes about the same time.

PRIVATE to the collection.
"""

from __future__ import annotations

import math

#: up to so many candidates the best step is computed exactly, with every outcome
_EXACT = 96
#: a step is never free: a clock that saw none would have us walk
_LEAST = 1e-3


class Chooser:
    """The best steps for one pair of costs, in seconds."""

    def __init__(self, restore: float, step: float) -> None:
        self.restore, self.step = max(0.0, restore), max(_LEAST, step)
        self._good = _share_of_good(self.restore / self.step)
        self._expected, self._steps = [0.0, 0.0], [0, 0]

    @property
    def share(self) -> float:
        """The share of a long stretch to step over: 0.5 where restores cost nothing, less the dearer they are."""
        return 1.0 - self._good

    def ahead(self, candidates: int) -> int:
        """Return how many transactions to go forward, where one of so many (at least 2) is the first bad one."""
        if candidates <= _EXACT:
            self._compute(candidates)
            return self._steps[candidates]
        return min(candidates - 1, max(1, round(candidates * self.share)))

    def seconds(self, candidates: int) -> float:
        """Return how long the search will take, on average over where the first bad one is."""
        near = min(max(1, candidates), _EXACT)
        self._compute(near)
        far = math.log(candidates / near) if candidates > near else 0.0
        return self._expected[near] + self.step * far / -math.log(self._good)

    def _compute(self, candidates: int) -> None:
        for n in range(len(self._expected), candidates + 1):
            best, steps = math.inf, 1
            for k in range(1, n):
                again = self.restore if k > 1 else 0.0  # with one candidate left nothing is asked again
                cost = (k * (again + self._expected[k]) + (n - k) * self._expected[n - k]) / n
                if cost < best:
                    best, steps = cost, k
            self._expected.append(self.step + best)
            self._steps.append(steps)


def _share_of_good(ratio: float) -> float:
    """Solve x + x ** (1 + ratio) = 1 for x in [0.5, 1): the share that a good answer leaves."""
    low, high = 0.5, 1.0
    for _round in range(60):
        middle = (low + high) / 2
        if middle + middle ** (1.0 + ratio) < 1.0:
            low = middle
        else:
            high = middle
    return min(low, 1.0 - 1e-9)
