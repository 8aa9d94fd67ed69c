# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make failover records with their health checks, before anything happens: afterwards no record has to change.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from . import needs
from .clock import Deadline, Wait
from .connections import aws_option, record_option
from .dns_names import Names, names_options
from .errors import RecoveryError, Refused
from .execution import Params, Result, Specification
from .failover_pairs import Half, Pair, Way, way
from .route53 import Change, Zone
from .route53_health import OPTION, REQUIRED_IF, Check, HealthChecks
from .traffic_records import RecordSet, values_of

_HALF: dict[str, t.Any] = {
    "identifier": {"type": "str", "required": True},
    "values": {"type": "list", "elements": "str", "required": True},
    "health_check": {"type": "dict", "options": OPTION, "required_if": REQUIRED_IF},
}

_PAIR: dict[str, t.Any] = {
    "zone": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "required": True, "choices": ["A", "AAAA", "CNAME"]},
    "ttl": {"type": "int", "required": True},
    "primary": {"type": "dict", "required": True, "options": _HALF},
    "secondary": {"type": "dict", "required": True, "options": _HALF},
}


def _api(options: t.Mapping[str, t.Any]) -> list[needs.Need]:
    """Declare Route 53's control plane."""
    return [needs.Need("Route 53", needs.CONTROL, "aws", options.get("aws") or {}, home=needs.ROUTE53_HOME)]


SPECIFICATION = Specification(
    argument_spec={
        "aws": aws_option(),
        "state": {"type": "str", "choices": ["present", "observed"], "default": "present"},
        "records": {"type": "list", "elements": "dict", "required": True, "options": _PAIR},
        "comment": {"type": "str", "default": ""},
        "timeout": {"type": "float", "default": 180.0},
        **names_options(),
        "record": record_option(),
    },
    needs=needs.all_of(
        _api,
        needs.each("DNS", needs.DATA, "resolvers", "address"),
        needs.each("DNS", needs.DATA, "name_servers", "address"),
        needs.recorded(),
    ),
)


