#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: checksum_manifest
short_description: Create, sign, verify and compare checksum manifests of directories and of prefixes in S3
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - A manifest lists every file of a tree with its size and SHA-256 or BLAKE3, says whose tree it is, and can be signed
    with an ed25519 key. Anybody can check both with standard tools; C(docs/checksum-manifest.md) says how.
  - Files are hashed by all cores, the largest first, in constant memory. While that takes long, the action plugin shows
    a line every few seconds with what is done, the rate and the time left.
  - A run that was interrupted goes on where it was, see O(journal).
  - A tree may hold files and directories. Symbolic links, whether they lead out of the tree or not, sockets, named
    pipes and devices are refused by name, and never opened. Empty directories, owners and modes are not recorded.
requirements:
  - cryptography >= 45 to sign and to verify signatures
  - blake3 >= 1.0 for O(algorithm=blake3)
  - boto3 for stores
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Reads and hashes as usual, and writes nothing, no journal either.
  diff_mode:
    support: full
    description: Shows the files whose sums change in the manifest, and whether it is signed.
options:
  state:
    description:
      - V(created) hashes the tree and writes O(manifest). One that says the same is left alone; one that does not is
        replaced only with O(replace), because a changed tree is what a manifest is there to show.
      - V(signed) signs the manifest that is there, into the file beside it that ends in C(.sig).
      - V(verified) compares the tree with the manifest.
      - V(compared) compares the manifest with O(other_manifest), and reads no tree.
    type: str
    choices: [created, signed, verified, compared]
    required: true
  path:
    description: Local directory. Manifest, signature and journal are left out where they lie in it.
    type: path
  store:
    description: Bucket whose objects are hashed, as they are streamed, in place of a local directory.
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
  prefix:
    description: Directory in the store, below the store's own prefix.
    type: str
    default: ''
  versions:
    description:
      - Which versions of objects are verified. V(current) are those that a reader gets now.
      - V(recorded) are exactly those that the manifest records, whatever was written over them or deleted since.
        Objects that were added are not looked for then.
    type: str
    choices: [current, recorded]
    default: current
  manifest:
    description: File of the manifest, or its key in O(manifest_store).
    type: str
    required: true
  manifest_store:
    description: Bucket that holds the manifest; a local file when left out.
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
  other_manifest:
    description: File of the manifest to compare with, or its key in O(other_manifest_store).
    type: str
  other_manifest_store:
    description: Bucket that holds the other manifest; a local file when left out.
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
  algorithm:
    description:
      - How a new manifest's files are hashed. Verification takes it from the manifest.
      - V(sha256) needs nothing that Python does not have, and every auditor has it. V(blake3) takes half its time.
    type: str
    choices: [sha256, blake3]
    default: sha256
  subject:
    description:
      - Whose tree it is, for example C(service), C(component) and C(id).
      - A manifest in which one of these members is another one is refused, in every state.
    type: dict
    default: {}
  facts:
    description: What else a new manifest is to keep, for example versions of tools.
    type: dict
    default: {}
  replace:
    description: Whether V(created) may replace a manifest that says something else.
    type: bool
    default: false
  signing_key:
    description:
      - PEM file of the ed25519 private key that V(created) and V(signed) sign with, not encrypted.
      - C(openssl genpkey -algorithm ed25519) makes one.
    type: path
  public_keys:
    description:
      - Public keys in PEM, as text or as names of files, one of which has to have signed what V(verified) and
        V(compared) read. A manifest without such a signature fails. Without keys no signature is looked at.
    type: list
    elements: str
    default: []
  required:
    description: Whether V(verified) and V(compared) fail the task unless the outcome is V(passed).
    type: bool
    default: true
  workers:
    description: How many files are read at a time. As many as there are cores for a directory, 4 to 10 for a store.
    type: int
  journal:
    description:
      - File that keeps what is done, until the run ends. The manifest's name and C(.journal), where that is a local
        file; without O(journal) there is none for a manifest in a store.
      - Sums in it are believed for a day, by the same state, and only while the file's size, times (the change time
        too), inode and device are the same, or the object's tag. Rot on a disk after that is not seen.
      - It is private to its user; one that others could write to is refused.
    type: path
