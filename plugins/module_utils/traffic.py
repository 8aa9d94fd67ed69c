# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shift traffic by DNS: plan all records, change each zone in one batch, observe what comes of it.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from . import needs
from .clock import Deadline, Wait
from .connections import aws_option, record_option
from .dns_observation import Observation, Server, look, wait_for
from .errors import RecoveryError, Refused, TimedOut
from .execution import Params, Result, Specification
from .route53 import Change, Route53, Zone
from .traffic_records import Planned, RecordSet, Wanted, plan
from .traffic_report import answered, changes_told, diff_told, records_told
from .traffic_rules import clashes, contradictions, possible_answers, sets_in_force

TYPES = ["A", "AAAA", "CNAME"]
#: questions to DNS servers under way at one time
_AT_ONCE = 64

_EXPECT: dict[str, t.Any] = {
    "ttl": {"type": "int"},
    "type": {"type": "str", "choices": TYPES},
    "values": {"type": "list", "elements": "str"},
}

_RECORD: dict[str, t.Any] = {
    "zone": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "required": True, "choices": TYPES},
    "ttl": {"type": "int"},
    "values": {"type": "list", "elements": "str"},
    "set_identifier": {"type": "str"},
    "weight": {"type": "int"},
    "failover": {"type": "str", "choices": ["PRIMARY", "SECONDARY"]},
    "health_check_id": {"type": "str"},
    "expect": {"type": "dict", "options": _EXPECT},
}

_SERVER: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "default": 53},
}

_AUTHORITY = needs.each("DNS", needs.DATA, "name_servers", "address")


def _api(options: t.Mapping[str, t.Any]) -> list[needs.Need]:
    """Declare Route 53's control plane, which reads and changes records; where none is named, nobody is asked."""
    if not options["records"]:
        return []
    return [needs.Need("Route 53", needs.CONTROL, "aws", options.get("aws") or {}, home=needs.ROUTE53_HOME)]


SPECIFICATION = Specification(
    argument_spec={
        "aws": aws_option(),
        "state": {"type": "str", "choices": ["present", "observed"], "default": "present"},
        "records": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": _RECORD,
        },
        "create": {"type": "bool", "default": False},
        "comment": {"type": "str", "default": ""},
        "timeout": {"type": "float", "default": 120.0},
        "wait_insync": {"type": "bool", "default": True},
        "resolvers": {"type": "list", "elements": "dict", "default": [], "options": _SERVER},
        "name_servers": {"type": "list", "elements": "dict", "default": [], "options": _SERVER},
        "wait_resolvers_timeout": {"type": "float", "default": 180.0},
        "record": record_option(),
    },
    needs=needs.all_of(_api, needs.each("DNS", needs.DATA, "resolvers", "address"), _AUTHORITY, needs.recorded()),
)


