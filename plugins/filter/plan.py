# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters over an assessment's findings; documented one by one in the files beside this one."""

from __future__ import annotations

import functools
import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils import plan_findings
from ..module_utils.errors import RecoveryError
from ..module_utils.plan_token import Plan


def _filter(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    @functools.wraps(function)
    def call(*arguments: t.Any, **options: t.Any) -> t.Any:
        try:
            return function(*arguments, **options)
        except RecoveryError as error:
            raise AnsibleFilterError(str(error)) from error

    return call


def plan_hash(findings: t.Mapping[str, t.Any], incident: str, kind: str = "failover") -> str:
    """Return the text that approves the plan which the findings come to."""
    regions = {"source": findings["source"], "target": findings["target"]}
    plan = Plan(incident, kind, regions, plan_findings.steps(findings, kind), plan_findings.observed(findings))
    return str(plan.token())


class FilterModule:
    """What the playbooks make of an assessment."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {
            "plan_steps": _filter(plan_findings.steps),
            "plan_observed": _filter(plan_findings.observed),
            "plan_hash": _filter(plan_hash),
        }
