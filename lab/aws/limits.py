"""Request throttling, as AWS documents it: token buckets for the account and for single operations."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lab.aws.config import Throttle
from lab.aws.errors import ApiError
from lab.aws.rate import Rate


class TokenBucket:
    """Holds at most ``burst`` tokens, refilled at ``rate`` a second."""

    def __init__(self, limit: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._tokens = float(limit.burst)
        self._filled = clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one token; False when there is none."""
        with self._lock:
            now = self._clock()
            self._tokens = min(float(self._limit.burst), self._tokens + (now - self._filled) * self._limit.rate)
            self._filled = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True


class RequestLimits:
    """Every bucket a request has to pass."""

    def __init__(self, throttle: Throttle, clock: Callable[[], float] = time.monotonic) -> None:
        self._account = TokenBucket(throttle.account, clock)
        self._operations = {name: TokenBucket(rate, clock) for name, rate in throttle.operations.items()}

    def admit(self, operation: str) -> None:
        """Let a request pass, or raise Throttling."""
        own = self._operations.get(operation)
        if not self._account.take() or (own is not None and not own.take()):
            raise ApiError("Throttling", "Rate exceeded")
