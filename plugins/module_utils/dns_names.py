# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names that traffic follows, as DNS servers answer for them: looked at once, or awaited.

For traffic that is switched by health, where no record changes and only DNS itself shows the effect.

PRIVATE to the collection.
"""

from __future__ import annotations

import copy
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .clock import Deadline, Wait
from .dns_observation import Observation, Server, look, wait_for
from .errors import TimedOut
from .traffic_records import normalise_name
from .traffic_report import answered

_SERVER: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "default": 53},
}

_NAME: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "required": True, "choices": ["A", "AAAA", "CNAME"]},
    "values": {"type": "list", "elements": "str", "required": True},
}


def names_options() -> dict[str, t.Any]:
    """Options of a module that watches names; doc fragment `names` mirrors them."""
    options: dict[str, t.Any] = {
        "names": {"type": "list", "elements": "dict", "default": [], "options": _NAME},
        "resolvers": {"type": "list", "elements": "dict", "default": [], "options": _SERVER},
        "name_servers": {"type": "list", "elements": "dict", "default": [], "options": _SERVER},
        "wait_resolvers_timeout": {"type": "float", "default": 180.0},
    }
    return copy.deepcopy(options)


@dataclass
class Names:
    """The names with the values that are right, and the servers to ask. Raises Refused for what is no address."""

    params: t.Mapping[str, t.Any]
    observations: list[Observation] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds = [(one, False) for one in self.params["resolvers"]] + [
            (one, True) for one in self.params["name_servers"]
        ]
        self._servers = [Server(one["name"], one["address"], one["port"], kind).checked() for one, kind in kinds]

    @property
    def asked(self) -> bool:
        """Whether there is a name and a server to ask."""
        return bool(self._questions())

    def look(self) -> None:
        """Ask every server once for every name."""
        self.observations = [look(*question) for question in self._questions()]

    def wait(self) -> dict[str, t.Any]:
        """Ask until every server gives the right values; return the wait. Raises TimedOut naming who does not."""
        questions, seconds = self._questions(), self.params["wait_resolvers_timeout"]
        deadline = Deadline(seconds)
        with Wait("dns_ttl") as wait, ThreadPoolExecutor(max_workers=len(questions)) as pool:
            self.observations = list(pool.map(lambda question: wait_for(*question, deadline=deadline), questions))
        stale = [told(one) for one in self.observations if not one.agrees]
        if stale:
            raise TimedOut(
                f"Timed out after {seconds:g} s waiting for every DNS server to give the new answer: "
                f"{'; '.join(stale)}. Check that the names' failover records exist and follow the right health "
                "checks; run again to wait on."
            )
        return wait.as_dict()

    def doubts(self) -> list[str]:
        """Return what was asked and not answered."""
        return [told(one) for one in self.observations if one.error]

    def as_dicts(self) -> list[dict[str, t.Any]]:
        """Return the observations as return values."""
        return [one.as_dict() for one in self.observations]

    def _questions(self) -> list[tuple[Server, str, str, list[list[str]]]]:
        return [
            (server, normalise_name(one["name"]), one["type"], [list(one["values"])])
            for server in self._servers
            for one in self.params["names"]
        ]


def told(seen: Observation) -> str:
    """Return what a server said for a name, for messages."""
    return f"{seen.server.name} ({seen.server.address}) answers {answered(seen)} for {seen.record} {seen.type}"
