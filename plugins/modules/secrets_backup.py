#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_backup
short_description: Back up secrets encrypted to age recipients, prove and restore them
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Reads Kubernetes Secrets, secrets of AWS Secrets Manager and parameters of SSM into memory and writes each as an age
    file, with an index in clear. Only ciphertext reaches a disk.
  - Proves such a backup by decrypting every file in memory, and restores it to another region from memory.
  - The directory is what M(terragon.disaster_recovery.recovery_point) then seals and copies to the regions' stores.
  - Values are in no result, error, diff or record. Where an API refuses a value, its answer is told by status and
    reason only, for an API may repeat the value in its message.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.aws
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description:
      - O(state=present) reads the sources and says which files it would write. O(state=restored) reads what is live
        and has a Kubernetes API validate each Secret without keeping it.
  diff_mode:
    support: full
    description: Shows names, never values.
options:
  state:
    description:
      - V(present) makes the directory hold exactly what the sources have. What is unchanged at its source is not
        written again.
      - V(proven) decrypts every file in memory and answers with RV(outcome); it changes nothing. A backup that is not
        sound does not fail the task.
      - V(restored) proves, then writes to O(kubernetes) by server-side apply, and to O(aws). Nothing is written unless
        all that is to be restored is proven.
    type: str
    choices: [present, proven, restored]
    default: present
  directory:
    description: Directory of the backup, made with mode 0700. One run at a time may write there.
    type: path
    required: true
  recipients:
    description:
      - age X25519 public keys (C(age1...)); each of them can decrypt alone. Required for O(state=present).
      - Name two at least, whose secret keys are kept in different places. Other recipients than the index names
        encrypt everything anew.
    type: list
    elements: str
    default: []
  identity_file:
    description:
      - File with the secret key, as C(age-keygen) writes it, mode 0600. Required for all but O(state=present), which
        needs no key.
    type: path
  kubernetes:
    description: The Kubernetes API to read from, to compare with, or to restore to.
    type: dict
    suboptions:
      kubeconfig:
        description: Kubeconfig file; the client's own default when left out.
        type: path
      context:
        description: Context in the kubeconfig; its current one when left out.
        type: str
      timeout:
        description: Seconds to wait for one answer.
        type: float
        default: 10.0
  namespaces:
    description:
      - Namespaces whose Secrets are read; all of them when empty. One that does not exist, or has no Secret as asked
        for, is an error.
    type: list
    elements: str
    default: []
  label_selector:
    description: Only Secrets that match, as C(kubectl -l).
    type: str
    default: ''
  types:
    description: Only Secrets of these types; every type when empty.
    type: list
    elements: str
    default: []
  excluded_types:
    description:
      - Secrets of these types are left out. C(kubernetes.io/service-account-token) always is, because another cluster
        cannot use it.
    type: list
    elements: str
    default: [bootstrap.kubernetes.io/token]
  secretsmanager_prefixes:
    description:
      - Secrets of AWS Secrets Manager whose names begin so are read, their current version. One that matches nothing
        is an error.
    type: list
    elements: str
    default: []
  ssm_paths:
    description: SSM parameters below these paths are read. One that holds nothing is an error.
    type: list
    elements: str
    default: []
  compare_live:
    description:
      - With O(state=proven), also compare with what the sources have now, in constant time. Only that they differ is
        told. A source that cannot be read makes the outcome V(unverified).
    type: bool
    default: false
  only:
    description:
      - With O(state=restored), patterns of RV(items[].path) to restore, for example V(kubernetes/shop/*); all when
        empty.
    type: list
    elements: str
    default: []
notes:
  - Files are C(kubernetes/<namespace>/<name>.age), C(secretsmanager/<name>.age) and C(ssm/<name>.age). Names, types and
    names of keys are in clear, in the file names and in C(index.json). In a name, what is no letter, digit or one of
    C(-_.~) is written C(%XX).
  - Any age program decrypts a file. Its plaintext is a JSON envelope with C(path), C(kind), C(version), C(facts) and
    C(content).
  - Whoever knows a public key can make files for it. That a backup is the one that was taken is shown by the signature
    of its recovery point, which the encryption does not replace.
  - Decrypted values are in the memory of the controller (or of the host that runs the module). Where that machine
    swaps, its swap should be encrypted, and core dumps be off.
  - SSM parameters and secrets are restored under the target region's default KMS keys; tags and rotation are not kept.
requirements:
  - pyrage
  - kubernetes
  - boto3
seealso:
  - module: terragon.disaster_recovery.certificate_backup
"""

EXAMPLES = r"""
- name: Back up the service's Secrets, readable with either of two keys
  terragon.disaster_recovery.secrets_backup:
    directory: /var/lib/dr/secrets
    recipients: "{{ dr_age_recipients }}"
    kubernetes:
      kubeconfig: /etc/dr/us-east-1.kubeconfig
    namespaces: [counterfactual-lab]

- name: Prove that they decrypt, and are what is live
  terragon.disaster_recovery.secrets_backup:
    state: proven
    directory: /var/lib/dr/secrets
    identity_file: /etc/dr/age.key
    compare_live: true
    kubernetes:
      kubeconfig: /etc/dr/us-east-1.kubeconfig
    namespaces: [counterfactual-lab]
  register: proof
  failed_when: proof.outcome != 'passed'

- name: Bring them to the other region
  terragon.disaster_recovery.secrets_backup:
    state: restored
    directory: /var/lib/dr/secrets
    identity_file: /etc/dr/age.key
    kubernetes:
      kubeconfig: /etc/dr/us-west-2.kubeconfig
    only: [kubernetes/counterfactual-lab/*]
"""

RETURN = r"""
changed:
  description: True where files were written, or something was restored (in check mode, where it would be).
  type: bool
  returned: always
directory:
  description: Directory of the backup.
  type: str
  returned: always
outcome:
  description: V(passed), V(failed) or V(unverified). Of O(state=present) always V(unverified), for it has no key.
  type: str
  returned: always
problems:
  description:
    - What is wrong, each beginning with the file. After that stands missing, truncated, changed, swapped, stale, extra
      or "tampered index".
  type: list
  elements: str
  returned: always
unverified:
  description: What could not be checked, and why.
  type: list
  elements: str
  returned: always
recipients:
  description: Public keys that the backup is encrypted to.
  type: list
  elements: str
  returned: always
items:
  description: What the backup holds, as its index says.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: Its file without C(.age), relative to RV(directory).
      type: str
      returned: always
    kind:
      description: V(kubernetes), V(secretsmanager) or V(ssm).
      type: str
      returned: always
    namespace:
      description: Namespace of a Kubernetes Secret.
      type: str
      returned: for Kubernetes Secrets
    name:
      description: Its name.
      type: str
      returned: always
    type:
      description: Type of the Secret or parameter; V(string) or V(binary) in Secrets Manager.
      type: str
      returned: always
    keys:
      description: Names of a Kubernetes Secret's keys.
      type: list
      elements: str
      returned: always
    bytes:
      description: Size of the encrypted file, in bytes.
      type: int
      returned: always
added:
  description: Paths that are new in the backup, or that were not there where they were restored to.
  type: list
  elements: str
  returned: always
updated:
  description: Paths that were written over something else.
  type: list
  elements: str
  returned: always
removed:
  description: Paths whose files were removed, because their source has them no more.
  type: list
  elements: str
  returned: always
evidence:
  description: Counts, recipients and the outcome, for the ledger.
  type: dict
  returned: always
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.encrypted_backup import SPECIFICATION, run
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
