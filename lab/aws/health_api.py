"""Route 53's operations on health checks."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from lab.aws.errors import ApiError, invalid_input
from lab.aws.health import PROBED_TYPES, completed
from lab.aws.monitor import Monitor, Observation
from lab.aws.state import HealthCheck
from lab.aws.store import Store
from lab.aws.zone_api import page, start_after_marker

Params = dict[str, Any]
CHECKER_ADDRESSES = {"us-east-1": "15.177.0.1", "us-west-2": "15.177.0.2", "eu-west-1": "15.177.0.3"}
NOT_CONFIG = ("HealthCheckId", "HealthCheckVersion", "ResetElements")


class HealthApi:
    """Operations by their names in the API, in snake case."""

    def __init__(self, store: Store, monitor: Monitor, has_control: Callable[[str], bool]) -> None:
        self._store = store
        self._monitor = monitor
        self._has_control = has_control

    def create_health_check(self, params: Params) -> Params:
        """CreateHealthCheck; the same caller reference with the same settings returns what exists."""
        reference, config = params["CallerReference"], completed(params["HealthCheckConfig"])
        control = config.get("RoutingControlArn")
        if control is not None and not self._has_control(control):
            raise invalid_input(f"There is no routing control {control}")
        with self._store.write() as state:
            checks = state.health_checks
            check = next((known for known in checks.values() if known.caller_reference == reference), None)
            if check is not None and check.config != config:
                message = f"A health check with caller reference {reference} and other settings already exists."
                raise ApiError("HealthCheckAlreadyExists", message, 409)
            for child in config.get("ChildHealthChecks", ()):
                self._store.health_check(state, child)
            if check is None:
                check = HealthCheck(str(uuid.uuid4()), reference, config)
                checks[check.id] = check
            result = _to_api(check)
        self._monitor.refresh()
        return {"HealthCheck": result, "Location": f"https://route53.amazonaws.com/2013-04-01/healthcheck/{check.id}"}

    def get_health_check(self, params: Params) -> Params:
        """GetHealthCheck."""
        with self._store.read() as state:
            return {"HealthCheck": _to_api(self._store.health_check(state, params["HealthCheckId"]))}

    def list_health_checks(self, params: Params) -> Params:
        """ListHealthChecks."""
        with self._store.read() as state:
            checks = list(state.health_checks.values())
            marker = params.get("Marker")
            shown, following, size = page(checks, start_after_marker([check.id for check in checks], marker), params)
            result: Params = {
                "HealthChecks": [_to_api(check) for check in shown],
                "Marker": marker or "",
                "IsTruncated": following is not None,
                "MaxItems": str(size),
            }
            return result | ({} if following is None else {"NextMarker": checks[following].id})

    def get_health_check_count(self, params: Params) -> Params:
        """GetHealthCheckCount."""
        with self._store.read() as state:
            return {"HealthCheckCount": len(state.health_checks)}

    def update_health_check(self, params: Params) -> Params:
        """UpdateHealthCheck; a stale HealthCheckVersion is refused."""
        with self._store.write() as state:
            check = self._store.health_check(state, params["HealthCheckId"])
            expected = params.get("HealthCheckVersion")
            if expected is not None and expected != check.version:
                message = f"The health check's version is {check.version}, not {expected}."
                raise ApiError("HealthCheckVersionMismatch", message, 409)
            reset = set(params.get("ResetElements") or ())
            kept = {key: value for key, value in check.config.items() if key not in reset}
            changed = {key: value for key, value in params.items() if key not in NOT_CONFIG and value is not None}
            check.config = completed(kept | changed)
            check.version += 1
            result = _to_api(check)
        self._monitor.refresh()
        return {"HealthCheck": result}

    def delete_health_check(self, params: Params) -> Params:
        """DeleteHealthCheck, unless a calculated one counts it."""
        wanted = params["HealthCheckId"]
        with self._store.write() as state:
            self._store.health_check(state, wanted)
            if any(wanted in check.config.get("ChildHealthChecks", ()) for check in state.health_checks.values()):
                message = f"The health check {wanted} is a child of another health check."
                raise ApiError("HealthCheckInUse", message)
            del state.health_checks[wanted]
            state.tags.pop(wanted, None)
        self._monitor.refresh()
        return {}

    def get_health_check_status(self, params: Params) -> Params:
        """GetHealthCheckStatus: each checker's last observation."""
        self._probed(params["HealthCheckId"])
        return {"HealthCheckObservations": _observations(self._monitor.latest(params["HealthCheckId"]))}

    def get_health_check_last_failure_reason(self, params: Params) -> Params:
        """GetHealthCheckLastFailureReason: each checker's last failure."""
        self._probed(params["HealthCheckId"])
        return {"HealthCheckObservations": _observations(self._monitor.last_failures(params["HealthCheckId"]))}

    def get_checker_ip_ranges(self, params: Params) -> Params:
        """GetCheckerIpRanges: the lab's checkers really come from loopback."""
        return {"CheckerIpRanges": ["127.0.0.0/8"]}

    def _probed(self, check_id: str) -> None:
        with self._store.read() as state:
            if self._store.health_check(state, check_id).config["Type"] not in PROBED_TYPES:
                raise invalid_input("No health checker probes this health check: its status comes from elsewhere")


def _to_api(check: HealthCheck) -> Params:
    return {
        "Id": check.id,
        "CallerReference": check.caller_reference,
        "HealthCheckConfig": check.config,
        "HealthCheckVersion": check.version,
    }


def _observations(seen: Sequence[Observation]) -> list[Params]:
    return [
        {
            "Region": observation.region,
            "IPAddress": CHECKER_ADDRESSES.get(observation.region, "15.177.0.9"),
            "StatusReport": {"Status": observation.text, "CheckedTime": observation.checked},
        }
        for observation in seen
    ]
