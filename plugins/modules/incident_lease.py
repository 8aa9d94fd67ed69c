#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: incident_lease
short_description: Let one run at a time act on an incident
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Takes, renews, releases or shows the lease of an incident, an object in a witness store, or in a majority of three,
    that is replaced only by conditional writes.
  - Its epoch is the fencing token of the run. It grows with every holder. The ledger refuses an older one.
  - Every play of a run calls this with O(state=held) and its O(token) again. It renews, and fails when another run has
    taken over.
  - On Linux, a process beside the run renews it while the run lives, and gives it back when the run has ended.
  - A lease that lives is never taken over. One whose holder is provably dead is replaced at once. That is a run of the
    same machine, since the same boot and in the same PID namespace, whose process and workers are gone.
    Any other silent holder's lease is replaced once it has expired, with O(takeover) typed.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.lease
attributes:
  check_mode:
    support: full
    description: Predicts without writing, with the token that the claim would get.
  diff_mode:
    support: full
    description: Shows holder and token before and after.
options:
  state:
    description:
      - V(held) takes the lease, or renews it where this run holds it.
      - V(released) gives it back. Refused where another run holds it.
      - V(observed) only looks.
    type: str
    choices: [held, released, observed]
    default: held
  incident:
    description: Identifier of the incident.
    type: str
    required: true
  token:
    description:
      - The fencing token that this run has already. The lease is then renewed and never claimed anew, so that a run
        that slept through a takeover stops, even where the lease is free again.
    type: int
  takeover:
    description:
      - The text C(take over <incident> from <holder>), typed by whoever has made sure that the holder has stopped.
        Accepted only once the lease has expired.
    type: str
  holder:
    description: The run that asks. The action plugin fills in the running ansible-playbook process.
    type: dict
    suboptions:
      user:
        description: Account, or AWX user.
        type: str
        required: true
      host:
        description: Host name of the controller.
        type: str
        required: true
      pid:
        description: Process id of ansible-playbook.
        type: int
        required: true
      boot_id:
        description: The kernel's id of this boot of the machine. Without it nobody can prove the holder dead.
        type: str
        default: ''
      pid_namespace:
        description: PID namespace that the process id counts in.
        type: str
        default: ''
      started:
        description: Start of the process in clock ticks since boot.
        type: int
        default: 0
      command:
        description: SHA-256 of the command line, by which workers of a killed run are recognised.
        type: str
        default: ''
notes:
  - Choose C(ttl_seconds) longer than the longest play of a run, since a run renews once a play.
seealso:
  - module: terragon.disaster_recovery.incident_ledger
"""

EXAMPLES = """
- name: Be the only run that acts on this incident
  terragon.disaster_recovery.incident_lease:
    state: held
    incident: INC-7
    lease:
      key: incidents/INC-7.lease
      ttl_seconds: 60
      stores:
        - {name: witness, bucket: example-witness, region: eu-central-1}
  register: incident_lease

- name: Make sure that it still is, and renew
  terragon.disaster_recovery.incident_lease:
    state: held
    incident: INC-7
    token: "{{ incident_lease.token }}"
    lease:
      key: incidents/INC-7.lease
      ttl_seconds: 60
      stores:
        - {name: witness, bucket: example-witness, region: eu-central-1}

- name: Take over from a run on a laptop that is lost
  terragon.disaster_recovery.incident_lease:
    state: held
    incident: INC-7
    takeover: take over INC-7 from alice@laptop:4711
    lease:
      key: incidents/INC-7.lease
      ttl_seconds: 60
      stores:
        - {name: witness, bucket: example-witness, region: eu-central-1}
"""

RETURN = """
incident:
  description: Identifier of the incident.
  returned: always
  type: str
token:
  description: Epoch of the lease, the fencing token; null while nobody has ever held it. In check mode the one to come.
  returned: always
  type: int
holder:
  description: Who holds the lease, as C(user@host:pid); null when nobody does.
  returned: always
  type: str
held:
  description: Whether this run holds it.
  returned: always
  type: bool
expires_in_seconds:
  description: Seconds, by the stores' clocks, until the holder counts as stopped unless it renews; null without holder.
  returned: always
  type: float
taken_over_from:
  description: The holder that was replaced; null when the lease was free.
  returned: always
  type: str
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.incident_lease import SPECIFICATION, run


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
