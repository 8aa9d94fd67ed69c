"""A lab AWS with a cluster of routing controls, and clients for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config as BotoConfig

from lab.aws.arc_names import control_arn, panel_arn, rule_arn
from lab.aws.server import LabAws
from tests.unit.lab.aws_support import ACCESS_KEY, SECRET_KEY, running_aws

REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2")
CLUSTER, PANEL_NAME = "lab", "services"
PANEL = panel_arn(CLUSTER, PANEL_NAME)
EAST, WEST = control_arn(PANEL, "api-us-east-1"), control_arn(PANEL, "api-us-west-2")
GATE = control_arn(PANEL, "gate")
RULE = rule_arn(PANEL, "api-somewhere")


def recovery(host: str = "127.77.0.1", **overrides: Any) -> dict[str, Any]:
    """A cluster whose panel has a control a region, one On, and the rule that one of them must be."""
    return {
        "endpoints": [{"region": region, "host": host, "port": 0} for region in REGIONS],
        "cluster": CLUSTER,
        "mutations": {"rate": 1000, "burst": 1000},
        "panels": [
            {
                "name": PANEL_NAME,
                "controls": ["api-us-east-1", "api-us-west-2", "gate"],
                "on": ["api-us-east-1"],
                "assertions": [{"name": "api-somewhere", "controls": ["api-us-east-1", "api-us-west-2"]}],
            }
        ],
        **overrides,
    }


@contextmanager
def running_arc(directory: Path, **overrides: Any) -> Iterator[LabAws]:
    """A lab AWS with that cluster, serving while the block runs."""
    with running_aws(directory, **{"recovery": recovery(), **overrides}) as aws:
        yield aws


def endpoints(aws: LabAws) -> list[dict[str, str]]:
    """The module's option ``endpoints``."""
    return [{"endpoint": one.url, "region": one.region} for one in aws.recovery.store.endpoints]


def signed(service: str, url: str, region: str, secret: str = SECRET_KEY) -> Any:
    """A boto3 client that does not retry."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret,
        config=BotoConfig(retries={"total_max_attempts": 1}),
    )


def data_plane(aws: LabAws, region: str = "us-west-2") -> Any:
    """A client of one endpoint."""
    url = next(one.url for one in aws.recovery.store.endpoints if one.region == region)
    return signed("route53-recovery-cluster", url, region)


def control_plane(aws: LabAws, region: str = "us-west-2") -> Any:
    """A client of the control plane."""
    return signed("route53-recovery-control-config", aws.endpoint_url, region)


def states(aws: LabAws) -> dict[str, str]:
    """Name and state of every routing control."""
    with aws.recovery.store.read() as state:
        return {one.name: "On" if one.on else "Off" for one in state.controls.values()}


def entries(**wanted: str) -> list[dict[str, str]]:
    """Entries of UpdateRoutingControlStates, by name with ``_`` for ``-``."""
    return [
        {"RoutingControlArn": control_arn(PANEL, name.replace("_", "-")), "RoutingControlState": state}
        for name, state in wanted.items()
    ]
