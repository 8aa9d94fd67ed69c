#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: incident_ledger
short_description: Keep the append-only record of an incident or drill
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Declares an incident, appends events to its ledger, reads, verifies and closes it.
  - A ledger is a chain of events, each with the hash of the one before. It is kept as one object an event in an S3
    bucket, created only where nothing is, and as one line an event in a local file.
  - The declaration starts the clock of the recovery time objective. It happens once; declaring an open incident again
    answers with the first time.
  - To check an event by hand, compare its C(hash) with the output of C(jq -jcS 'del(.hash\\)' 000007.json | sha256sum).
    For one line of the local file, C(sed -n 7p ledger.jsonl | jq -jcS 'del(.hash\\)' | sha256sum).
attributes:
  check_mode:
    support: full
    description: Predicts without writing, not even a local file that is behind the store.
  diff_mode:
    support: full
    description: Shows the number of events before and after.
options:
  state:
    description:
      - V(declared) opens the incident. A later run with another O(token) appends an event C(resume).
      - V(appended) appends one event. Tasks of this collection's modules that have a C(record) do that by themselves.
      - V(present) reads all events.
      - V(verified) checks every event of both copies and names the first bad one.
      - V(published) puts events that only the local file has into the store, after the store was away.
      - V(closed) ends the ledger. Nothing can be appended to it any more.
    type: str
    choices: [declared, appended, present, verified, published, closed]
    default: present
  incident:
    description: Identifier, for example V(INC-7). Letters, digits, dots, dashes and underscores, at most 64.
    type: str
    required: true
  mode:
    description: Whether this is an incident or a drill. It stays what it was declared as.
    type: str
    choices: [incident, drill]
    default: incident
  phase:
    description: Phase of the event. Required with O(state=appended).
    type: str
    choices: [detect, assess, isolate, recover, validate, close]
  step:
    description: Name of the event's step. Required with O(state=appended).
    type: str
  event_state:
    description: What the event says of its step.
    type: str
    choices: [intent, effect, verified, failed, skipped]
    default: verified
  data:
    description:
      - What the event tells. What is a secret by its name or its looks is replaced, and C(redacted) names the place.
    type: dict
    default: {}
  objectives:
    description:
      - With O(state=declared), what the recovery is measured against, as the filter
        P(terragon.disaster_recovery.service_objectives#filter) returns it. Kept in the declaration.
    type: dict
  report:
    description:
      - With O(state=closed), where the C(report.json) is. The closing event names it, and its SHA-256 where it is there
        already; then the ledger is copied beside it again, closing event included.
    type: path
  expect_head:
    description: With O(state=verified), a hash that the ledger must contain, for example the head that a report names.
    type: str
  directory:
    description: Local directory that holds the ledgers, one directory an incident.
    type: path
    required: true
  store:
    description: Bucket, outside the failed region, that holds the ledgers. Its conditional writes order the events.
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
  retain_days:
    description: Days for which the store must keep each event, in a bucket with object lock (compliance mode).
    type: int
  actor:
    description: Who acts. The action plugin fills in AWX's user, or the account and host that run the playbook.
    type: str
  token:
    description: Fencing token of the incident's lease. An event of an older token than the last one's is refused.
    type: int
seealso:
  - module: terragon.disaster_recovery.incident_lease
  - module: terragon.disaster_recovery.incident_report
"""

EXAMPLES = """
- name: Declare the incident; its clock starts now, or ran on since it was declared first
  terragon.disaster_recovery.incident_ledger:
    state: declared
    incident: INC-7
    directory: /var/lib/dr/ledgers
    store: {name: witness, bucket: example-ledgers, region: eu-central-1}
    token: 4
    data: {scenario: region_failover, source: us-east-1, target: us-west-2}

- name: Record a decision
  terragon.disaster_recovery.incident_ledger:
    state: appended
    incident: INC-7
    directory: /var/lib/dr/ledgers
    store: {name: witness, bucket: example-ledgers, region: eu-central-1}
    token: 4
    phase: assess
    step: approval
    data: {approved_by: j.doe}

- name: Prove that nobody touched it
  terragon.disaster_recovery.incident_ledger:
    state: verified
    incident: INC-7
    directory: /var/lib/dr/ledgers
    store: {name: witness, bucket: example-ledgers, region: eu-central-1}
  register: proof
  failed_when: not proof.valid
"""

RETURN = """
incident:
  description: Identifier of the incident.
  returned: always
  type: str
mode:
  description: What it was declared as.
  returned: success
  type: str
declared_at:
  description: When it was first declared, RFC 3339 in UTC; null while it is not.
  returned: success
  type: str
closed_at:
  description: When it was closed, RFC 3339 in UTC; null while it is open.
  returned: success
  type: str
objectives:
  description: What the first declaration measures the recovery against; null where it did not say.
  returned: success
  type: dict
closing:
  description: Data of the closing event; C(report) is the path of the report. Null while the incident is open.
  returned: success
  type: dict
count:
  description: Number of events.
  returned: success
  type: int
head:
  description: Hash of the last event, which vouches for all before it; null without events.
  returned: success
  type: str
event:
  description:
    - The event that was appended; null when none was, and in check mode.
    - With O(state=declared) and O(store), C(data.evidence.controller_clock) is how far this machine's clock is from the
      store's, as C(store) and C(skew_seconds), positive where this machine is ahead.
  returned: success
  type: dict
events:
  description: All events.
  returned: when O(state=present)
  type: list
  elements: dict
outcome:
  description: V(passed), V(failed), or V(unverified) when a copy could not be read.
  returned: when O(state=verified)
  type: str
valid:
  description: Whether all copies were checked and are right.
  returned: when O(state=verified)
  type: bool
problems:
  description: What is wrong, each with the number of its event and the copy that shows it.
  returned: when O(state=verified)
  type: list
  elements: str
unverified:
  description: What could not be checked, and why.
  returned: when O(state=verified)
  type: list
  elements: str
first_bad_event:
  description: The first problem as C(seq), C(copy) (local, store or both) and C(problem); null when there is none.
  returned: when O(state=verified)
  type: dict
published:
  description: Numbers of the events that were put into the store.
  returned: when O(state=published)
  type: list
  elements: int
ledger_path:
  description: The local file.
  returned: success
  type: str
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger_service import SPECIFICATION, run


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
