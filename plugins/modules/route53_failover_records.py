#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make failover records and their health checks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: route53_failover_records
short_description: Make PRIMARY and SECONDARY records with their health checks, before anything happens
version_added: "0.1.0"
author: Terragon Platform Team (@terragon)
description:
  - Makes a failover pair of each name, and the health checks that the pair follows. Afterwards a failover needs no
    change of a record, only of what the checks look at (M(terragon.disaster_recovery.arc_routing_control),
    M(terragon.disaster_recovery.traffic_switch)).
  - A simple record gives way to its pair in one atomic change batch, if its values are those of one of the two.
    Everything else that stands at the name is refused before anything is changed.
  - Health checks are found again by a caller reference made of their name and configuration. One whose configuration
    changed is a new one; the old one is left to be removed by whoever wants it gone.
  - A new check that probes something counts as healthy until its checkers have looked. That is awaited before a record
    follows it.
  - Needs Route 53's control plane, which AWS runs in us-east-1. It belongs into the time before a disaster.
options:
  state:
    description:
      - V(present) makes what is missing.
      - V(observed) changes nothing, and tells what is missing as RV(problems).
    type: str
    choices: [present, observed]
    default: present
  records:
    description: Names with their pairs.
    type: list
    elements: dict
    required: true
    suboptions:
      zone:
        description: Hosted zone, by its id or by its name where one public zone has it.
        type: str
        required: true
      name:
        description: Full name of the records.
        type: str
        required: true
      type:
        description: Type of the records.
        type: str
        required: true
        choices: [A, AAAA, CNAME]
      ttl:
        description: TTL in seconds.
        type: int
        required: true
      primary:
        description: The record that answers while its check is healthy.
        type: dict
        required: true
        suboptions:
          identifier:
            description: Set identifier of the record, for example its region.
            type: str
            required: true
          values:
            description: Values.
            type: list
            elements: str
            required: true
          health_check:
            description: Health check that the record follows.
            type: dict
            suboptions:
              name:
                description: Name of the check, which its caller reference begins with.
                type: str
                required: true
              type:
                description: What is looked at.
                type: str
                required: true
                choices: [RECOVERY_CONTROL, HTTP, HTTPS, TCP]
              routing_control:
                description: ARN of the ARC routing control of V(RECOVERY_CONTROL).
                type: str
              address:
                description: IP address to probe.
                type: str
              host:
                description: Host name to probe, or to name in the request to the address.
                type: str
              port:
                description: Port; 80 for V(HTTP) and 443 for V(HTTPS) when left out.
                type: int
              path:
                description: Path to ask for.
                type: str
              inverted:
                description: Whether the check counts as healthy while it fails.
                type: bool
                default: false
              interval:
                description: Seconds between a checker's probes.
                type: int
                choices: [10, 30]
                default: 10
              failure_threshold:
                description: How many probes in a row turn a checker's verdict.
                type: int
                default: 3
      secondary:
        description: The record that answers otherwise.
        type: dict
        required: true
        suboptions:
          identifier:
            description: Set identifier of the record, for example its region.
            type: str
            required: true
          values:
            description: Values.
            type: list
            elements: str
            required: true
          health_check:
            description: Health check that the record follows.
            type: dict
            suboptions:
              name:
                description: Name of the check, which its caller reference begins with.
                type: str
                required: true
              type:
                description: What is looked at.
                type: str
                required: true
                choices: [RECOVERY_CONTROL, HTTP, HTTPS, TCP]
              routing_control:
                description: ARN of the ARC routing control of V(RECOVERY_CONTROL).
                type: str
              address:
                description: IP address to probe.
                type: str
              host:
                description: Host name to probe, or to name in the request to the address.
                type: str
              port:
                description: Port; 80 for V(HTTP) and 443 for V(HTTPS) when left out.
                type: int
              path:
                description: Path to ask for.
                type: str
              inverted:
                description: Whether the check counts as healthy while it fails.
                type: bool
                default: false
              interval:
                description: Seconds between a checker's probes.
                type: int
                choices: [10, 30]
                default: 10
              failure_threshold:
                description: How many probes in a row turn a checker's verdict.
                type: int
                default: 3
  comment:
    description: Comment of the change batches, at most 256 characters of it.
    type: str
    default: ""
  timeout:
    description: Seconds for each call with its repetitions, for new health checks to settle, and for C(INSYNC).
    type: float
    default: 180.0
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.aws
  - terragon.disaster_recovery.connections.record
  - terragon.disaster_recovery.names
attributes:
  check_mode:
    description: Reads and plans everything, asks the DNS servers once, and changes nothing.
    support: full
  diff_mode:
    description: Shows the records of each name before and after.
    support: full
requirements:
  - boto3
  - dnspython
"""

EXAMPLES = r"""
- name: Let a name follow two routing controls
  terragon.disaster_recovery.route53_failover_records:
    records:
      - zone: example.com
        name: api.example.com
        type: CNAME
        ttl: 60
        primary:
          identifier: us-east-1
          values: [api.us-east-1.example.com]
          health_check: {name: api-us-east-1, type: RECOVERY_CONTROL, routing_control: "{{ east_arn }}"}
        secondary:
          identifier: us-west-2
          values: [api.us-west-2.example.com]
          health_check: {name: api-us-west-2, type: RECOVERY_CONTROL, routing_control: "{{ west_arn }}"}
"""

RETURN = r"""
records:
  description: The pair of each name as it is after the call, or in check mode as it would be.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the records, with its closing dot.
      type: str
    type:
      description: Type of the records.
      type: str
    records:
      description: Identifier, role, TTL in seconds, values and health check of each record.
      type: list
      elements: dict
    before:
      description: The same of what was found at the name.
      type: list
      elements: dict
    changed:
      description: Whether it was changed, or would be in check mode.
      type: bool
created_health_checks:
  description: Names of the health checks that were made, or would be in check mode.
  returned: always
  type: list
  elements: str
waits:
  description: Times spent waiting, C(health_checks), C(dns_insync) and C(dns_ttl).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: What was waited for.
      type: str
    started:
      description: When the wait began, RFC 3339 in UTC.
      type: str
    ended:
      description: When it ended, RFC 3339 in UTC.
      type: str
    seconds:
      description: How long it took, in seconds.
      type: float
resolvers:
  description: The last answer of each DNS server for each name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the server.
      type: str
    address:
      description: IP address of the server.
      type: str
    port:
      description: Port of the server.
      type: int
    authoritative:
      description: Whether it is one of O(name_servers).
      type: bool
    record:
      description: Name that was asked for.
      type: str
    type:
      description: Type that was asked for.
      type: str
    agrees:
      description: Whether the answer is the one of O(names[].values).
      type: bool
    answer:
      description: Values of the answer, sorted.
      type: list
      elements: str
    ttl:
      description: TTL of the answer in seconds, or null.
      type: int
    seconds:
      description: Seconds until the server agreed, or null if it did not.
      type: float
    error:
      description: Why there was no answer, else empty.
      type: str
problems:
  description: Why the change cannot be made as wanted, with the remedy.
  returned: always
  type: list
  elements: str
unverified:
  description: What was not seen or is not known, with the reason. It never counts as seen.
  returned: always
  type: list
  elements: str
outcome:
  description:
    - V(passed), V(failed) where there are problems, or V(unverified) where O(state=observed) could not see everything.
  returned: always
  type: str
observed:
  description: False where a change was made and its effect at no DNS server seen.
  returned: always
  type: bool
evidence:
  description: RV(records), RV(created_health_checks) and RV(resolvers), as the ledger keeps them.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.failover_records import SPECIFICATION, run


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
