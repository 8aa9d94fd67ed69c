"""One direction of the traffic with one peer: when a byte that enters it leaves it."""

from __future__ import annotations

import random
from collections.abc import Callable

from .rules import PASS, Rule

PACKET_BYTES = 1460
#: TCP's first retransmission timeout for data and for a connection's first packet; each further one doubles
RETRANSMIT_SECONDS = 0.2
CONNECT_RETRANSMIT_SECONDS = 1.0


class Lane:
    """Shared by all connections with the peer, as a network link is."""

    def __init__(self, peer: str, direction: str) -> None:
        self.rule = PASS
        self._name = f"{peer} {direction}"
        self._free = 0.0
        self._random = random.Random()
        self._listeners: set[Callable[[], None]] = set()

    def set(self, rule: Rule) -> None:
        """Change the rule; all that waits is told. What is under way keeps the time that it was given."""
        if rule != self.rule:
            self.rule = rule
            self._random = random.Random(f"{rule.seed} {self._name}")
            for tell in list(self._listeners):
                tell()

    def watch(self, tell: Callable[[], None]) -> None:
        """Call this after each change."""
        self._listeners.add(tell)

    def forget(self, tell: Callable[[], None]) -> None:
        """Call it no more."""
        self._listeners.discard(tell)

    def leaves(self, now: float, size: int, after: float) -> float:
        """When ``size`` bytes that enter now are through; never before ``after``, when those ahead of them are."""
        rule = self.rule
        if rule.plain:
            return max(now, after)
        through = now
        if rule.rate:
            self._free = through = max(now, self._free) + size / rule.rate
        stall = sum(self._stall(RETRANSMIT_SECONDS) for _ in range(0, size, PACKET_BYTES)) if rule.loss else 0.0
        return max(through + rule.delay, after) + stall

    def connect_seconds(self) -> float:
        """How long a connection's first packet travels."""
        return self.rule.delay + (self._stall(CONNECT_RETRANSMIT_SECONDS) if self.rule.loss else 0.0)

    def _stall(self, timeout: float) -> float:
        """What the loss of one packet costs: 0 mostly, else the sum of the timeouts until a copy of it arrives."""
        waited = 0.0
        while self._random.random() < self.rule.loss and timeout < 30:
            waited += timeout
            timeout *= 2
        return waited
