"""A rate of requests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """A token bucket: requests per second, and how many may come at once."""

    rate: float
    burst: float
