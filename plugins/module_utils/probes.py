# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Health of services: checks of several kinds, asked from several vantage points at once.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from . import needs
from .clock import Wait, to_iso, utc_now
from .connections import postgres_option, record_option
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result, Specification
from .probes_model import FAILED, PASSED, UNVERIFIED, Check, Finding, parse_check, parse_points
from .probes_needs import asked, reported_only
from .probes_run import Round
from .probes_verdict import by_service, judge, worst

_DNS = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "default": "A"},
    "values": {"type": "list", "elements": "str"},
    "match": {"type": "str", "choices": ["exact", "subset"], "default": "exact"},
}

_CHECK = {
    "name": {"type": "str", "required": True},
    "service": {"type": "str"},
    "kind": {"type": "str", "required": True, "choices": ["http", "tcp", "dns", "postgresql", "write_read"]},
    "vantage_points": {"type": "list", "elements": "str"},
    "agreement": {"type": "int"},
    "timeout": {"type": "float", "default": 5.0},
    "retries": {"type": "int", "default": 1},
    "interval": {"type": "float", "default": 0.5},
    "url": {"type": "str"},
    "read_url": {"type": "str"},
    "method": {"type": "str"},
    "headers": {"type": "dict"},
    "header_files": {"type": "dict"},
    "body": {"type": "raw"},
    "expect_status": {"type": "list", "elements": "int"},
    "expect_contains": {"type": "str"},
    "ca_path": {"type": "path"},
    "address": {"type": "str"},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "dns": {"type": "dict", "options": _DNS},
    "postgres": postgres_option(required=False),
    "query": {"type": "str", "default": "SELECT 1"},
    "expect": {"type": "str"},
}

_VANTAGE_POINT = {
    "name": {"type": "str", "required": True},
    "source_address": {"type": "str"},
    "nameservers": {"type": "list", "elements": "str", "default": []},
}

SPECIFICATION = Specification(
    argument_spec={
        "checks": {"type": "list", "elements": "dict", "required": True, "options": _CHECK},
        "vantage_points": {
            "type": "list",
            "elements": "dict",
            "options": _VANTAGE_POINT,
            "default": [{"name": "controller"}],
        },
        "agreement": {"type": "int"},
        "timeout": {"type": "float"},
        "retries": {"type": "int"},
        "interval": {"type": "float"},
        "wait_timeout": {"type": "float", "default": 0.0},
        "wait_name": {"type": "str"},
        "required": {"type": "bool", "default": True},
        "record": record_option(),
    },
    needs=needs.all_of(needs.tolerating(asked, reported_only, "what it finds is reported only"), needs.recorded()),
)

_SKIPPED = Finding(UNVERIFIED, "not asked in check mode: it writes")


def run(params: Params, check_mode: bool) -> Result:
    """Ask all checks and judge them. Raises RecoveryError with the whole result when they had to pass."""
    checks = _parse(params)
    asked = [check for check in checks if not (check_mode and check.kind == "write_read")]
    started = utc_now()
    with Wait(params.get("wait_name") or "") as wait:
        findings = Round(asked, 0.0 if check_mode else float(params["wait_timeout"])).ask()
    found = {
        id(check): [findings[index, point] for point in range(len(check.points))] for index, check in enumerate(asked)
    }
    results = [judge(check, found.get(id(check)) or [_SKIPPED] * len(check.points)) for check in checks]
    # Under check mode a skipped write is reported, and is no reason to stop the preview.
    binding = [result for check, result in zip(checks, results, strict=True) if id(check) in found]
    result = _result(results, {"asked_at": to_iso(started)})
    if params.get("wait_name") and params["wait_timeout"] and not check_mode:
        result["waits"] = [wait.as_dict()]
    if params["required"] and worst(one["outcome"] for one in binding) != PASSED:
        raise RecoveryError(_message(binding), **result)
    return result


def _parse(params: Params) -> list[Check]:
    points = parse_points(params["vantage_points"])
    checks = [parse_check(raw, params, points) for raw in params["checks"]]
    if not checks:
        raise Refused(failed("read", "checks", "no check is listed, so nothing can pass", "List at least one."))
    labels = [check.label for check in checks]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        what = f"checks {', '.join(twice)}"
        raise Refused(failed("read", what, "listed more than once", "Names are unique within a service."))
    if params["wait_timeout"] < 0:
        raise Refused(failed("read", "wait_timeout", f"it cannot be {params['wait_timeout']}"))
    return checks


def _result(results: list[dict[str, t.Any]], evidence: dict[str, t.Any]) -> Result:
    def told(outcome: str) -> list[str]:
        return [f"{_label(one)}: {one['reason']}" for one in results if one["outcome"] == outcome]

    evidence["checks"] = [
        {
            "check": _label(one),
            "outcome": one["outcome"],
            "passed": sum(point["outcome"] == PASSED for point in one["vantage_points"]),
            "vantage_points": len(one["vantage_points"]),
            "agreement": one["agreement"],
        }
        for one in results
    ]
    return {
        "changed": False,
        "outcome": worst(one["outcome"] for one in results),
        "checks": results,
        "services": by_service(results),
        "problems": told(FAILED),
        "unverified": told(UNVERIFIED),
        "waits": [],
        "evidence": evidence,
    }


def _label(result: t.Mapping[str, t.Any]) -> str:
    same = result["name"] == result["service"]
    return str(result["name"] if same else f"{result['service']}/{result['name']}")


def _message(results: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    wrong = [one for one in results if one["outcome"] != PASSED]
    reasons = "; ".join(f"{_label(one)} {one['outcome']}: {one['reason']}" for one in wrong)
    return f"{len(wrong)} of {len(results)} health checks did not pass. {reasons}"
