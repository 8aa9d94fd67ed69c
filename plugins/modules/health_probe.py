#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask the health of services."""

from __future__ import annotations

DOCUMENTATION = r"""
module: health_probe
short_description: Ask the health of services from several vantage points
version_added: "0.1.0"
description:
  - Asks HTTP endpoints, TCP ports, DNS records and PostgreSQL servers whether they are well, and can prove that a
    service commits a write and reads it back.
  - All checks are asked from all vantage points at the same time, each over a connection of its own.
  - Names are resolved anew for every attempt, without a cache, so that an answer is as old as the name servers of the
    vantage point let it be.
  - An outcome is C(passed), C(failed), or C(unverified) where the check could not run. C(unverified) is never a pass.
  - A check passes when O(agreement) of its vantage points passed. It is unverified when it would have passed, had
    those vantage points passed that could not tell. Else it failed.
  - A service passes when all its checks pass. It failed when one of them failed, else it is unverified.
author:
  - Terragon Platform Team (@terragon)
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
requirements:
  - dnspython >= 2.6 for vantage points with name servers and for checks of kind C(dns)
  - psycopg2 >= 2.8 for checks of kind C(postgresql)
attributes:
  check_mode:
    description: Runs as usual, once and without waiting, because it only looks.
    support: partial
    details: Checks of kind C(write_read) write a record, so they are not asked. They are reported as C(unverified)
      and do not make the task fail.
  diff_mode:
    description: It changes nothing.
    support: none
options:
  checks:
    description: What is asked.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the check, unique within its service.
        type: str
        required: true
      service:
        description: Service whose health it shows. The check's name when left out.
        type: str
      kind:
        description:
          - C(http) sends one request to O(checks[].url). Redirects are answers, they are not followed.
          - C(tcp) opens a connection to O(checks[].host) and O(checks[].port).
          - C(dns) asks for the records in O(checks[].dns).
          - C(postgresql) runs O(checks[].query) in a read-only transaction and compares its single value with
            O(checks[].expect).
          - C(write_read) writes a fresh identifier to O(checks[].url) and reads it back from O(checks[].read_url).
            It leaves that record in the service.
        type: str
        required: true
        choices: [http, tcp, dns, postgresql, write_read]
      vantage_points:
        description:
          - Names of the O(vantage_points) that ask this check.
          - All when left out. For C(postgresql) all without a source address, because libpq cannot bind one.
        type: list
        elements: str
      agreement:
        description: As O(agreement), for this check.
        type: int
      timeout:
        description: Seconds that one attempt may take, from resolving the name to the end of the answer.
        type: float
        default: 5.0
      retries:
        description: How many more attempts a vantage point has after one that did not pass.
        type: int
        default: 1
      interval:
        description: Seconds between two attempts.
        type: float
        default: 0.5
      url:
        description: URL to ask. For C(write_read) the one to write to. It holds no credentials.
        type: str
      read_url:
        description: URL that shows what was written. C($id) stands for the identifier.
        type: str
      method:
        description: HTTP method. C(GET), and C(POST) to write, when left out.
        type: str
      headers:
        description: HTTP headers. C(Host) may name another host than the URL. They may show in logs, so keep secrets
          in O(checks[].header_files).
        type: dict
      header_files:
        description: HTTP headers whose values are read from files, for example C(Authorization).
        type: dict
      body:
        description:
          - Body of the request, a string or anything that is sent as JSON.
          - For C(write_read) C($id) stands for the identifier, and the default is
            C({"id":"$id","seq":0,"payload":"deep check"}).
        type: raw
      expect_status:
        description: HTTP statuses that are well. C(200), and C(201) for a write, when left out. A read has to answer
          C(200).
        type: list
        elements: int
      expect_contains:
        description: Text that the body has to contain.
        type: str
      ca_path:
        description: File of the certificates that vouch for the server, in place of the system's. TLS is always
          verified.
        type: path
      address:
        description: Address, or address and port as C(ip:port), to connect to in place of the one that the name
          resolves to. The name still is the one in TLS and in C(Host).
        type: str
      host:
        description: Host to connect to.
        type: str
      port:
        description: TCP port to connect to.
        type: int
      dns:
        description: Records to ask for.
        type: dict
        suboptions:
          name:
            description: Name of the record set.
            type: str
            required: true
          type:
            description: Type of the record set.
            type: str
            default: A
          values:
            description: Values that the record set has to hold. Any value is well when left out.
            type: list
            elements: str
          match:
            description: With C(exact) the record set holds these values and no others, with C(subset) only some of
              them.
            type: str
            choices: [exact, subset]
            default: exact
      postgres:
        description: How to reach the PostgreSQL server. The password comes from a libpq passfile and never appears
          here.
        type: dict
        suboptions:
          host:
            description: Host name, address, or directory of the Unix socket.
            type: str
            required: true
          port:
            description: TCP port.
            type: int
            default: 5432
          database:
            description: Database to connect to.
            type: str
            default: postgres
          user:
            description: Role to connect as.
            type: str
            required: true
          passfile:
            description: File in the C(.pgpass) format that holds the password.
            type: path
          sslmode:
            description: As libpq's C(sslmode).
            type: str
            default: prefer
          connect_timeout:
            description: Not used here, O(checks[].timeout) covers the whole attempt.
            type: int
            default: 3
      query:
        description: Query that returns one row. Its first column is the value.
        type: str
        default: SELECT 1
      expect:
        description: The value as psql writes it, for example C(t) for a true boolean. Any value is well when left out.
        type: str
  vantage_points:
    description: Where checks are asked from.
    type: list
    elements: dict
    default: [{name: controller}]
    suboptions:
      name:
        description: Name of the vantage point.
        type: str
        required: true
      source_address:
        description: Address of this machine to ask from.
        type: str
      nameservers:
        description: Name servers to resolve through, as C(ip) or C(ip:port). The system's resolver when left out.
        type: list
        elements: str
        default: []
  agreement:
    description: How many vantage points have to pass for a check to pass. More than half when left out.
    type: int
  timeout:
    description: Takes the place of every check's O(checks[].timeout).
    type: float
  retries:
    description: Takes the place of every check's O(checks[].retries).
    type: int
  interval:
    description: Takes the place of every check's O(checks[].interval).
    type: float
  wait_timeout:
    description:
      - Seconds to keep asking until all checks have passed. Zero judges once, after the retries.
      - A vantage point that has passed is not asked again.
    type: float
    default: 0.0
  wait_name:
    description: Name of the wait in RV(waits), where it is to be told apart from the run's own time.
    type: str
  required:
    description: Whether the task fails when the outcome is not C(passed). If not, it only reports.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Is the service well through its public name
  terragon.disaster_recovery.health_probe:
    checks:
      - name: api_health
        service: counterfactual-lab
        kind: http
        url: https://api.counterfactual-lab.com/health
        expect_contains: '"status":"ok"'
      - name: public name
        service: counterfactual-lab
        kind: dns
        dns:
          name: api.counterfactual-lab.com
          type: CNAME
          values: [us-west-2.counterfactual-lab.com]
    vantage_points:
      - name: controller
      - name: google
        nameservers: [8.8.8.8]
      - name: quad9
        nameservers: [9.9.9.9]

- name: Prove a committed write in a region before traffic goes there
  terragon.disaster_recovery.health_probe:
    checks:
      - name: writes and reads
        service: counterfactual-lab
        kind: write_read
        url: https://api.counterfactual-lab.com/writes
        read_url: https://api.counterfactual-lab.com/writes/$id
        address: 10.2.0.10
      - name: has the rows
        service: counterfactual-lab
        kind: postgresql
        postgres:
          host: pg.us-west-2.internal
          database: counterfactual_lab
          user: probe
          passfile: /etc/terragon/pgpass
        query: SELECT count(*) > 0 FROM experiments
        expect: t
    wait_timeout: 30
    interval: 0.25

- name: Look at a region that may be down, without failing
  terragon.disaster_recovery.health_probe:
    checks:
      - name: api
        kind: tcp
        host: api.us-east-1.internal
        port: 443
    retries: 0
    required: false
  register: region
"""

