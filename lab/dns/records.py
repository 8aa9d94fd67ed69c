"""The record set: what a hosted zone holds and what DNS answers from."""

from __future__ import annotations

from dataclasses import dataclass


def normalise_name(name: str) -> str:
    """Lower case with a closing dot, a leading wildcard label as ``*``."""
    lowered = name.strip().lower().rstrip(".") + "."
    return "*" + lowered[4:] if lowered.startswith("\\052.") else lowered


def within(name: str, zone: str) -> bool:
    """Whether a normalised name is the zone's apex or lies below it."""
    return name == zone or name.endswith("." + zone)


@dataclass(frozen=True)
class Alias:
    """Answers with another record set of the same zone and type."""

    zone_id: str
    name: str
    evaluate_target_health: bool


@dataclass(frozen=True)
class RecordSet:
    """One record set; several of one name and type differ by ``set_identifier``.

    ``ttl`` is in seconds and None for an alias. ``weight`` and ``failover`` name the routing policy; a set with neither
    is a simple one.
    """

    name: str
    type: str
    ttl: int | None = None
    values: tuple[str, ...] = ()
    set_identifier: str | None = None
    weight: int | None = None
    failover: str | None = None
    health_check_id: str | None = None
    alias: Alias | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes this record set one and the same within its zone."""
        return (self.name, self.type, self.set_identifier or "")

    @property
    def policy(self) -> str:
        """The routing policy: ``simple``, ``weighted`` or ``failover``."""
        if self.weight is not None:
            return "weighted"
        return "failover" if self.failover is not None else "simple"
