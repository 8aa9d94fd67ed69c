# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shift traffic by ARC routing controls: through the data plane alone, all or none of a batch, read back and seen.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from . import needs
from .arc_cluster import Cluster, Control, RuleViolated
from .arc_controls import Planned, Wanted, batches, plan, states
from .arc_safety import RULE, Overrides, Rule, text_for
from .clock import Deadline, Wait
from .connections import aws_option, record_option
from .dns_names import Names, names_options
from .errors import RecoveryError, Refused, Unreachable
from .execution import Params, Result, Specification

WAIT_PAUSE_SECONDS = 0.5

_ENDPOINT: dict[str, t.Any] = {
    "endpoint": {"type": "str", "required": True},
    "region": {"type": "str", "required": True},
}

_CONTROL: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["On", "Off"]},
}


def _endpoints(options: t.Mapping[str, t.Any]) -> list[needs.Need]:
    """Declare the cluster's endpoints, a region each, of which any one does."""
    return [
        needs.Need(
            "ARC",
            needs.DATA,
            f"endpoints[{number}]",
            one["endpoint"],
            region=one["region"],
            group="endpoints of the cluster",
            quorum=1,
        )
        for number, one in enumerate(options["endpoints"])
    ]


SPECIFICATION = Specification(
    argument_spec={
        "aws": aws_option(),
        "state": {"type": "str", "choices": ["present", "observed"], "default": "present"},
        "endpoints": {"type": "list", "elements": "dict", "required": True, "options": _ENDPOINT},
        "control_panel": {"type": "str"},
        "controls": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": _CONTROL,
        },
        "safety_rules": {"type": "list", "elements": "dict", "options": RULE},
        "safety_rules_to_override": {"type": "list", "elements": "str", "default": []},
        "override_acceptance": {"type": "str"},
        "endpoint_timeout": {"type": "float", "default": 3.0},
        "timeout": {"type": "float", "default": 60.0},
        **names_options(),
        "record": record_option(),
    },
    needs=needs.all_of(
        _endpoints,
        needs.each("DNS", needs.DATA, "resolvers", "address"),
        needs.each("DNS", needs.DATA, "name_servers", "address"),
        needs.recorded(),
    ),
)


