#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_backup
short_description: Watch TLS certificates, back them up with their keys encrypted, prove and restore them
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Watches certificates in files, in Kubernetes Secrets of type C(kubernetes.io/tls) and in AWS Certificate Manager.
    Expired, not yet valid, expiring, a key that is another certificate's, a missing intermediate, a chain that does not
    verify, a name that is not covered, weak keys and weak signatures are each named.
  - Backs those with keys up as age files, as M(terragon.disaster_recovery.secrets_backup) does with secrets. Subject,
    names, issuer, times and fingerprint are in clear in the index; certificate and key are encrypted.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.aws
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Reads and examines everything, and says what it would write.
  diff_mode:
    support: full
    description: Shows names, never keys.
options:
  state:
    description:
      - V(observed) examines the sources and changes nothing.
      - V(present) examines them and makes the directory hold exactly what O(files) and O(kubernetes) have. A
        certificate that has expired is backed up all the same.
      - V(proven) decrypts every file in memory, and examines each certificate as of now. Neither a backup that is not
        sound nor a certificate that ends fails the task; RV(outcome) says so.
      - V(restored) proves, then applies TLS Secrets to O(kubernetes) and writes files to O(destination).
    type: str
    choices: [observed, present, proven, restored]
    default: observed
  directory:
    description: Directory of the backup, mode 0700, for nothing else. Required for all but O(state=observed).
    type: path
  recipients:
    description: age X25519 public keys (C(age1...)); each of them can decrypt alone. Required for O(state=present).
    type: list
    elements: str
    default: []
  identity_file:
    description: File with the age secret key, mode 0600. Required for O(state=proven) and O(state=restored).
    type: path
  files:
    description: Certificates in files on the host that the module runs on.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name in the backup.
        type: str
        required: true
      certificate:
        description: PEM file with the certificate, and after it usually its chain.
        type: path
        required: true
      chain:
        description: PEM file with the intermediates, where they are not in O(files[].certificate).
        type: path
      key:
        description: PEM file with the private key, without a passphrase.
        type: path
        required: true
      hosts:
        description: Names and addresses that the certificate has to cover.
        type: list
        elements: str
        default: []
  kubernetes:
    description: The Kubernetes API whose TLS Secrets are read, or restored to.
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
    description: Namespaces whose TLS Secrets are read; all of them when empty. One without any is an error.
    type: list
    elements: str
    default: []
  label_selector:
    description: Only Secrets that match, as C(kubectl -l).
    type: str
    default: ''
  acm_arns:
    description:
      - Certificates of AWS Certificate Manager, examined with O(state=observed). ACM gives no keys out, and renews what
        it issued itself; so they are watched, not backed up.
    type: list
    elements: str
    default: []
  ca_file:
    description: PEM file with the trusted roots; the one of the machine's OpenSSL when left out.
    type: path
  verify_chain:
    description: Whether chains are verified, by the rules that web clients go by.
    type: bool
    default: true
  minimum_days:
    description: How many days a certificate and its intermediates have to last yet.
    type: float
    default: 30.0
  destination:
    description:
      - Directory that C(<name>.crt) (with its chain) and C(<name>.key) are written to, mode 0600. This is the one place
        where a key reaches a disk, which is what restoring it means.
    type: path
  only:
    description: With O(state=restored), patterns of RV(certificates[].path) to restore; all when empty.
    type: list
    elements: str
    default: []
notes:
  - The files of the backup are C(files/<name>.age) and C(kubernetes/<namespace>/<name>.age).
requirements:
  - pyrage
  - cryptography 45 or newer
  - kubernetes
  - boto3
seealso:
  - module: terragon.disaster_recovery.secrets_backup
"""

EXAMPLES = r"""
- name: Watch what the region serves
  terragon.disaster_recovery.certificate_backup:
    kubernetes:
      kubeconfig: /etc/dr/us-east-1.kubeconfig
    namespaces: [counterfactual-lab]
    acm_arns: "{{ dr_certificate_arns }}"
    minimum_days: 30
  register: certificates
  failed_when: certificates.outcome != 'passed'

- name: Back the load balancer's certificate up
  terragon.disaster_recovery.certificate_backup:
    state: present
    directory: /var/lib/dr/certificates
    recipients: "{{ dr_age_recipients }}"
    files:
      - name: api
        certificate: /etc/ssl/api/fullchain.pem
        key: /etc/ssl/api/privkey.pem
        hosts: [api.counterfactual-lab.com]
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
  description:
    - V(passed), V(failed) or V(unverified). O(state=present) never passes, for it has no key to prove the backup with.
  type: str
  returned: always
problems:
  description: What is wrong, each with the certificate first.
  type: list
  elements: str
  returned: always
unverified:
  description: What could not be checked, and why.
  type: list
  elements: str
  returned: always
days_left:
  description: Days that the certificate that ends first has left, negative after its end; null without any.
  type: float
  returned: always
certificates:
  description: What was examined.
  type: list
  elements: dict
  returned: always
  contains:
    path:
      description: Its path in the backup, or its ARN.
      type: str
      returned: always
    name:
      description: Its name.
      type: str
      returned: always
    subject:
      description: Subject (RFC 4514).
      type: str
      returned: always
    sans:
      description: DNS names and addresses that it covers.
      type: list
      elements: str
      returned: always
    issuer:
      description: Issuer (RFC 4514).
      type: str
      returned: always
    serial:
      description: Serial number, in hex.
      type: str
      returned: always
    not_before:
      description: When it begins (RFC 3339, UTC).
      type: str
      returned: always
    not_after:
      description: When it ends (RFC 3339, UTC).
      type: str
      returned: always
    days_left:
      description: Days that are left, negative after its end.
      type: float
      returned: always
    fingerprint_sha256:
      description: SHA-256 of the certificate, in hex; null for ACM, which does not tell it.
      type: str
      returned: always
    key_kind:
      description: Kind and size of its key, for example V(RSA 2048).
      type: str
      returned: always
    intermediates:
      description: Subjects of the certificates that come with it.
      type: list
      elements: str
      returned: always
    renewal:
      description: V(automatic) where ACM renews it, else V(by hand).
      type: str
      returned: always
    outcome:
      description: V(passed) or V(failed).
      type: str
      returned: always
    problems:
      description: What is wrong with it.
      type: list
      elements: str
      returned: always
items:
  description: What the backup holds, as its index says.
  type: list
  elements: dict
  returned: always
recipients:
  description: Public keys that the backup is encrypted to.
  type: list
  elements: str
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
  description: Outcome, problems, and of each certificate what identifies it, for the ledger.
  type: dict
  returned: always
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.certificates import SPECIFICATION, run
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
