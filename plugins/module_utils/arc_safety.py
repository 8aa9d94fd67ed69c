# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Safety rules as the inventory knows them: what they would refuse, and overriding one by typing its name.

The data plane does not list them, and the control plane that does is not asked on the recovery path. No I/O.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .errors import Refused

RULE: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "arn": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["assertion", "gating"], "default": "assertion"},
    "controls": {"type": "list", "elements": "str", "required": True},
    "targets": {"type": "list", "elements": "str", "default": []},
    "type": {"type": "str", "choices": ["ATLEAST", "AND", "OR"], "default": "ATLEAST"},
    "threshold": {"type": "int", "default": 1},
    "inverted": {"type": "bool", "default": False},
    "wait_period_ms": {"type": "int", "default": 5000},
}


@dataclass(frozen=True)
class Rule:
    """One safety rule; `controls` and `targets` are names or ARNs, `wait_period_ms` milliseconds."""

    name: str
    arn: str
    kind: str
    controls: tuple[str, ...]
    targets: tuple[str, ...]
    type: str
    threshold: int
    inverted: bool
    wait_period_ms: int

    @classmethod
    def from_option(cls, option: t.Mapping[str, t.Any]) -> Rule:
        """Build from one element of the `safety_rules` option."""
        return cls(**{**option, "controls": tuple(option["controls"]), "targets": tuple(option["targets"])})

    def guards(self, touched: t.Collection[str]) -> bool:
        """Whether a change of these controls (names and ARNs) is this rule's business."""
        guarded = self.controls if self.kind == "assertion" else self.targets
        return not set(guarded).isdisjoint(touched)

    def violation(self, before: t.Mapping[str, str], after: t.Mapping[str, str]) -> str:
        """Say why the rule refuses a change between these states (by name and by ARN); empty where it does not."""
        states = after if self.kind == "assertion" else before
        unknown = [one for one in self.controls if one not in states]
        if unknown:
            return f"safety rule {self.name} names the routing control {unknown[0]}, which does not exist"
        on = sum(states[one] == "On" for one in self.controls)
        needed = {"AND": len(self.controls), "OR": 1, "ATLEAST": self.threshold}[self.type]
        if (on >= needed) != self.inverted:
            return ""
        when = "would be" if self.kind == "assertion" else "are"
        wants = f"{'fewer than' if self.inverted else 'at least'} {needed}"
        return f"safety rule {self.name} wants {wants} of {', '.join(self.controls)} On, and {on} {when}"


class Overrides:
    """The rules that this call may override: each typed by name. Raises Refused before anything is asked."""

    def __init__(self, names: t.Sequence[str], acceptance: str | None, rules: t.Sequence[Rule]) -> None:
        known = {rule.name: rule.arn for rule in rules}
        self.names = list(names)
        unknown = [name for name in names if name not in known and not name.startswith("arn:")]
        if unknown:
            raise Refused(
                f"Refused to override safety rule {unknown[0]}: safety_rules has no rule of that name. "
                f"It has {', '.join(known) or 'none'}; name one of them, or give the rule's ARN."
            )
        self.arns = [known.get(name, name) for name in names]
        if names and acceptance != text_for(names):
            raise Refused(
                f"Refused to override {_told(names)}: override_acceptance does not say so. Nothing was changed. "
                f"To override, type exactly: {text_for(names)}"
            )


def text_for(names: t.Sequence[str]) -> str:
    """Return what has to be typed to override these rules."""
    return f"override {_told(names)}"


def _told(names: t.Sequence[str]) -> str:
    return f"safety rule{'s' if len(names) > 1 else ''} {', '.join(names)}"
