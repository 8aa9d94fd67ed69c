# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what each vantage point found to one outcome a check, a service and the whole.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .probes_model import FAILED, PASSED, UNVERIFIED, Check, Finding


def combine(outcomes: t.Sequence[str], agreement: int) -> str:
    """Return `passed` when `agreement` vantage points passed, `failed` when they no longer could have.

    Between the two lies `unverified`: had those that could not tell all passed, the check would have passed.
    """
    passed = sum(outcome == PASSED for outcome in outcomes)
    if passed >= agreement:
        return PASSED
    if passed + sum(outcome == UNVERIFIED for outcome in outcomes) >= agreement:
        return UNVERIFIED
    return FAILED


def worst(outcomes: t.Iterable[str]) -> str:
    """Return the outcome of several things that all have to pass."""
    found = set(outcomes)
    return FAILED if FAILED in found else UNVERIFIED if UNVERIFIED in found else PASSED


def judge(check: Check, findings: t.Sequence[Finding]) -> dict[str, t.Any]:
    """Return one check's result."""
    outcome = combine([finding.outcome for finding in findings], check.agreement)
    return {
        "name": check.name,
        "service": check.service,
        "kind": check.kind,
        "outcome": outcome,
        "reason": "" if outcome == PASSED else _reason(check, findings, outcome),
        "agreement": check.agreement,
        "vantage_points": [
            {
                "name": point.name,
                "outcome": finding.outcome,
                "reason": finding.reason,
                "seconds": finding.seconds,
                "address": finding.address,
            }
            for point, finding in zip(check.points, findings, strict=True)
        ],
    }


def by_service(results: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """Count the checks of each service; a service is as well as the worst of them."""
    services: dict[str, dict[str, t.Any]] = {}
    for result in results:
        one = services.setdefault(result["service"], {"outcome": PASSED, PASSED: 0, FAILED: 0, UNVERIFIED: 0})
        one[result["outcome"]] += 1
        one["outcome"] = worst([one["outcome"], result["outcome"]])
    return services


def _reason(check: Check, findings: t.Sequence[Finding], outcome: str) -> str:
    """Name each different reason once, the decisive ones first, with how many saw it."""
    seen: dict[str, list[str]] = {}
    for point, finding in sorted(zip(check.points, findings, strict=True), key=lambda pair: pair[1].outcome != outcome):
        if finding.outcome != PASSED:
            seen.setdefault(finding.reason, []).append(point.name)
    reasons = "; ".join(f"{reason} (from {', '.join(names)})" for reason, names in seen.items())
    passed = sum(finding.outcome == PASSED for finding in findings)
    if len(findings) == 1:
        return findings[0].reason
    return f"{passed} of {len(findings)} vantage points passed, {check.agreement} needed: {reasons}"
