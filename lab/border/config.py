"""The border's configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Address = tuple[str, int]
DIRECTIONS = ("in", "out")


class ConfigError(Exception):
    """The configuration file cannot be used."""


@dataclass(frozen=True)
class Route:
    """One address that the border answers at, and where it leads; connections are made in the direction ``opens``."""

    name: str
    peer: str
    opens: str
    listen: Address
    forward: Address

    @property
    def answers(self) -> str:
        """The direction of what comes back."""
        return "out" if self.opens == "in" else "in"


@dataclass(frozen=True)
class Config:
    """Everything the border is told at its start; rules are read again whenever it is told to (SIGHUP)."""

    region: str
    #: the address that connections beyond the region's edge come from
    source: str
    rules: Path
    #: where the border says which version of the rules is in force
    applied: Path
    routes: tuple[Route, ...]

    @classmethod
    def load(cls, path: Path) -> Config:
        """Read the JSON file; ConfigError names what is wrong with it."""
        try:
            document = json.loads(path.read_text())
            routes = tuple(_route(entry) for entry in document["routes"])
            rules, applied = Path(document["rules"]), Path(document["applied"])
            return cls(str(document["region"]), str(document["source"]), rules, applied, routes)
        except KeyError as error:
            raise ConfigError(f"Failed to read {path}: no value for {error}") from error
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"Failed to read {path}: {error}") from error


def _route(entry: dict[str, Any]) -> Route:
    if entry["opens"] not in DIRECTIONS:
        raise ValueError(f"a route opens in or out, not {entry['opens']}")
    listen, forward = ((str(entry[name][0]), int(entry[name][1])) for name in ("listen", "forward"))
    return Route(str(entry["name"]), str(entry["peer"]), str(entry["opens"]), listen, forward)
