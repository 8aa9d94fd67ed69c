# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shift traffic by an object in a store: pre-made failover records follow a health check that looks for the object.

The check of the PRIMARY record is inverted. While there is no object, or the store is away, it counts as healthy and
the PRIMARY answers; once the object is there, it fails, and the SECONDARY answers. So nothing but one write to a store
outside the failed region moves the clients, and losing the store moves nobody.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import typing as t
from collections import Counter
from dataclasses import dataclass, field

from . import needs
from .clock import Deadline
from .connections import record_option, store_option
from .dns_names import Names, names_options
from .errors import RecoveryError, Refused, TimedOut
from .execution import Params, Result, Specification
from .object_store import ObjectMissing, ObjectStore, PreconditionFailed

BODY = json.dumps({"serves": "SECONDARY"}).encode() + b"\n"
PAUSE_SECONDS = 0.1

_SWITCH: dict[str, t.Any] = {
    "key": {"type": "str", "required": True, "no_log": False},  # of an object
    "position": {"type": "str", "choices": ["PRIMARY", "SECONDARY"]},
}

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["present", "observed"], "default": "present"},
        "store": store_option(required=True),
        "switches": {"type": "list", "elements": "dict", "required": True, "options": _SWITCH},
        "timeout": {"type": "float", "default": 30.0},
        **names_options(),
        "record": record_option(),
    },
    needs=needs.all_of(
        needs.store(),
        needs.each("DNS", needs.DATA, "resolvers", "address"),
        needs.each("DNS", needs.DATA, "name_servers", "address"),
        needs.recorded(),
    ),
)


@dataclass
class Switch:
    """One switch's way from `before` to `position`; `etag` is that of its object, None where there is none."""

    key: str
    position: str
    before: str
    etag: str | None

    @property
    def differs(self) -> bool:
        """Whether the object has to be written or removed."""
        return self.position != self.before


@dataclass
class TrafficSwitch:
    """One call's story as it unfolds; `result` is the same set of keys at every point of it."""

    params: Params
    check_mode: bool
    switches: list[Switch] = field(default_factory=list)
    names: Names | None = None
    waits: list[dict[str, t.Any]] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    changed: bool = False
    observed: bool = True

    def __post_init__(self) -> None:
        self.store = ObjectStore(self.params["store"])

    @property
    def only_looks(self) -> bool:
        """Whether this call may change nothing by what it was asked for."""
        return bool(self.params["state"] == "observed")

    def run(self) -> Result:
        """Read, write or remove, read back, observe. Every RecoveryError leaves with what is known so far."""
        try:
            self._run()
        except RecoveryError as error:
            self.observed = False
            error.facts = {**self.result(), "outcome": "failed", **error.facts}
            raise
        return self.result()

    def _run(self) -> None:
        names = self.names = Names(self.params)
        self._check_options()
        for one in self.params["switches"]:
            before, etag = self._look(one["key"])
            self.switches.append(Switch(one["key"], one.get("position") or before, before, etag))
        if self.only_looks or self.check_mode:
            names.look()
            self.unverified += names.doubts()
            self.changed = not self.only_looks and any(one.differs for one in self.switches)
            return
        for switch in self.switches:
            if switch.differs:
                self._turn(switch)
                self.changed = True
        if names.asked:
            self.waits.append(names.wait())
        else:
            self.unverified.append("no name was asked for at any DNS server")

    def _check_options(self) -> None:
        counts = Counter(one["key"] for one in self.params["switches"])
        twice = [key for key, count in counts.items() if count > 1]
        if twice:
            raise Refused(f"Refused to turn the traffic switches, nothing was changed: {twice[0]} is listed twice.")
        open_ones = [one["key"] for one in self.params["switches"] if not one.get("position")]
        if open_ones and not self.only_looks:
            raise Refused(f"Refused to turn traffic switch {open_ones[0]}: it has no position. Give it.")

    def _look(self, key: str) -> tuple[str, str | None]:
        try:
            return "SECONDARY", self.store.get(key).etag
        except ObjectMissing:
            return "PRIMARY", None

    def _turn(self, switch: Switch) -> None:
        """Write or remove the object, on condition that nobody else did meanwhile, until it reads as wanted."""
        deadline = Deadline(self.params["timeout"])
        position, etag = switch.before, switch.etag
        while position != switch.position:
            try:
                if etag is None:
                    self.store.put(switch.key, BODY, absent=True)
                else:
                    self.store.delete(switch.key, match=etag)
            except PreconditionFailed:
                pass  # somebody turns it too: what it reads now decides
            position, etag = self._look(switch.key)
            if position != switch.position:
                if deadline.expired:
                    raise TimedOut(
                        f"Timed out after {deadline.seconds:g} s turning traffic switch {switch.key} in {self.store} "
                        f"to {switch.position}: it is {position}. Somebody else turns it; find out who, then run again."
                    )
                deadline.rest(PAUSE_SECONDS)
        switch.etag = etag

    def result(self) -> Result:
        """Return every return value, as far as it is known."""
        known = {
            "store": {"name": self.store.name, "bucket": self.store.bucket},
            "switches": [
                {
                    "key": one.key,
                    "position": one.position,
                    "before": one.before,
                    "changed": one.differs and not self.only_looks,
                }
                for one in self.switches
            ],
            "resolvers": self.names.as_dicts() if self.names else [],
        }
        outcome = "failed" if self.problems else "unverified" if self.only_looks and self.unverified else "passed"
        return {
            "changed": self.changed,
            "switches": known["switches"],
            "resolvers": known["resolvers"],
            "waits": self.waits,
            "unverified": self.unverified,
            "problems": self.problems,
            "outcome": outcome,
            "observed": self.observed and not (self.changed and not self.check_mode and not known["resolvers"]),
            "evidence": known,
            "diff": {
                "before": {one.key: one.before for one in self.switches},
                "after": {one.key: one.before if self.only_looks else one.position for one in self.switches},
            },
        }


def run(params: Params, check_mode: bool) -> Result:
    """Service of M(terragon.disaster_recovery.traffic_switch)."""
    return TrafficSwitch(params, check_mode).run()
