#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: git_bundle
short_description: Back up a Git repository as one proven bundle
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Writes a whole repository (every ref, with all of its history) into one file, C(<directory>/<name>.bundle), with its
    facts in C(<name>.json) beside it, and proves it by restoring it. The bundle is verified in a repository that is
    empty, cloned, checked with C(git fsck --full), and compared with the source ref by ref.
  - What users of the repository would miss after a restore is a finding that fails the outcome. These are uncommitted
    changes, submodules, and files that Git LFS keeps elsewhere.
  - The directory is what M(terragon.disaster_recovery.recovery_point) then seals and copies to the regions' stores.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Says whether a bundle would be made. One that is there is proven all the same.
  diff_mode:
    support: full
    description: Shows the refs of the bundle before and after.
options:
  state:
    description:
      - V(present) makes the bundle unless the one that is there has the same refs and is sound.
      - V(proven) restores what is there into scratch and answers with RV(outcome). A bundle that is not sound does not
        fail the task.
    type: str
    choices: [present, proven]
    default: present
  repository:
    description:
      - Directory of the repository, bare or not, or a URL, which is mirrored into scratch first. Required for
        O(state=present).
      - With O(state=proven) the bundle is compared with it, so that a stale one is found.
      - A URL with a password in it is refused. Git asks nobody; a credential helper or an SSH key serves.
    type: str
  directory:
    description: Directory of the bundle.
    type: path
    required: true
  name:
    description: Name of the bundle, a file name without its ending.
    type: str
    required: true
  allowed:
    description: Findings that are accepted.
    type: list
    elements: str
    choices: [dirty, submodules, lfs]
    default: []
  scratch_directory:
    description:
      - Where the bundle is restored for its proof; the system's directory for temporary files when left out. It needs
        the room of a clone. It is emptied at the end, or by the next run after a crash.
    type: path
  timeout:
    description: Seconds that one command of git may take.
    type: float
    default: 600.0
requirements:
  - git 2.31 or newer
notes:
  - No hook, file system monitor or external protocol of the repository is run, and its owner does not matter.
  - A shallow or partial clone, and an empty repository, are refused.
  - While a bundle is made, C(.<name>.bundle.writing) grows beside it.
seealso:
  - module: terragon.disaster_recovery.secrets_backup
"""

EXAMPLES = r"""
- name: Back up the configuration
  terragon.disaster_recovery.git_bundle:
    repository: ssh://git@git.example.com/platform/configuration.git
    directory: /var/lib/dr/configuration
    name: configuration
  register: bundle
  failed_when: bundle.outcome != 'passed'

- name: Prove what the other region's store has
  terragon.disaster_recovery.git_bundle:
    state: proven
    directory: /var/lib/dr/fetched/configuration
    name: configuration
  register: proof
  failed_when: proof.outcome != 'passed'
"""

RETURN = r"""
changed:
  description: True where a bundle was written, or in check mode would be.
  type: bool
  returned: always
outcome:
  description: V(passed), V(failed) or V(unverified).
  type: str
  returned: always
problems:
  description:
    - What is wrong, each with its kind first, one of missing, truncated, changed, "missing ref", "extra ref",
      "different ref", "prerequisite missing", "not restorable", stale, dirty, submodules and lfs.
  type: list
  elements: str
  returned: always
unverified:
  description: What could not be checked, and why.
  type: list
  elements: str
  returned: always
bundle:
  description: The file.
  type: str
  returned: always
created:
  description: When the bundle was made (RFC 3339, UTC); null where there is none.
  type: str
  returned: always
repository:
  description: Where it was made from.
  type: str
  returned: always
object_format:
  description: V(sha1) or V(sha256).
  type: str
  returned: always
head:
  description: Where HEAD points to.
  type: dict
  returned: always
  contains:
    ref:
      description: The branch; empty where HEAD is detached.
      type: str
      returned: always
    object:
      description: The commit; empty on a branch without one.
      type: str
      returned: always
refs:
  description: Every ref with its object.
  type: dict
  returned: always
objects:
  description: How many objects the bundle holds; 0 in check mode.
  type: int
  returned: always
size:
  description: Size of the bundle in bytes.
  type: int
  returned: always
digest:
  description: SHA-256 of the bundle, in hex.
  type: str
  returned: always
evidence:
  description: Outcome, HEAD, digest and counts, for the ledger.
  type: dict
  returned: always
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.git_bundle import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
