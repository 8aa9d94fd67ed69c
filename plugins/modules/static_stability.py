#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: static_stability
short_description: List what a recovery path needs, and what of it a region takes with it
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Loads a playbook as Ansible itself does, with its imports, roles, blocks, handlers and includes, and asks every task
    which APIs it talks to. The modules of this collection declare that; for others there is a table, and a task may say
    so itself in its variable C(dr_needs).
  - Every endpoint is looked for in the inventory, where C(dr_region) of each region says what is in it, and, of what is
    in none, in its own name. Control planes of global services count as where they are at home.
  - What the workloads of the catalogue need in the target is looked at too, which is their images' registry and the
    endpoints in their environment.
  - Runs nothing and asks nobody. Tasks whose condition is certainly false are left out; one whose needs depend on
    results of the run counts as not verified.
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: There is nothing to show.
options:
  playbook:
    description: The playbook.
    type: path
    required: true
  failed_region:
    description: The region that is lost.
    type: str
    required: true
  target_region:
    description: The region that takes over. The only other one where it is left out.
    type: str
notes:
  - Runs on the controller, by its action plugin.
"""

EXAMPLES = """
- name: Ask what the failover needs that goes with the region
  terragon.disaster_recovery.static_stability:
    playbook: "{{ playbook_dir }}/region_failover.yml"
    failed_region: us-east-1
  register: static_stability

- name: Show it
  ansible.builtin.debug:
    msg: "{{ static_stability.table }}"
"""

RETURN = """
failed_region:
  description: The region that is lost.
  returned: success
  type: str
target_region:
  description: The region that takes over.
  returned: success
  type: str
outcome:
  description:
    - V(passed) where every task can do without the region, V(failed) where one cannot, else V(unverified) where one
      could not be judged.
  returned: success
  type: str
problems:
  description: What needs the region, naming the task and its place, one line each.
  returned: success
  type: list
  elements: str
unverified:
  description: Tasks that could not be judged, and why, one line each.
  returned: success
  type: list
  elements: str
tolerated:
  description: What the region takes with it and its task goes on without, one line each.
  returned: success
  type: list
  elements: str
needs:
  description:
    - Everything that any task needs, with C(play), C(task), C(module), C(api), C(plane), C(where), C(endpoint),
      C(verdict) and C(why).
  returned: success
  type: list
  elements: dict
table:
  description: The same, drawn for people.
  returned: success
  type: str
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.stability import SPECIFICATION, run


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