@dataclass
class Traffic:
    """One call's story as it unfolds; `result` is the same set of keys at every point of it."""

    params: Params
    check_mode: bool
    plans: list[Planned] = field(default_factory=list)
    at_name: dict[tuple[str, str], list[RecordSet]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    planned_zones: list[Zone] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    waits: list[dict[str, t.Any]] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    observed: bool = True

    @property
    def only_looks(self) -> bool:
        """Whether this call may change nothing by what it was asked for."""
        return bool(self.params["state"] == "observed")

    def run(self) -> Result:
        """Plan, change and observe. Every RecoveryError leaves with what is known so far."""
        try:
            self._run()
        except RecoveryError as error:
            self.observed = False
            error.facts = {**self.result(), "outcome": "failed", **error.facts}
            raise
        return self.result()

    def _run(self) -> None:
        servers = self._servers()
        wanted = _checked([Wanted.from_option(option) for option in self.params["records"]])
        route53 = Route53(self.params.get("aws") or {}, self.params["timeout"])
        self._plan(route53, wanted)
        if self.only_looks:
            self._look_once(servers)
            self._judge_what_was_seen()
        elif self.problems:
            raise Refused(f"Refused to change DNS, nothing was changed: {'; '.join(self.problems)}.")
        elif self.check_mode:
            self.planned_zones = list(self._batches())
            self._look_once(servers)
        else:
            for zone, record_sets in self._batches().items():
                self.changes.append(route53.upsert(zone, record_sets, self.params["comment"]))
            self._observe(route53, servers)

    def _servers(self) -> list[Server]:
        kinds = [(one, False) for one in self.params["resolvers"]] + [
            (one, True) for one in self.params["name_servers"]
        ]
        return [
            Server(one["name"], one["address"], one["port"], authoritative).checked() for one, authoritative in kinds
        ]

    def _plan(self, route53: Route53, wanted: list[Wanted]) -> None:
        """Read what is there, each zone and each name once, and compare."""
        zones = self._zones(route53, wanted)
        names: dict[Zone, list[str]] = {}
        for one in wanted:
            if one.zone in zones:
                names.setdefault(zones[one.zone], []).append(one.name)
        for zone, own in names.items():
            self.at_name |= {(zone.id, name): sets for name, sets in route53.record_sets_of(zone, own).items()}
        for one in wanted:
            if one.zone not in zones:
                continue
            zone = zones[one.zone]
            planned = plan(one, zone.id, zone.name, self.at_name[zone.id, one.name], self.params["create"])
            self.problems += planned.problems
            self.plans.append(planned)
            if one.health_check_id and not route53.has_health_check(one.health_check_id):
                self.problems.append(f"{one.label}: health check {one.health_check_id} does not exist")
        for sets in sets_in_force(self.plans, self.at_name.values()).values():
            self.problems += clashes(sets)

    def _zones(self, route53: Route53, wanted: list[Wanted]) -> dict[str, Zone]:
        """Return the zones by what the records call them; one that is not there is a problem."""
        zones: dict[str, Zone] = {}
        for name in dict.fromkeys(one.zone for one in wanted):
            try:
                zones[name] = route53.zone(name)
            except Refused as refusal:
                self.problems.append(str(refusal).rstrip("."))
        return zones

    def _batches(self) -> dict[Zone, list[RecordSet]]:
        batches: dict[Zone, list[RecordSet]] = {}
        for planned in self.plans:
            if planned.differs and planned.after is not None:
                batches.setdefault(Zone(planned.zone_id, planned.zone_name), []).append(planned.after)
        return batches

    def _in_force(self) -> list[Planned]:
        """Return the plans as far as this call carries them out; one that only looks leaves everything as it is."""
        return [replace(planned, after=None) for planned in self.plans] if self.only_looks else self.plans

    def _questions(self, servers: list[Server]) -> list[tuple[Server, str, str, list[list[str]]]]:
        """Return every server with every name and type, and the answers that are right."""
        sets = sets_in_force(self._in_force(), self.at_name.values())
        right = [(name, rdtype, possible_answers(group)) for (name, rdtype), group in sets.items()]
        return [(server, *question) for server in servers for question in right]

    def _look_once(self, servers: list[Server]) -> None:
        questions = self._questions(servers)
        if questions:  # at once: a server that is silent costs each of them its timeout
            with ThreadPoolExecutor(min(_AT_ONCE, len(questions))) as pool:
                self.observations = list(pool.map(lambda question: look(*question), questions))

    def _judge_what_was_seen(self) -> None:
        """A server that says something else than Route 53 is a problem, one that says nothing is unverified."""
        for one in self.observations:
            told = f"{one.server.name} ({one.server.address}) answers {answered(one)} for {one.record} {one.type}"
            if one.error or one.agrees is None:
                self.unverified.append(told)
            elif not one.agrees:
                self.problems.append(f"{told}, Route 53 has something else")

    def _observe(self, route53: Route53, servers: list[Server]) -> None:
        """Wait for Route 53 and for every server at the same time; each has its own deadline."""
        questions = self._questions(servers)
        errors: list[RecoveryError] = []
        with ThreadPoolExecutor(max_workers=2) as pool:
            pending: list[Future[Wait]] = []
            if self.changes and self.params["wait_insync"]:
                pending.append(pool.submit(self._wait_insync, route53))
            if questions:
                pending.append(pool.submit(self._wait_servers, questions))
            for one in pending:
                try:
                    self.waits.append(one.result().as_dict())
                except RecoveryError as error:
                    errors.append(error)
        if errors:
            raise errors[0]
        self._fail_on_stale_answers()
        self._say_what_was_not_seen()

    def _wait_insync(self, route53: Route53) -> Wait:
        deadline = Deadline(self.params["timeout"])
        with Wait("dns_insync") as wait:
            for change in self.changes:
                route53.wait_insync(change, deadline)
        return wait

    def _wait_servers(self, questions: list[tuple[Server, str, str, list[list[str]]]]) -> Wait:
        deadline = Deadline(self.params["wait_resolvers_timeout"])
        with Wait("dns_ttl") as wait, ThreadPoolExecutor(max_workers=len(questions)) as pool:
            self.observations = list(pool.map(lambda question: wait_for(*question, deadline=deadline), questions))
        return wait

    def _fail_on_stale_answers(self) -> None:
        stale = [one for one in self.observations if one.agrees is False]
        if stale:
            told = "; ".join(f"{one.server.name} answers {answered(one)} for {one.record} {one.type}" for one in stale)
            raise TimedOut(
                f"Timed out after {self.params['wait_resolvers_timeout']:g} s waiting for every DNS server to give the "
                f"new answer: {told}. Route 53 has the records; run again to wait on."
            )

    def _say_what_was_not_seen(self) -> None:
        if self.changes and not self.params["wait_insync"]:
            self.unverified.append("INSYNC was not awaited (wait_insync is false)")
        if not self.changes and not self.observations:
            self.unverified.append(
                "nothing had to change and no DNS server was asked: an earlier change may be PENDING"
            )
        self.unverified += [
            f"{one.server.name} answers {answered(one)} for {one.record} {one.type}: by the routing policy several "
            "answers are right, so one proves nothing"
            for one in self.observations
            if one.agrees is None
        ]
        self.observed = not (self.changes and self.unverified)

    def result(self) -> Result:
        """Return every return value, as far as it is known."""
        known = {
            "records": records_told(self.plans),
            "changes": changes_told(self.changes, self.planned_zones),
            "resolvers": [one.as_dict() for one in self.observations],
        }
        outcome = "failed" if self.problems else "unverified" if self.only_looks and self.unverified else "passed"
        return {
            "changed": bool(self.changes or self.planned_zones),
            **known,
            "waits": self.waits,
            "unverified": self.unverified,
            "problems": self.problems,
            "outcome": outcome,
            "observed": self.observed,
            "evidence": known,
            "diff": diff_told(self._in_force()),
        }


def run(params: Params, check_mode: bool) -> Result:
    """Service of M(terragon.disaster_recovery.route53_traffic)."""
    return Traffic(params, check_mode).run()


def _checked(wanted: list[Wanted]) -> list[Wanted]:
    problems = [problem for one in wanted for problem in contradictions(one)]
    counts = Counter(one.key for one in wanted)
    problems += [f"{' '.join(key).strip()} is listed twice" for key, count in counts.items() if count > 1]
    if problems:
        raise Refused(f"Refused to change DNS, nothing was changed: {'; '.join(problems)}.")
    return wanted
