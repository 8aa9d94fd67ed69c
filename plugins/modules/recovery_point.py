#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: recovery_point
short_description: Take, fetch or prove a sealed recovery point
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - A recovery point is the content of a directory, copied into one or more stores and sealed in each by a signed
    manifest of checksums, which is written last. What has no seal is no point, only leftovers.
  - V(taken) hashes O(src), uploads to all stores side by side, and seals. What is sent is hashed again as it is read,
    and every store checks it by SHA-256. A file that changes meanwhile is an error that names it.
  - V(fetched) makes the directory O(dest) of a point. Signature first, then the files, hashed as they arrive. A copy
    that is damaged is named, and the next store's is used.
  - V(recorded) adds a signed proof to a point, in every store that can be reached. A proof is never written over.
  - A run that was killed is continued by the same call, as docs/recovery-points.md says.
attributes:
  check_mode:
    support: full
    description: Reads and hashes, and predicts.
  diff_mode:
    support: full
    description: Shows the copies or files before and after.
options:
  state:
    description: What to do.
    type: str
    choices: [taken, fetched, recorded]
    default: taken
  service:
    description: Service, or database cluster, that the point is of.
    type: str
    required: true
  component:
    description: Component of it, for example C(configuration).
    type: str
    required: true
  id:
    description:
      - Identifier of the point, C(YYYYmmddTHHMMSSZ-) and eight hexadecimal digits.
      - With O(state=taken) made up from time and content when left out; leftovers of the last twelve hours with the
        same content, sealed in no store, are continued. Give that of a point that some store lacks to complete it.
      - With O(state=fetched), V(newest) is the newest point that is sealed.
      - With O(state=recorded), a backup label of pgBackRest as well. Such a point is in no store, only its proofs are.
    type: str
  stores:
    description:
      - Stores that hold the copies, at most one a region, in the order in which they are asked.
    type: list
    elements: dict
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
        description: AWS region that requests are signed for, and that the copy is listed under.
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
  src:
    description: Directory whose regular files become the point. Links, sockets, pipes and devices in it are refused.
    type: path
  dest:
    description:
      - Directory to make, or to complete. Made with mode 0700, its files with mode 0600.
      - Refused when it holds a file that is not of the point. A file of the point with other content is replaced.
    type: path
  facts:
    description:
      - What is known about the content, kept in the manifest as it is.
      - C(window), a dictionary with C(from) and C(to), or C(moment), says to which moments the point can be restored,
        as RFC 3339 with a zone; else that is when it was sealed.
    type: dict
    default: {}
  signing_key:
    description: File with the ed25519 private key in PEM that signs the seal or the proof.
    type: path
  public_keys:
    description:
      - Public keys that seals are trusted by, as PEM or as names of files.
      - With O(state=fetched) required. Else only O(signing_key) is trusted when left out.
    type: list
    elements: str
    default: []
  copies:
    description: How many of O(stores) have to have the point. All of them when left out.
    type: int
  algorithm:
    description: What the files are hashed with. V(blake3) needs its Python package.
    type: str
    choices: [sha256, blake3]
    default: sha256
  store:
    description: Name of the store to fetch from first.
    type: str
  fall_back:
    description: Whether the other stores are asked for what the first one does not have right.
    type: bool
    default: true
  run:
    description: Identifier of the run that proved the point. A run proves a point once.
    type: str
  proof:
    description: The proof, whose member C(outcome) is V(passed), V(failed) or V(unverified).
    type: dict
  log:
    description: File that a line of progress is appended to every five seconds.
    type: path
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
notes:
  - A point keeps names and contents of regular files. Modes, owners and empty directories are not kept.
  - Memory is constant, about 50 MiB a store, whatever the size of a file.
  - Transfers never use the CRT engine of boto3, which ignores C(endpoint_url).
requirements:
  - boto3
  - cryptography
seealso:
  - module: terragon.disaster_recovery.recovery_point_info
  - module: terragon.disaster_recovery.recovery_point_prune
