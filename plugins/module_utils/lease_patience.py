# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long a slow store is waited for once a majority of a lease's stores has answered.

A store in a region that is cut off answers nobody and refuses nobody: whoever waits for it waits in vain, at every
operation of the lease. So the wait is short, and a store that kept one waiting is not waited for again for a while.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t

#: Seconds: the longest and the shortest wait; in between, as long as it took the majority, times the factor.
LONGEST, SHORTEST, FACTOR = 0.25, 0.05, 2.0
#: Seconds for a store that was too slow shortly before: what is there already is taken, no more.
NONE = 0.001
#: Seconds for which a slow store is remembered, unless it answers in time again.
MEMORY = 10.0


class Patience:
    """Which stores were too slow or unreachable lately, by any name that stands for the store. One for a process."""

    def __init__(self, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def grace(self, spent: float, missing: t.Iterable[str]) -> float:
        """Return how long to wait for the `missing` stores when the majority took `spent` seconds."""
        now = self._clock()
        if all(self._until.get(store, 0.0) > now for store in missing):
            return NONE
        return min(LONGEST, max(SHORTEST, FACTOR * spent))

    def failed(self, store: str) -> None:
        """Remember that the store was not waited for to the end, or was unreachable."""
        self._until[store] = self._clock() + MEMORY

    def answered(self, store: str, seconds: float) -> None:
        """Forget that a store was slow: it answered, after so many seconds, early or late."""
        if seconds <= LONGEST:
            self._until.pop(store, None)
