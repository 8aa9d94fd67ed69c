"""A lab AWS in this process for tests, and clients for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import dns.message
import dns.query
from botocore.config import Config as BotoConfig

from lab.aws.config import Config
from lab.aws.server import LabAws

ACCESS_KEY, SECRET_KEY = "AKIALABLABLABLABLAB0", "a-secret-of-the-lab"
ZONE_ID, ZONE = "Z0LABLABLABLAB", "counterfactual-lab.test"
DEADLINE_SECONDS = 20.0
LIMITED = ("GetHealthCheckStatus", "CreateHealthCheck")
AMPLE = {"rate": 1000, "burst": 1000}


def aws_config(directory: Path, **overrides: Any) -> Config:
    """A configuration on free ports of one loopback address."""
    base = {
        "host": "127.77.0.1",
        "port": 0,
        "dns_host": "127.77.0.1",
        "dns_port": 0,
        "state_file": str(directory / "aws.json"),
        "insync_seconds": 0.0,
        "processing_seconds": 0.0,
        "health_interval_scale": 0.01,
        "throttle": {"rate": 1000, "burst": 1000, "operations": dict.fromkeys(LIMITED, AMPLE)},
        "access_keys": {ACCESS_KEY: SECRET_KEY},
        "zones": [{"name": ZONE, "id": ZONE_ID}],
    }
    return Config.from_dict({**base, **overrides})


@contextmanager
def running_aws(directory: Path, **overrides: Any) -> Iterator[LabAws]:
    """A lab AWS that serves while the block runs."""
    aws = LabAws(aws_config(directory, **overrides))
    aws.start()
    try:
        yield aws
    finally:
        aws.stop()


def client(aws: LabAws, service: str = "route53", secret: str = SECRET_KEY, key: str = ACCESS_KEY) -> Any:
    """A boto3 client that does not retry, so that tests see every error."""
    return boto3.client(
        service,
        endpoint_url=aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=BotoConfig(retries={"total_max_attempts": 1}),
    )


def change(route53: Any, *changes: tuple[str, dict[str, Any]], zone_id: str = ZONE_ID) -> dict[str, Any]:
    """Submit one batch; the ChangeInfo."""
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
    return dict(route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=batch)["ChangeInfo"])


def record(name: str, rdtype: str = "A", *values: str, ttl: int = 60, **more: Any) -> dict[str, Any]:
    """A record set in API form; ``name`` is relative to the zone, empty for its apex."""
    full = f"{name}.{ZONE}." if name else f"{ZONE}."
    content = {} if "AliasTarget" in more else {"TTL": ttl, "ResourceRecords": [{"Value": value} for value in values]}
    return {"Name": full, "Type": rdtype, **content, **more}


def records(route53: Any, zone_id: str = ZONE_ID) -> list[dict[str, Any]]:
    """The zone's record sets without its own SOA and NS."""
    listed = route53.list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    return [one for one in listed if one["Type"] not in ("SOA", "NS")]


def ask(host: str, port: int, name: str, rdtype: str = "A", tcp: bool = False) -> dns.message.Message:
    """One DNS query."""
    query = dns.message.make_query(name, rdtype)
    return (dns.query.tcp if tcp else dns.query.udp)(query, host, timeout=5, port=port)


def eventually(condition: Callable[[], Any]) -> Any:
    """The first truthy value of ``condition``; fails after a deadline that is far beyond what it takes."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)
    return value
