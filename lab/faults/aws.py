"""AWS's control planes throttle, fail, are slow or gone. Name servers, health checkers and data planes go on."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from lab.errors import LabError
from lab.faults.fault import Fault
from lab.layout import Lab

NAME = "aws"
#: what each subject is, in the words of lab/aws/faults.py
KINDS: dict[str, dict[str, Any]] = {
    "throttle": {"error": "throttle"},
    "errors": {"error": "503"},
    "slow": {"latency_seconds": 3.0},
    "gone": {"blackhole": True},
}
#: services by the names under which requests are signed: those that change configuration
CONTROL_PLANES = ("route53", "route53-recovery-control-config")
TIMEOUT = 5.0


def _break(lab: Lab, subject: str) -> str:
    _put(lab, lab.faults.get(NAME, []))
    return f"aws {subject}: in force for {', '.join(CONTROL_PLANES)}"


def _heal(lab: Lab, subject: str) -> str:
    _put(lab, [one for one in lab.faults.get(NAME, []) if one != subject])
    return f"aws {subject}: over"


def _put(lab: Lab, subjects: list[str]) -> None:
    """Put what these come to in force, and nothing else; of two kinds of error the last."""
    fault = {key: value for subject in subjects for key, value in KINDS[subject].items()}
    body = json.dumps({service: fault for service in CONTROL_PLANES if fault}).encode()
    request = urllib.request.Request(f"{lab.aws_url}/_lab/faults", data=body, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return
    except (OSError, urllib.error.URLError) as error:
        raise LabError(
            f"Failed to reach the lab's AWS at {lab.aws_url}: {error}. See: python -m lab status, and {lab.log('aws')}."
        ) from error


FAULTS = {
    NAME: Fault(
        help="let AWS's control planes throttle, answer 503, answer 3 s late, or not at all",
        subjects=tuple(KINDS),
        break_it=_break,
        heal_it=_heal,
    ),
}
