#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_bucket_protection
short_description: Check and set what keeps the objects of an S3 bucket
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Checks that a bucket keeps what is overwritten and deleted (versioning), that no lifecycle rule removes it too
    early, that its newest versions are in the other region's bucket, and on request object lock and the public access
    block.
  - Replication is observed, by looking for the versions themselves. What is only configured may have stopped, or may
    never have copied what was there before.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Says what would be set, and checks what is there.
  diff_mode:
    support: full
    description: Shows versioning and the collection's lifecycle rule before and after.
options:
  state:
    description:
      - V(checked) only looks.
      - V(present) also sets versioning, and one lifecycle rule named C(terragon-disaster-recovery) that removes
        noncurrent versions after O(retention_days) and abandoned uploads after 7 days. Rules of others stay; where they
        remove too much, they are reported.
    type: str
    choices: [checked, present]
    default: checked
  store:
    description: The bucket.
    type: dict
    required: true
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
  replica:
    description: The bucket in the other region. Required unless O(replication=none).
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
  retention_days:
    description: For how many days noncurrent versions have to be kept.
    type: int
    default: 30
  replication:
    description:
      - V(observed) looks for the newest versions in O(replica). V(configured) also wants a replication rule of S3,
        which stores without that API cannot have. V(none) does neither.
    type: str
    choices: [none, observed, configured]
    default: observed
  newest:
    description: How many of the newest versions are looked for; 0 for all of them.
    type: int
    default: 100
  maximum_lag_seconds:
    description: A version that is younger by the store's clock may still be under way.
    type: float
    default: 900.0
  object_lock:
    description: Whether object lock has to be on.
    type: bool
    default: false
  public_access_blocked:
    description: Whether all four public access blocks have to be on.
    type: bool
    default: false
notes:
  - To find the newest versions the whole prefix is listed, page by page. Memory holds no more than O(newest) of them,
    or 500 at a time.
  - A version counts as there with the same version ID and size, or, where copies get IDs of their own, with the size
    and ETag of any version of the key. Delete markers are not compared.
  - A lifecycle rule that is limited to tags or sizes counts as if it applied to all objects below its prefix.
requirements:
  - boto3
seealso:
  - module: terragon.disaster_recovery.log_retention_info
"""

EXAMPLES = r"""
- name: The models' bucket keeps versions for 30 days, and they are in us-west-2 within 15 minutes
  terragon.disaster_recovery.s3_bucket_protection:
    store:
      name: us-east-1
      bucket: counterfactual-lab-models
      region: us-east-1
    replica:
      name: us-west-2
      bucket: counterfactual-lab-models-us-west-2
      region: us-west-2
    retention_days: 30
    replication: configured
  register: models
  failed_when: models.outcome != 'passed'
"""

RETURN = r"""
changed:
  description: True where versioning or the rule was set, or in check mode would be.
  type: bool
  returned: always
outcome:
  description: V(passed), V(failed) or V(unverified).
  type: str
  returned: always
problems:
  description: What is wrong, each with its check first.
  type: list
  elements: str
  returned: always
unverified:
  description: What could not be asked, and why.
  type: list
  elements: str
  returned: always
checks:
  description: What was found of each.
  type: list
  elements: dict
  returned: always
  contains:
    check:
      description:
        - V(versioning), V(lifecycle), V(replication), V(replication_configuration), V(object_lock) or V(public_access).
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
    status:
      description: State of versioning.
      type: str
      returned: for versioning
    rules:
      description: IDs of the lifecycle rules that apply.
      type: list
      elements: str
      returned: for lifecycle
    compared:
      description: How many versions were looked for in the other bucket.
      type: int
      returned: for replication
    under_way:
      description: How many are not there and are young enough.
      type: int
      returned: for replication
    late:
      description: How many are not there and are too old.
      type: int
      returned: for replication
    lag_seconds:
      description: Age of the oldest version that is not there, in seconds; 0 where all are.
      type: float
      returned: for replication
evidence:
  description: Bucket, outcome and checks, for the ledger.
  type: dict
  returned: always
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.bucket_protection import SPECIFICATION, run
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
