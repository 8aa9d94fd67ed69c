# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which routing controls are meant, what they are and what they are to be, in batches as the API takes them. No I/O.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass

from .arc_cluster import Control
from .errors import Refused

#: quota of one UpdateRoutingControlStates
MAX_UPDATES = 10


@dataclass(frozen=True)
class Wanted:
    """One routing control by ARN or name, and the state to set (None: only look)."""

    identity: str
    state: str | None

    @classmethod
    def from_option(cls, option: t.Mapping[str, t.Any]) -> Wanted:
        """Build from one element of the `controls` option."""
        return cls(option["name"], option.get("state"))


@dataclass(frozen=True)
class Planned:
    """One routing control's way from `before` to `state`."""

    control: Control
    state: str

    @property
    def changed(self) -> bool:
        """Whether the state has to be set."""
        return self.control.state != self.state

    def told(self, only_looks: bool) -> dict[str, t.Any]:
        """Return it as a return value."""
        return {
            "arn": self.control.arn,
            "name": self.control.name,
            "control_panel": self.control.panel,
            "state": self.state,
            "before": self.control.state,
            "changed": self.changed and not only_looks,
        }


def plan(wanted: t.Sequence[Wanted], controls: t.Sequence[Control]) -> list[Planned]:
    """Find every wanted control. Raises Refused for one that does not exist, is ambiguous or is listed twice."""
    planned, problems = [], []
    for one in wanted:
        found = [control for control in controls if one.identity in (control.arn, control.name)]
        if len(found) != 1:
            which = "does not exist" if not found else f"is the name of {len(found)}; name it by ARN, or the panel"
            problems.append(f"routing control {one.identity} {which}")
        else:
            planned.append(Planned(found[0], one.state or found[0].state))
    counts = Counter(one.control.arn for one in planned)
    problems += [f"routing control {arn} is listed {count} times" for arn, count in counts.items() if count > 1]
    if problems:
        raise Refused(f"Refused to use the routing controls, nothing was changed: {'; '.join(problems)}.")
    return planned


def batches(planned: t.Sequence[Planned]) -> list[dict[str, str]]:
    """Return what has to change, ARN to state, in their order and as many at a time as the API takes."""
    changes = [(one.control.arn, one.state) for one in planned if one.changed]
    return [dict(changes[start : start + MAX_UPDATES]) for start in range(0, len(changes), MAX_UPDATES)]


def states(controls: t.Sequence[Control], changes: t.Mapping[str, str]) -> dict[str, str]:
    """Return the states by ARN and by name, once the changes are in force."""
    after = {one.arn: changes.get(one.arn, one.state) for one in controls}
    return {**{one.name: after[one.arn] for one in controls}, **after}
