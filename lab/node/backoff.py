"""How long to wait before the next try."""

from __future__ import annotations


class Backoff:
    """No wait before the first retry, then ``initial`` seconds doubling up to ``maximum``."""

    def __init__(self, initial: float, maximum: float, first_is_free: bool = True) -> None:
        self._initial = initial
        self._maximum = maximum
        self._first_is_free = first_is_free
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        self._failures += 1
        doublings = self._failures - (2 if self._first_is_free else 1)
        return 0.0 if doublings < 0 else min(self._initial * 2.0 ** min(doublings, 30), self._maximum)

    def note_run(self, seconds: float) -> None:
        """Forget past failures after a run of twice the longest wait."""
        if seconds >= 2 * self._maximum:
            self._failures = 0
