#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: incident_report
short_description: Report an incident or drill from its ledger and from what its clients saw
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Computes every number of the report from the incident's ledger and from the client-side record of the service.
    Nothing is taken from facts or variables of the run, so anybody can compute it again later.
  - The verdict is V(failed) when an objective is missed, when acknowledged writes older than the stated loss bound were
    lost, when several primaries accepted writes, when a step failed and was not verified later, or when the ledger's
    chain is broken. It is V(unverified) when something could not be checked, above all without a client-side record.
  - A check that finds something wrong in detect and assess tells what has happened to the service. It is noted,
    and does not count against the recovery.
attributes:
  check_mode:
    support: full
    description: Computes the report and writes nothing.
  diff_mode:
    support: full
    description: Shows the verdict before and after.
options:
  incident:
    description: Identifier of the incident or drill.
    type: str
    required: true
  mode:
    description: Whether this is an incident or a drill. The report says what the ledger was declared as.
    type: str
    choices: [incident, drill]
    default: incident
  directory:
    description: Local directory that holds the ledgers.
    type: path
    required: true
  store:
    description: Bucket that holds the ledgers. Both copies are verified and compared.
    type: dict
    suboptions:
      name:
        description: Name of the store in messages and evidence.
        type: str
        required: true
      bucket:
        description: Name of the bucket.
        type: str
        required: true
      prefix:
        description: What all keys begin with.
        type: str
        default: ''
      endpoint_url:
        description: URL of the API, where it is not AWS's own.
        type: str
      region:
        description: AWS region that requests are signed for.
        type: str
        default: us-east-1
      profile:
        description: Profile that holds the credentials; the environment's when left out.
        type: str
      credentials_file:
        description: AWS shared credentials file to read the profile from, in place of the environment's.
        type: path
      timeout:
        description: Seconds to wait for one answer.
        type: float
        default: 5.0
  drill:
    description: Name of the drill.
    type: str
  measurement:
    description:
      - JSON file with the client-side record. C(since), C(until), C(services) and C(observer), as the lab's
        C(measure) command writes it.
      - A service has C(acknowledged_writes), C(lost_acknowledged_writes), C(rpo_seconds) and C(outage) with C(started)
        and C(ended). The observer has C(rounds), C(max_writable_primaries) and C(undecided), the times at which it
        cannot be told whether two primaries accepted writes.
    type: path
  objectives:
    description:
      - What to measure against, as the filter P(terragon.disaster_recovery.service_objectives#filter) returns it.
        What the declaration kept, when left out.
    type: dict
  output:
    description: Where to write C(report.json). The ledger is copied beside it as C(ledger.jsonl).
    type: path
seealso:
  - module: terragon.disaster_recovery.incident_ledger
"""

EXAMPLES = """
- name: Report the drill
  terragon.disaster_recovery.incident_report:
    incident: drill-2026-11-23
    directory: /var/lib/dr/ledgers
    store: {name: witness, bucket: example-ledgers, region: eu-central-1}
    drill: region_loss
    measurement: build/drills/region_loss/measurement.json
    objectives: "{{ dr_services | terragon.disaster_recovery.service_objectives(dr_tiers) }}"
    output: build/drills/region_loss/report.json
  register: outcome

- name: Fail a drill that did not pass
  ansible.builtin.assert:
    that: outcome.verdict == 'passed'
"""

RETURN = """
incident:
  description: Identifier of the incident.
  returned: always
  type: str
verdict:
  description: V(passed), V(failed) or V(unverified).
  returned: success
  type: str
report:
  description: The report, as it is written to O(output).
  returned: success
  type: dict
  contains:
    drill:
      description: Name of the drill, or null.
      type: str
    incident:
      description: Identifier of the incident.
      type: str
    mode:
      description: V(incident) or V(drill), as it was declared.
      type: str
    verdict:
      description: V(passed), V(failed) or V(unverified).
      type: str
    rto_seconds:
      description:
        - Seconds of the worst outage that clients saw, of the services that the strictest objective binds.
        - Without a client-side record, seconds from the declaration to the last validation. C(rto_source) says which.
      type: float
    rto_objective_seconds:
      description: The strictest RTO objective in seconds.
      type: float
    rpo_seconds:
      description: Age in seconds of the oldest acknowledged write that was lost. Null without a client-side record.
      type: float
    rpo_objective_seconds:
      description: The strictest RPO objective in seconds.
      type: float
    acknowledged_writes:
      description: Writes that clients saw acknowledged.
      type: int
    lost_acknowledged_writes:
      description: Of those, the ones that can no longer be read.
      type: int
    stated_loss_bound_seconds:
      description: The bound of the loss in seconds that the run stated, from the ledger's evidence C(loss_bound).
      type: float
    max_writable_primaries:
      description: The most primaries that accepted a write at the same time.
      type: int
    orchestration_seconds:
      description: Seconds of the outage that were no wait for lease expiry, promotion, pods or DNS TTL.
      type: float
    detection_seconds:
      description: Seconds from the outage's beginning to the declaration.
      type: float
    phases:
      description: Each phase of each run with C(started), C(ended), C(seconds), C(steps) and C(failed).
      type: list
      elements: dict
    waits:
      description: Recorded waits with C(name), C(started), C(ended) and C(seconds).
      type: list
      elements: dict
    receipts:
      description: Fencing receipts.
      type: list
      elements: dict
    acceptances:
      description: Steps that rest on a typed acceptance instead of a receipt, with C(step), C(event), C(acceptance).
      type: list
      elements: dict
    divergences:
      description:
        - Committed writes that only an old primary had, as M(terragon.disaster_recovery.pg_divergence) found them last,
          with C(region), C(cluster), C(fork_lsn), C(end_lsn), C(transactions), C(totals), C(tables), C(others),
          C(saved), C(manifest) and C(event). Rows that could not be read are a finding of level C(unverified).
      type: list
      elements: dict
    controller_clocks:
      description:
        - How far the clock of each run's machine was from the witness's when it declared or resumed the incident, with
          C(event), C(store) and C(skew_seconds), positive where the machine was ahead, 0 where no difference shows.
        - More than 5 seconds is a finding of level C(note).
      type: list
      elements: dict
    services:
      description: Each service against its own objectives.
      type: list
      elements: dict
    ledger:
      description: What the verification of the ledger found, its number of events and its head.
      type: dict
    findings:
      description: Each has C(level) (V(failed), V(unverified) or V(note)), C(about), C(finding) and C(event).
      type: list
      elements: dict
table:
  description: The report as plain text for a terminal.
  returned: success
  type: str
report_path:
  description: The file that was written, or would be in check mode; null without O(output).
  returned: success
  type: str
ledger_copy:
  description: The copy of the ledger beside it; null without O(output).
  returned: success
  type: str
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.report_service import SPECIFICATION, run


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
