"""The public names of the services in the lab's Route 53."""

from __future__ import annotations

from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import aws
from botocore.exceptions import BotoCoreError, ClientError

from lab.catalogue import ACTIVE, RECORD_TTL_SECONDS
from lab.components import Component, check_alive
from lab.layout import Lab
from lab.waiting import until


def aws_option(lab: Lab) -> dict[str, Any]:
    """The collection's `aws` option."""
    return {
        "endpoint_url": lab.aws_url,
        "region": "us-east-1",
        "profile": "orchestrator",
        "credentials_file": str(lab.credentials),
    }


def publish(lab: Lab) -> None:
    """Point every service at the active region, and wait until the resolver says so too."""
    component = Component("aws", None)
    client = aws.client("route53", {**aws_option(lab), "timeout": 15.0})

    def answers() -> bool:
        check_alive(lab, component)
        try:
            client.get_hosted_zone(Id=lab.zone_id)
        except (BotoCoreError, ClientError):
            return False
        return True

    until(answers, f"Route 53 (log {lab.log('aws')})", timeout=60)
    changes = [
        {
            "Action": "UPSERT",
            "ResourceRecordSet": {
                "Name": service.host,
                "Type": "A",
                "TTL": RECORD_TTL_SECONDS,
                "ResourceRecords": [{"Value": lab.address(service.name, ACTIVE)}],
            },
        }
        for service in lab.services
    ]
    change = client.change_resource_record_sets(HostedZoneId=lab.zone_id, ChangeBatch={"Changes": changes})
    until(
        lambda: client.get_change(Id=change["ChangeInfo"]["Id"])["ChangeInfo"]["Status"] == "INSYNC", "INSYNC", 30, 0.2
    )


def wait_for_resolver(lab: Lab) -> None:
    """Wait until the resolver knows every service."""
    for service in lab.services:

        def known(host: str = service.host) -> bool:
            check_alive(lab, Component("resolver", None))
            return bool(resolve(lab, host))

        until(known, f"the resolver to know {service.host} (log {lab.log('resolver')})")


def resolve(lab: Lab, host: str) -> list[str]:
    """The addresses that the lab's resolver gives for a name; none when it does not answer."""
    address, port = lab.resolver
    try:
        answer = dns.query.udp(dns.message.make_query(host, dns.rdatatype.A), address, timeout=1.0, port=port)
    except (OSError, dns.exception.DNSException):
        return []
    return [item.address for rrset in answer.answer for item in rrset if rrset.rdtype == dns.rdatatype.A]
