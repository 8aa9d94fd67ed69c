"""How the lab's traffic may be shifted other than by records: its routing controls, and the bucket of its switches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.aws.arc_config import REGIONS as ENDPOINT_REGIONS
from lab.aws.arc_names import panel_arn, rule_arn
from lab.catalogue import ACTIVE, REGIONS, SWITCH_BUCKET
from lab.errors import LabError
from lab.layout import Lab

CLUSTER, PANEL = "lab", "services"
#: what DR_LAB_TRAFFIC may say
METHODS = ("records", "routing_controls", "switch")


def config(lab: Lab) -> dict[str, Any]:
    """What the lab's AWS begins with: a control a service and region, and the rule that one of a service's is On."""
    return {
        "endpoints": [
            {"region": region, "host": address, "port": lab.port("recovery")}
            for region, address in zip(ENDPOINT_REGIONS, addresses(lab), strict=True)
        ],
        "cluster": CLUSTER,
        "panels": [
            {
                "name": PANEL,
                "controls": [control(service.name, region) for service in lab.services for region in REGIONS],
                "on": [control(service.name, ACTIVE) for service in lab.services],
                "assertions": [
                    {"name": rule(service.name), "controls": [control(service.name, region) for region in REGIONS]}
                    for service in lab.services
                ],
            }
        ],
    }


def addresses(lab: Lab) -> list[str]:
    """The addresses of the cluster's five endpoints."""
    return [lab.address(f"recovery-{number}") for number in range(len(ENDPOINT_REGIONS))]


def control(service: str, region: str) -> str:
    """The name of a service's routing control for a region."""
    return f"{service}-{region}"


def rule(service: str) -> str:
    """The name of a service's safety rule."""
    return f"{service}-somewhere"


def method_from(environment: Mapping[str, str]) -> str:
    """How traffic is shifted, by DR_LAB_TRAFFIC. Raises LabError for a word that is none."""
    method = environment.get("DR_LAB_TRAFFIC") or METHODS[0]
    if method not in METHODS:
        raise LabError(f"Failed to start the lab: DR_LAB_TRAFFIC is {method!r}. Set it to one of {', '.join(METHODS)}.")
    return method


def describe(lab: Lab, switch_store: dict[str, Any]) -> dict[str, Any]:
    """What the inventory says of them: the plan's `dr_routing_control` and `dr_traffic_switch`."""
    panel = panel_arn(CLUSTER, PANEL)
    host, _, port = lab.store_url(None).removeprefix("http://").partition(":")
    return {
        "method": lab.traffic,
        "routing_control": {
            "aws": {"profile": "orchestrator", "credentials_file": str(lab.credentials)},
            "endpoints": [
                {"region": region, "endpoint": f"http://{address}:{lab.port('recovery')}/v1"}
                for region, address in zip(ENDPOINT_REGIONS, addresses(lab), strict=True)
            ],
            "control_panel": panel,
            "safety_rules": [
                {
                    "name": rule(service.name),
                    "arn": rule_arn(panel, rule(service.name)),
                    "controls": [control(service.name, region) for region in REGIONS],
                    "wait_period_ms": 0,
                }
                for service in lab.services
            ],
        },
        "switch": {
            "store": switch_store,
            "health_check": {"type": "HTTP", "address": host, "port": int(port), "path": f"/{SWITCH_BUCKET}/"},
        },
    }