@dataclass
class RoutingControls:
    """One call's story as it unfolds; `result` is the same set of keys at every point of it."""

    params: Params
    check_mode: bool
    cluster: Cluster = field(init=False)
    controls: list[Control] = field(default_factory=list)
    plans: list[Planned] = field(default_factory=list)
    updates: list[dict[str, t.Any]] = field(default_factory=list)
    overridden: list[str] = field(default_factory=list)
    names: Names | None = None
    waits: list[dict[str, t.Any]] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    changed: bool = False
    observed: bool = True

    def __post_init__(self) -> None:
        params = self.params
        self.cluster = Cluster(
            params["endpoints"], params.get("aws") or {}, params["endpoint_timeout"], params["timeout"]
        )
        self.rules = [Rule.from_option(one) for one in params.get("safety_rules") or []]

    @property
    def only_looks(self) -> bool:
        """Whether this call may change nothing by what it was asked for."""
        return bool(self.params["state"] == "observed")

    def run(self) -> Result:
        """Read, predict, set, read back and observe. Every RecoveryError leaves with what is known so far."""
        try:
            self._run()
        except RecoveryError as error:
            self.observed = False
            error.facts = {**self.result(), "outcome": "failed", **error.facts}
            raise
        return self.result()

    def _run(self) -> None:
        names = self.names = Names(self.params)
        wanted = self._wanted()
        overrides = Overrides(
            self.params["safety_rules_to_override"], self.params.get("override_acceptance"), self.rules
        )
        self.controls = self.cluster.controls(self.params.get("control_panel"))
        self.plans = plan(wanted, self.controls)
        self._predict(overrides)
        if self.only_looks or self.check_mode:
            names.look()
            self.unverified += names.doubts()
            self._preview()
            return
        for changes in batches(self.plans):
            self._set(changes, overrides)
        if self.changed:
            self._read_back()
        if names.asked:
            self.waits.append(names.wait())
        else:
            self.unverified.append("no name was asked for at any DNS server")

    def _wanted(self) -> list[Wanted]:
        wanted = [Wanted.from_option(one) for one in self.params["controls"]]
        without = [one.identity for one in wanted if one.state is None]
        if without and not self.only_looks:
            raise Refused(f"Refused to set routing control {without[0]}: it has no state. Give On or Off.")
        if not self.params["endpoints"]:
            remedy = "List them as aws route53-recovery-control-config describe-cluster tells them."
            raise Refused(f"Refused to use the routing controls: no endpoint of the cluster is given. {remedy}")
        return wanted

    def _predict(self, overrides: Overrides) -> None:
        """Say which known safety rule would refuse a batch; `problems` has the reasons."""
        pending = batches(self.plans)
        if pending and self.params.get("safety_rules") is None:
            self.unverified.append("safety_rules is not given: whether a safety rule refuses the change is not known")
        done: dict[str, str] = {}
        for changes in pending:
            before, after = states(self.controls, done), states(self.controls, {**done, **changes})
            touched = set(changes) | {one.name for one in self.controls if one.arn in changes}
            for rule in self.rules:
                if rule.arn not in overrides.arns and rule.guards(touched):
                    found = rule.violation(before, after)
                    self.problems += [f"{found}. {_remedy(rule.name)}"] if found else []
            done.update(changes)

    def _preview(self) -> None:
        """Tell what state=present would do: in check mode it fails where that would fail."""
        if self.only_looks:
            return
        if self.problems:
            raise Refused(f"Refused to set the routing controls, nothing was changed: {' '.join(self.problems)}")
        self.changed = any(one.changed for one in self.plans)
        self.updates = [self._update_told(changes, None, "PLANNED") for changes in batches(self.plans)]

    def _set(self, changes: dict[str, str], overrides: Overrides) -> None:
        """Set one batch. What ended without an answer may have been carried out: what is in force is no failure."""
        what = f"routing controls {', '.join(self._names(changes))}"
        self.problems = []  # a prediction; from here on the service itself says
        deadline: Deadline | None = None
        region: str | None = None
        with Wait("safety_rule") as wait:
            while True:
                try:
                    region = self.cluster.update(changes, overrides.arns, what)
                    break
                except (RuleViolated, Unreachable) as error:
                    if self._are_in_force(changes):
                        break
                    if isinstance(error, Unreachable):
                        raise
                    deadline = deadline or Deadline(self._wait_period(error.rule, changes))
                    if deadline.expired:
                        raise self._refused(error) from error
                    deadline.rest(WAIT_PAUSE_SECONDS)
        if deadline is not None:
            self.waits.append(wait.as_dict())
        self.changed = True
        self.overridden = list(overrides.names)
        self.updates.append(self._update_told(changes, region, "DONE"))

    def _are_in_force(self, changes: dict[str, str]) -> bool:
        now = {one.arn: one.state for one in self.cluster.controls(self.params.get("control_panel"))}
        return all(now.get(arn) == state for arn, state in changes.items())

    def _wait_period(self, arn: str, changes: dict[str, str]) -> float:
        """Return seconds worth waiting: a rule whose criterion is met refuses only during its wait period."""
        rule = next((one for one in self.rules if one.arn == arn), None)
        if rule is None or rule.violation(states(self.controls, {}), states(self.controls, changes)):
            return 0.0
        return rule.wait_period_ms / 1000 + WAIT_PAUSE_SECONDS

    def _refused(self, refusal: RuleViolated) -> Refused:
        name = next((one.name for one in self.rules if one.arn == refusal.rule), refusal.rule or "(not named)")
        done = "Earlier batches of this call are in force. " if self.changed else "Nothing was changed. "
        self.problems.append(f"safety rule {name} refuses the change")
        return Refused(f"{refusal} {done}{_remedy(name)}")

    def _read_back(self) -> None:
        now = {one.arn: one for one in self.cluster.controls(self.params.get("control_panel"))}
        wrong = [one for one in self.plans if now[one.control.arn].state != one.state]
        if wrong:
            told = ", ".join(f"{one.control.name} is {now[one.control.arn].state}, not {one.state}" for one in wrong)
            raise RecoveryError(
                f"Failed to set the routing controls: {told}. Somebody else changes them; find out who, then run again."
            )

    def _names(self, changes: t.Mapping[str, str]) -> list[str]:
        return [f"{one.control.name} {one.state}" for one in self.plans if one.control.arn in changes]

    def _update_told(self, changes: t.Mapping[str, str], region: str | None, status: str) -> dict[str, t.Any]:
        return {"controls": self._names(changes), "endpoint_region": region, "status": status}

    def result(self) -> Result:
        """Return every return value, as far as it is known."""
        known = {
            "controls": [one.told(self.only_looks) for one in self.plans],
            "updates": self.updates,
            "endpoints": [one.as_dict() for one in self.cluster.endpoints],
            "overridden": self.overridden,
            "resolvers": self.names.as_dicts() if self.names else [],
        }
        outcome = "failed" if self.problems else "unverified" if self.only_looks and self.unverified else "passed"
        return {
            "changed": self.changed,
            **known,
            "waits": self.waits,
            "unverified": self.unverified,
            "problems": self.problems,
            "outcome": outcome,
            "observed": self.observed and not (self.changed and not self.check_mode and not known["resolvers"]),
            "evidence": known,
            "diff": {
                "before": {one.control.name: one.control.state for one in self.plans},
                "after": {one.control.name: one.control.state if self.only_looks else one.state for one in self.plans},
            },
        }


def _remedy(rule: str) -> str:
    return (
        f"Change the routing controls so that the rule holds, or override it: safety_rules_to_override [{rule}] with "
        f"override_acceptance '{text_for([rule])}'."
    )


def run(params: Params, check_mode: bool) -> Result:
    """Service of M(terragon.disaster_recovery.arc_routing_control)."""
    return RoutingControls(params, check_mode).run()
