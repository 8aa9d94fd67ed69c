# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Route 53's health checks: found or made by what they are to do, and awaited until they have looked.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from collections import defaultdict
from dataclasses import dataclass

from .clock import Deadline
from .errors import TimedOut
from .route53 import Change, Route53, Zone
from .traffic_records import RecordSet

#: GetHealthCheckStatus is for people: one request a second
POLL_SECONDS = 1.0

OPTION: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "type": {"type": "str", "required": True, "choices": ["RECOVERY_CONTROL", "HTTP", "HTTPS", "TCP"]},
    "routing_control": {"type": "str"},
    "address": {"type": "str"},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "path": {"type": "str"},
    "inverted": {"type": "bool", "default": False},
    "interval": {"type": "int", "choices": [10, 30], "default": 10},
    "failure_threshold": {"type": "int", "default": 3},
}
REQUIRED_IF: list[t.Any] = [
    ["type", "RECOVERY_CONTROL", ["routing_control"]],
    ["type", "HTTP", ["address", "host"], True],
    ["type", "HTTPS", ["address", "host"], True],
    ["type", "TCP", ["address", "host"], True],
]


@dataclass(frozen=True)
class Check:
    """A health check as it is wanted; `config` is Route 53's HealthCheckConfig in canonical JSON."""

    name: str
    config: str

    @classmethod
    def from_option(cls, option: t.Mapping[str, t.Any]) -> Check:
        """Build from a `health_check` option."""
        config: dict[str, t.Any] = {"Type": option["type"], "Inverted": option["inverted"]}
        if option["type"] == "RECOVERY_CONTROL":
            config["RoutingControlArn"] = option["routing_control"]
        else:
            named = {
                "IPAddress": option.get("address"),
                "FullyQualifiedDomainName": option.get("host"),
                "Port": option.get("port") or {"HTTP": 80, "HTTPS": 443}.get(option["type"]),
                "ResourcePath": option.get("path") if option["type"] != "TCP" else None,
            }
            config.update({key: value for key, value in named.items() if value is not None})
            config.update(RequestInterval=option["interval"], FailureThreshold=option["failure_threshold"])
        return cls(option["name"], json.dumps(config, sort_keys=True))

    @property
    def reference(self) -> str:
        """The caller reference that finds this very check again; another configuration is another check."""
        return f"{self.name[:40]}-{hashlib.sha256(self.config.encode()).hexdigest()[:16]}"

    @property
    def looks(self) -> bool:
        """Whether checkers probe something, and the first verdict takes them a while."""
        return json.loads(self.config)["Type"] != "RECOVERY_CONTROL"


class HealthChecks(Route53):
    """Route 53 with its health checks. Control plane: for the time before anything happens."""

    def ids(self) -> dict[str, str]:
        """Return the id of every health check by its caller reference."""
        found: dict[str, str] = {}
        more: dict[str, str] = {}
        while True:
            answer = self._call("list", "health checks", "list_health_checks", **more)
            found.update({one["CallerReference"]: one["Id"] for one in answer["HealthChecks"]})
            if not answer["IsTruncated"]:
                return found
            more = {"Marker": answer["NextMarker"]}

    def create(self, check: Check) -> str:
        """Create a health check and return its id; the same reference again returns the one that exists."""
        answer = self._call(
            "create",
            f"health check {check.name}",
            "create_health_check",
            CallerReference=check.reference,
            HealthCheckConfig=json.loads(check.config),
        )
        return str(answer["HealthCheck"]["Id"])

    def wait_settled(self, check: Check, check_id: str, deadline: Deadline) -> None:
        """Wait until every checker has looked often enough for a verdict of its own: until then a check is healthy."""
        needed = json.loads(check.config)["FailureThreshold"]
        seen: dict[str, set[str]] = defaultdict(set)
        while not seen or min(map(len, seen.values())) < needed:
            if deadline.expired:
                raise TimedOut(
                    f"Timed out after {deadline.seconds:g} s waiting for the checkers of health check {check.name} "
                    f"({check_id}) to look {needed} times each. Run again to wait on."
                )
            deadline.rest(POLL_SECONDS)
            answer = self._call("read", f"health check {check.name}", "get_health_check_status", HealthCheckId=check_id)
            for one in answer["HealthCheckObservations"]:
                seen[one["Region"]].add(str(one["StatusReport"]["CheckedTime"]))

    def replace(self, zone: Zone, delete: t.Sequence[RecordSet], upsert: t.Sequence[RecordSet], comment: str) -> Change:
        """Submit one batch, all or nothing, that removes and writes whole record sets."""
        changes = [{"Action": "DELETE", "ResourceRecordSet": one} for one in delete]
        changes += [{"Action": "UPSERT", "ResourceRecordSet": one} for one in upsert]
        return self._submit(zone, changes, comment)