@dataclass
class FailoverRecords:
    """One call's story as it unfolds; `result` is the same set of keys at every point of it."""

    params: Params
    check_mode: bool
    ids: dict[str, str] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    ways: list[tuple[Zone, Way]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    names: Names | None = None
    waits: list[dict[str, t.Any]] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    changed: bool = False

    @property
    def only_looks(self) -> bool:
        """Whether this call may change nothing by what it was asked for."""
        return bool(self.params["state"] == "observed")

    def run(self) -> Result:
        """Read everything, refuse or change, observe. Every RecoveryError leaves with what is known so far."""
        try:
            self._run()
        except RecoveryError as error:
            error.facts = {**self.result(), "outcome": "failed", "observed": False, **error.facts}
            raise
        return self.result()

    def _run(self) -> None:
        names = self.names = Names(self.params)
        pairs = [Pair.from_option(option) for option in self.params["records"]]
        route53 = HealthChecks(self.params.get("aws") or {}, self.params["timeout"])
        existing = route53.ids()
        self._plan(route53, pairs, existing)
        missing = [check for check in self._checks() if check.reference not in existing]
        differs = bool(missing) or any(one.differs for _zone, one in self.ways)
        if self.only_looks:
            self._judge(missing)
        elif self.problems:
            raise Refused(f"Refused to make failover records, nothing was changed: {'; '.join(self.problems)}.")
        if self.only_looks or self.check_mode:
            names.look()
            self.unverified += names.doubts()
            self.changed = differs and not self.only_looks
            self.created = [] if self.only_looks else [check.name for check in missing]
            return
        self._create(route53, missing)
        self._plan(route53, pairs, self.ids)  # once more, with the ids of what was made
        self._change(route53)
        if names.asked:
            self.waits.append(names.wait())
        else:
            self.unverified.append("no name was asked for at any DNS server")

    def _halves(self) -> t.Iterator[Half]:
        return (half for _zone, one in self.ways for half in one.pair.halves)

    def _checks(self) -> list[Check]:
        """Return every health check once."""
        return list({half.check.reference: half.check for half in self._halves() if half.check}.values())

    def _plan(self, route53: HealthChecks, pairs: t.Sequence[Pair], ids: dict[str, str]) -> None:
        self.ids, self.ways, self.problems = dict(ids), [], []
        zones: dict[str, Zone] = {}
        for pair in pairs:
            zone = zones.get(pair.zone) or zones.setdefault(pair.zone, route53.zone(pair.zone))
            if not ("." + pair.name).endswith("." + zone.name):
                self.problems.append(f"{pair.label} does not lie in hosted zone {zone.name}")
                continue
            found = way(pair, route53.record_sets(zone, pair.name), self.ids)
            self.problems += found.problems
            self.ways.append((zone, found))

    def _judge(self, missing: t.Sequence[Check]) -> None:
        """Without its records a service cannot be shifted: to look is to say so."""
        self.problems += [f"health check {check.name} does not exist" for check in missing]
        self.problems += [
            f"{one.pair.label} does not have the failover records of the catalogue"
            for _zone, one in self.ways
            if one.differs and not one.problems
        ]

    def _create(self, route53: HealthChecks, missing: t.Sequence[Check]) -> None:
        for check in missing:
            self.ids[check.reference] = route53.create(check)
            self.created.append(check.name)
            self.changed = True
        looking = [check for check in missing if check.looks]
        if looking:
            deadline = Deadline(self.params["timeout"])
            with Wait("health_checks") as wait:
                for check in looking:
                    route53.wait_settled(check, self.ids[check.reference], deadline)
            self.waits.append(wait.as_dict())

    def _change(self, route53: HealthChecks) -> None:
        for zone in dict.fromkeys(zone for zone, _one in self.ways):
            here = [one for its, one in self.ways if its == zone and one.differs]
            delete = [each for one in here for each in one.delete]
            upsert = [each for one in here for each in one.upsert]
            if here:
                self.changes.append(route53.replace(zone, delete, upsert, self.params["comment"]))
                self.changed = True
        if self.changes:
            deadline = Deadline(self.params["timeout"])
            with Wait("dns_insync") as wait:
                for change in self.changes:
                    route53.wait_insync(change, deadline)
            self.waits.append(wait.as_dict())

    def result(self) -> Result:
        """Return every return value, as far as it is known."""
        known = {
            "records": [self._told(one) for _zone, one in self.ways],
            "created_health_checks": self.created,
            "resolvers": self.names.as_dicts() if self.names else [],
        }
        looked = self.only_looks and self.unverified
        after = {} if self.only_looks else {one.pair.label: self._after(one) for _zone, one in self.ways}
        before = {one.pair.label: [_content(each) for each in one.before] for _zone, one in self.ways}
        return {
            "changed": self.changed,
            **known,
            "waits": self.waits,
            "unverified": self.unverified,
            "problems": self.problems,
            "outcome": "failed" if self.problems else "unverified" if looked else "passed",
            "observed": not (self.changed and not self.check_mode and not known["resolvers"]),
            "evidence": known,
            "diff": {"before": before, "after": after or before},
        }

    def _after(self, one: Way) -> list[dict[str, t.Any]]:
        if one.problems:
            return [_content(each) for each in one.before]
        return [_content(each) for each in one.pair.record_sets(self.ids)]

    def _told(self, one: Way) -> dict[str, t.Any]:
        sets = one.before if self.only_looks else one.pair.record_sets(self.ids)
        return {
            "name": one.pair.name,
            "type": one.pair.type,
            "records": [_content(each) for each in sets],
            "before": [_content(each) for each in one.before],
            "changed": one.differs and not self.only_looks,
        }


def _content(record_set: RecordSet) -> dict[str, t.Any]:
    return {
        "set_identifier": record_set.get("SetIdentifier"),
        "failover": record_set.get("Failover"),
        "ttl": record_set.get("TTL"),
        "values": sorted(values_of(record_set)),
        "health_check_id": record_set.get("HealthCheckId") or None,
    }


def run(params: Params, check_mode: bool) -> Result:
    """Service of M(terragon.disaster_recovery.route53_failover_records)."""
    return FailoverRecords(params, check_mode).run()