RETURN = r"""
outcome:
  description: C(passed) when all checks passed, C(failed) when one failed, else C(unverified).
  returned: always
  type: str
  sample: passed
checks:
  description: What was found, in the order of O(checks).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the check.
      type: str
    service:
      description: Service of the check.
      type: str
    kind:
      description: Kind of the check.
      type: str
    outcome:
      description: C(passed), C(failed) or C(unverified).
      type: str
    reason:
      description: Why it did not pass. Empty when it passed.
      type: str
    agreement:
      description: How many vantage points had to pass.
      type: int
    vantage_points:
      description: What each vantage point found with its last attempt.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the vantage point.
          type: str
        outcome:
          description: C(passed), C(failed) or C(unverified).
          type: str
        reason:
          description: Why it did not pass. Empty when it passed.
          type: str
        seconds:
          description: Duration of the last attempt in seconds.
          type: float
        address:
          description: Address and port that was asked, or the records found by a check of kind C(dns). None when it
            did not come that far.
          type: str
services:
  description: Outcome of each service, and how many of its checks passed, failed and are unverified.
  returned: always
  type: dict
  sample: {"counterfactual-lab": {"outcome": "passed", "passed": 3, "failed": 0, "unverified": 0}}
problems:
  description: One line for each check that failed.
  returned: always
  type: list
  elements: str
unverified:
  description: One line for each check that could not be judged.
  returned: always
  type: list
  elements: str
waits:
  description: The wait, where O(wait_name) and O(wait_timeout) are given. Times are RFC 3339 in UTC, durations
    seconds.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: O(wait_name).
      type: str
    started:
      description: When it began.
      type: str
    ended:
      description: When it ended.
      type: str
    seconds:
      description: How long it took.
      type: float
evidence:
  description: When the checks were asked (RFC 3339 in UTC), and how many vantage points passed each.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.probes import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