"""

EXAMPLES = """
- name: Take a point of the exported manifests
  terragon.disaster_recovery.recovery_point:
    service: counterfactual-lab
    component: kubernetes
    src: "{{ dr_backup_staging }}/kubernetes"
    signing_key: "{{ dr_backup_signing_key }}"
    facts:
      moment: "{{ now(utc=true).isoformat() }}Z"
    stores: "{{ dr_backup_stores }}"

- name: Fetch the newest one from the other region
  terragon.disaster_recovery.recovery_point:
    state: fetched
    service: counterfactual-lab
    component: kubernetes
    id: newest
    store: us-west-2
    dest: "{{ dr_scratch_directory }}/kubernetes"
    public_keys: "{{ dr_backup_public_keys }}"
    stores: "{{ dr_backup_stores }}"

- name: Record what the ladder said of it
  terragon.disaster_recovery.recovery_point:
    state: recorded
    service: counterfactual-lab
    component: kubernetes
    id: 20261123T101500Z-0123abcd
    run: VALIDATION-20261123
    proof:
      outcome: passed
      rungs: "{{ dr_rungs }}"
    signing_key: "{{ dr_backup_signing_key }}"
    stores: "{{ dr_backup_stores }}"
"""

RETURN = """
state:
  description: What was asked for.
  returned: success
  type: str
service:
  description: The service.
  returned: when the point is known
  type: str
component:
  description: The component.
  returned: when the point is known
  type: str
id:
  description: Identifier of the point.
  returned: when the point is known
  type: str
outcome:
  description:
    - With O(state=taken), V(passed) when every store has the point, else V(failed).
    - With O(state=fetched), V(passed) when the directory is as sealed; V(unverified) in check mode.
    - With O(state=recorded), V(passed) when every store has the proof, else V(unverified).
  returned: when the point is known
  type: str
problems:
  description: What is not as it should be, one line each, also where another copy made up for it.
  returned: when the point is known
  type: list
  elements: str
manifest_sha256:
  description: SHA-256 of the manifest; null for a proof of a point of pgBackRest.
  returned: when the point is known
  type: str
signed_by:
  description: Fingerprint of the key that signed the seal or the proof.
  returned: when the point is known
  type: str
bytes:
  description: Size of all files.
  returned: O(state=taken) and O(state=fetched)
  type: int
count:
  description: Number of files.
  returned: O(state=taken) and O(state=fetched)
  type: int
created:
  description: When the point was sealed, RFC 3339 in UTC.
  returned: O(state=taken) and O(state=fetched)
  type: str
key_prefix:
  description: What the keys of the point begin with, in every store.
  returned: O(state=taken)
  type: str
copies:
  description:
    - One entry a store, with C(store), C(region), C(state) (V(sealed), V(kept) when it was sealed before, V(planned) in
      check mode, V(failed)), C(sent_files), C(sent_bytes), C(kept_files) and C(reason).
  returned: O(state=taken)
  type: list
  elements: dict
directory:
  description: The directory.
  returned: O(state=fetched)
  type: str
store:
  description: Store whose seal was used and that was asked first.
  returned: O(state=fetched)
  type: str
facts:
  description: What the manifest says about the content.
  returned: O(state=fetched)
  type: dict
fetched_files:
  description: Number of files that were fetched.
  returned: O(state=fetched)
  type: int
fetched_bytes:
  description: Their size.
  returned: O(state=fetched)
  type: int
kept_files:
  description: Number of files that were there already, and right.
  returned: O(state=fetched)
  type: int
replaced:
  description: Files that were there with other content.
  returned: O(state=fetched)
  type: list
  elements: str
damaged:
  description: Copies of files that are not as sealed or could not be read, with C(store), C(path) and C(why).
  returned: O(state=fetched), also where a file is right nowhere
  type: list
  elements: dict
proof:
  description: Name of the proof's object below C(proofs/) of the point.
  returned: O(state=recorded)
  type: str
proof_outcome:
  description: What the proof says.
  returned: O(state=recorded)
  type: str
stores:
  description: Stores that have the proof.
  returned: O(state=recorded)
  type: list
  elements: str
seconds:
  description: How long it took.
  returned: success
  type: float
evidence:
  description: What the ledger keeps.
  returned: when the point is known
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points import SPECIFICATION, run


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
