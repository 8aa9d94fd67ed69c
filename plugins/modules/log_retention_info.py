#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: log_retention_info
short_description: Check that logs are kept long enough and still arrive
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Asks CloudWatch log groups for their retention and S3 log buckets for their lifecycle rules, and asserts a minimum
    number of days. Asks both for something new, so that logs that stopped are found before they are needed.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.aws
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: It only looks.
  diff_mode:
    support: none
    description: It changes nothing.
options:
  log_groups:
    description: CloudWatch log groups, reached through O(aws).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the log group.
        type: str
        required: true
      minimum_days:
        description: How many days they have to be kept. For ever is long enough.
        type: int
        default: 30
      newest_within_seconds:
        description: How many seconds ago the newest may have come; not asked when left out.
        type: float
  buckets:
    description: S3 buckets that hold logs, each with its own connection.
    type: list
    elements: dict
    default: []
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
      minimum_days:
        description: How many days they have to be kept. For ever is long enough.
        type: int
        default: 30
      newest_within_seconds:
        description: How many seconds ago the newest may have come; not asked when left out.
        type: float
  timeout:
    description: Seconds after which no further page of a list is asked for; what was asked is V(unverified) then.
    type: float
    default: 60.0
notes:
  - For the newest object of a bucket all keys below its prefix are listed. Let the prefix be a recent part of the logs.
  - Of CloudWatch, any event in the time that counts is looked for, because the newest time that log streams tell is
    up to an hour late.
  - A lifecycle rule that is limited to tags or sizes counts as if it applied to all objects below its prefix.
requirements:
  - boto3
seealso:
  - module: terragon.disaster_recovery.s3_bucket_protection
"""

EXAMPLES = r"""
- name: Logs are kept for 30 days and are younger than ten minutes
  terragon.disaster_recovery.log_retention_info:
    aws:
      region: us-east-1
    log_groups:
      - name: /counterfactual-lab/api
        minimum_days: 30
        newest_within_seconds: 600
    buckets:
      - name: us-east-1
        bucket: counterfactual-lab-logs
        prefix: api/
  register: logs
  failed_when: logs.outcome != 'passed'
"""

RETURN = r"""
outcome:
  description: V(passed), V(failed) or V(unverified). Without anything to ask V(unverified).
  type: str
  returned: always
problems:
  description: What is wrong, each with the log group or bucket first.
  type: list
  elements: str
  returned: always
unverified:
  description: What could not be asked, and why. A denied request is here, a log group that does not exist is not.
  type: list
  elements: str
  returned: always
logs:
  description: What was found of each.
  type: list
  elements: dict
  returned: always
  contains:
    check:
      description: The log group or bucket.
      type: str
      returned: always
    outcome:
      description: V(passed), V(failed) or V(unverified).
      type: str
      returned: always
    reasons:
      description: Why it did not pass.
      type: list
      elements: str
      returned: always
    retention_days:
      description: After how many days events or objects are removed; null for never.
      type: int
      returned: always
    newest:
      description: A time of the newest (RFC 3339, UTC) as far as it was looked for; null otherwise.
      type: str
      returned: always
evidence:
  description: The same, for the ledger.
  type: dict
  returned: always
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.log_retention import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
