"""Whether a health check counts as healthy, by Route 53's rules, and what its configuration may say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.aws.errors import invalid_input
from lab.aws.state import HealthCheck, State

PROBED_TYPES = ("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP")
CHECKER_REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
HEALTHY_SHARE = 0.18
MAX_DEPTH = 8
DEFAULT_PORTS = {"HTTP": 80, "HTTP_STR_MATCH": 80, "HTTPS": 443, "HTTPS_STR_MATCH": 443}

#: whether the routing control of an ARN is On
IsOn = Callable[[str], bool]


def regions(config: dict[str, Any]) -> tuple[str, ...]:
    """Where the checkers of a health check stand."""
    return tuple(config.get("Regions") or CHECKER_REGIONS)


def is_healthy(state: State, check_id: str, is_on: IsOn, depth: int = 0) -> bool:
    """A health check's verdict for DNS. One that was deleted, or that has no observation yet, counts as healthy."""
    check = state.health_checks.get(check_id)
    if check is None or depth > MAX_DEPTH:
        return True
    healthy = bool(check.config.get("Disabled")) or _observed(state, check, is_on, depth)
    return healthy != bool(check.config.get("Inverted"))


def _observed(state: State, check: HealthCheck, is_on: IsOn, depth: int) -> bool:
    config = check.config
    if config["Type"] == "CALCULATED":
        children = config.get("ChildHealthChecks", [])
        return sum(is_healthy(state, child, is_on, depth + 1) for child in children) >= config.get("HealthThreshold", 0)
    if config["Type"] == "RECOVERY_CONTROL":
        return is_on(config["RoutingControlArn"])
    checkers = regions(config)
    passing = sum(not check.failing.get(region, False) for region in checkers)
    return passing / len(checkers) > HEALTHY_SHARE


def completed(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the service's defaults filled in. Raises InvalidInput for what cannot be served."""
    kind = config["Type"]
    full: dict[str, Any] = {"Inverted": False, "Disabled": False, **config}
    if kind == "CALCULATED":
        _require(0 <= full.get("HealthThreshold", -1) <= 256, "HealthThreshold must be between 0 and 256")
        full.setdefault("ChildHealthChecks", [])
        return full
    if kind == "RECOVERY_CONTROL":
        _require(full.get("RoutingControlArn"), "RoutingControlArn is required for type RECOVERY_CONTROL")
        return full
    _require(kind in PROBED_TYPES, f"The lab's health checkers do not serve type {kind}")
    full = {"RequestInterval": 30, "FailureThreshold": 3, "MeasureLatency": False, **full}
    if kind in DEFAULT_PORTS:
        full.setdefault("Port", DEFAULT_PORTS[kind])
    if kind.startswith("HTTPS"):
        full.setdefault("EnableSNI", True)
    has_endpoint = full.get("IPAddress") or full.get("FullyQualifiedDomainName")
    _require(has_endpoint, "Basic health checks must specify either an IP address or a domain name")
    _require(1 <= full.get("Port", 0) <= 65535, "Port must be between 1 and 65535")
    _require(full["RequestInterval"] in (10, 30), "RequestInterval must be 10 or 30 seconds")
    _require(1 <= full["FailureThreshold"] <= 10, "FailureThreshold must be between 1 and 10")
    _require(kind.endswith("_STR_MATCH") == bool(full.get("SearchString")), f"SearchString does not fit type {kind}")
    _require(len(full.get("Regions") or CHECKER_REGIONS) >= 3, "Regions must name at least three regions")
    return full


def _require(condition: object, message: str) -> None:
    if not condition:
        raise invalid_input(message)
