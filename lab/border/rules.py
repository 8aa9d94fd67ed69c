"""What may pass a region's edge, and how: one rule for each peer and direction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .config import DIRECTIONS


@dataclass(frozen=True)
class Rule:
    """How the bytes of one direction travel. Nothing set: at once, all of them.

    A packet that is lost costs what TCP's retransmission costs: everything behind it waits.
    """

    #: nothing passes: a black hole, not a refusal
    drop: bool = False
    #: seconds that each byte travels
    delay: float = 0.0
    #: bytes a second for all connections together; None is unlimited
    rate: float | None = None
    #: the probability that a packet is lost
    loss: float = 0.0
    #: of the losses
    seed: int = 0

    @property
    def plain(self) -> bool:
        """Whether bytes pass at once."""
        return not (self.drop or self.delay or self.rate or self.loss)

    def with_other(self, other: Rule) -> Rule:
        """Both faults at once: the worse of each."""
        rates = [rate for rate in (self.rate, other.rate) if rate]
        return Rule(
            self.drop or other.drop,
            max(self.delay, other.delay),
            min(rates, default=None),
            max(self.loss, other.loss),
            self.seed or other.seed,
        )


PASS = Rule()


@dataclass(frozen=True)
class Rules:
    """The rules in force; ``version`` tells two files apart."""

    version: str = ""
    table: Mapping[tuple[str, str], Rule] = field(default_factory=dict)

    def of(self, peer: str, direction: str) -> Rule:
        """The rule of one direction of the traffic with a peer."""
        return self.table.get((peer, direction), PASS)

    @classmethod
    def load(cls, path: Path) -> Rules:
        """Read the file; everything passes where there is none. Raises ValueError for a broken one."""
        try:
            document = json.loads(path.read_text())
        except FileNotFoundError:
            return cls()
        try:
            peers: dict[str, Any] = document["peers"]
            table = {
                (peer, direction): Rule(**rule) for peer, ways in peers.items() for direction, rule in ways.items()
            }
            unknown = {direction for _peer, direction in table} - set(DIRECTIONS)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"Failed to read the rules {path}: {error!r}") from error
        if unknown:
            raise ValueError(f"Failed to read the rules {path}: unknown directions {sorted(unknown)}")
        return cls(str(document["version"]), table)


def as_document(version: str, rules: Iterable[tuple[str, str, Rule]]) -> dict[str, Any]:
    """The rules file for (peer, direction, rule), in which a peer may come more than once."""
    table: dict[tuple[str, str], Rule] = {}
    for peer, direction, rule in rules:
        table[peer, direction] = table.get((peer, direction), PASS).with_other(rule)
    peers: dict[str, dict[str, Any]] = {}
    for (peer, direction), rule in table.items():
        peers.setdefault(peer, {})[direction] = asdict(rule)
    return {"version": version, "peers": peers}