notes:
  - A file that changes while it is hashed is hashed once more, then named. A change within one tick of the file
    system's clock (some milliseconds) that leaves the size alone is not seen.
  - As a module on another host it shows no progress; run it on that host's own controller, or watch the journal grow.
  - S3's keys that no file can have (C(..), empty parts) are refused by name. Empty objects whose key ends in a slash
    count as directories.
seealso:
  - module: terragon.disaster_recovery.incident_ledger
"""

EXAMPLES = r"""
- name: Make a signed manifest of the models
  terragon.disaster_recovery.checksum_manifest:
    state: created
    path: /srv/models
    manifest: /srv/manifests/models.json
    subject: {service: lab, component: models}
    signing_key: /etc/disaster-recovery/signing.pem

- name: Prove that the other region's copy is the same, by keys that were pinned
  terragon.disaster_recovery.checksum_manifest:
    state: verified
    store: "{{ dr_backup_stores[1] }}"
    prefix: models
    manifest: manifests/models.json
    manifest_store: "{{ dr_backup_stores[1] }}"
    subject: {service: lab, component: models}
    public_keys: ["{{ lookup('ansible.builtin.file', 'signing.pub.pem') }}"]

- name: See whether the very versions of last month can still be read
  terragon.disaster_recovery.checksum_manifest:
    state: verified
    store: "{{ dr_backup_stores[0] }}"
    prefix: models
    manifest: /srv/manifests/models-2026-10.json
    versions: recorded
    required: false
  register: models_last_month
"""

RETURN = r"""
what:
  description: The tree, as messages name it.
  returned: always
  type: str
state:
  description: The state that was asked for.
  returned: always
  type: str
manifest:
  description: Where the manifest is.
  returned: always
  type: str
manifest_digest:
  description: SHA-256 of the manifest's bytes; null where there is none, and where check mode predicts a new one.
  returned: always
  type: str
signed_by:
  description:
    - Fingerprint of the key that signed it, C(sha256:) and the SHA-256 of the public key's DER; null where no key was
      given.
  returned: always
  type: str
algorithm:
  description: The manifest's algorithm; null without a manifest.
  returned: always
  type: str
subject:
  description: Whose tree the manifest says it is.
  returned: always
  type: dict
created:
  description: When the manifest was made, RFC 3339 in UTC; null without a manifest.
  returned: always
  type: str
count:
  description: Files in the manifest.
  returned: always
  type: int
bytes:
  description: Bytes of these files.
  returned: always
  type: int
outcome:
  description:
    - V(passed), V(failed) where something differs or the manifest itself cannot be trusted, or V(unverified) where
      something could not be looked at. Null for O(state=created) and O(state=signed), which judge nothing.
  returned: always
  type: str
differences:
  description:
    - One entry a path, with C(kind), C(path), C(expected) (as listed; null for an extra file), C(found) (null for a
      missing one) and C(other).
    - C(kind) is V(missing), V(extra), V(truncated) (smaller), V(grown) (larger), V(changed) (of the same size, or no
      file any more) or V(swapped) (the contents of listed files in each other's place). C(other) is the path whose
        content it has, or that has the content of a missing file.
    - With O(state=created) these are the changes against the manifest that was there.
  returned: always
  type: list
  elements: dict
counts:
  description: How many differences there are of each kind.
  returned: always
  type: dict
problems:
  description: What is wrong, in words; the differences first, then what could not be looked at.
  returned: always
  type: list
  elements: str
notes:
  description: What else there is to know, for example why a path that is no file is a difference.
  returned: always
  type: list
  elements: str
hashed_bytes:
  description: Bytes that this run read.
  returned: always
  type: int
kept_files:
  description: Files whose sums came from the journal of a run that was interrupted.
  returned: always
  type: int
seconds:
  description: Seconds that it took.
  returned: always
  type: float
evidence:
  description: What the ledger keeps as proof.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_service import SPECIFICATION, run
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
