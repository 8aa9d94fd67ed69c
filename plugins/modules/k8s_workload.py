#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scale, restart, roll back, await or inspect workloads."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_workload
short_description: Scale, restart, roll back, await or inspect many Kubernetes workloads at once
version_added: "0.1.0"
description:
  - Looks at all workloads first, and changes nothing when one of them, or a secret or config map that it needs, is not
    there.
  - Then changes all that differ at once, and waits for all together, with one watch a collection and namespace.
  - A workload is ready when its controller has acted on its present specification, as many pods are ready as asked for,
    and no pod of an older template is left.
  - A rollout that cannot succeed ends the wait early, with the reason from its pods. Others, for example
    C(CrashLoopBackOff) and C(FailedScheduling), may pass by themselves, and are told when the time is up.
  - A change is made under the condition that the workload still is what it was when the change was decided. Where it is
    not, it is decided anew.
author:
  - Terragon Platform Team (@terragon)
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.kubernetes
  - terragon.disaster_recovery.connections.record
requirements:
  - kubernetes >= 29
attributes:
  check_mode:
    description: Predicts what would change. The API validates every change in a server-side dry run. It does not wait.
    support: full
  diff_mode:
    description: Shows replicas and images before and after.
    support: full
options:
  state:
    description:
      - V(scaled) sets the replicas.
      - V(restarted) makes all pods anew, as C(kubectl rollout restart) does.
      - V(rolled_back) sets the images, and the replicas where they are given.
      - V(ready) changes nothing and waits until the workloads are ready as they are.
      - V(inspected) changes nothing, does not wait, and reports what is there and what is missing. Missing things do
        not make the task fail.
    type: str
    choices: [scaled, restarted, rolled_back, ready, inspected]
    default: scaled
  workloads:
    description: The workloads.
    type: list
    elements: dict
    required: true
    suboptions:
      namespace:
        description: Namespace of the workload.
        type: str
        required: true
      name:
        description: Name of the workload.
        type: str
        required: true
      kind:
        description: Kind of the workload.
        type: str
        choices: [Deployment, StatefulSet]
        default: Deployment
      replicas:
        description:
          - How many replicas it should have. Required for V(state=scaled).
          - With V(state=inspected) and O(check_capacity) the number to look for room for.
        type: int
      minimum_ready:
        description: How many ready pods are enough to end the wait. All when left out.
        type: int
      images:
        description:
          - Image of each container to set, as a dictionary from the container's name to C(repository@sha256:digest).
          - With V(state=inspected) images to look for beside the present ones.
        type: dict
        default: {}
      secrets:
        description: Names of the secrets that its pods need. Only their names are read.
        type: list
        elements: str
        default: []
      configmaps:
        description: Names of the config maps that its pods need.
        type: list
        elements: str
        default: []
  allow_scale_down:
    description:
      - Whether replicas may become fewer. If not, a workload that has more than asked for keeps them.
      - If so, the wait also lasts until the pods that are too many have ended.
    type: bool
    default: false
  restarted_since:
    description: Time in RFC 3339. With V(state=restarted) workloads whose restart was asked for then or later are left
      alone, so that a repeated run does not restart them again.
    type: str
  check_images:
    description: Whether to ask the registries for the images. Needs no access to the cluster's nodes.
    type: bool
    default: false
  registry:
    description: How to reach the registries.
    type: dict
    default: {insecure: [], timeout: 5.0}
    suboptions:
      docker_config:
        description: Docker C(config.json) with the credentials, or the credential helpers that have them.
        type: path
      insecure:
        description: Hosts, with port, that speak plain HTTP. Registries on loopback addresses always do.
        type: list
        elements: str
        default: []
      timeout:
        description: Seconds to wait for one answer.
        type: float
        default: 5.0
  check_capacity:
    description:
      - Whether to look if the schedulable nodes have the CPU, memory and pods left that the new replicas request.
      - It is a necessary condition. Affinity, spreading and volumes are left to the scheduler.
    type: bool
    default: false
  wait:
    description: Whether to wait until the workloads are ready.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait.
    type: float
    default: 120.0
"""

EXAMPLES = r"""
- name: Is the target ready to take the service
  terragon.disaster_recovery.k8s_workload:
    state: inspected
    kubernetes:
      kubeconfig: /etc/terragon/us-west-2.kubeconfig
    workloads:
      - namespace: counterfactual-lab
        name: counterfactual-lab
        replicas: 5
        secrets: [counterfactual-lab-database]
    check_images: true
    check_capacity: true
  register: target

- name: Order the replicas, and do not wait for them yet
  terragon.disaster_recovery.k8s_workload:
    state: scaled
    kubernetes:
      kubeconfig: /etc/terragon/us-west-2.kubeconfig
    workloads:
      - namespace: counterfactual-lab
        name: counterfactual-lab
        replicas: 5
    wait: false

- name: Go back to the image that is known good
  terragon.disaster_recovery.k8s_workload:
    state: rolled_back
    kubernetes:
      kubeconfig: /etc/terragon/us-west-2.kubeconfig
    workloads:
      - namespace: counterfactual-lab
        name: counterfactual-lab
        images:
          api: registry.example.com/lab@sha256:9b2cb1f35ea9b4b7a1f7e2a9b0ad0f2a0c5d7f9e2b4a6c8d0e1f3a5b7c9d1e3f
    wait_timeout: 300

- name: Restart once an incident, however often this runs
  terragon.disaster_recovery.k8s_workload:
    state: restarted
    kubernetes:
      kubeconfig: /etc/terragon/us-west-2.kubeconfig
      context: operator
    workloads:
      - namespace: counterfactual-lab
        name: counterfactual-lab
    restarted_since: "{{ incident_declared_at }}"
"""

RETURN = r"""
workloads:
  description: What was found and done, in the order of O(workloads).
  returned: always
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the workload.
      type: str
    name:
      description: Name of the workload.
      type: str
    kind:
      description: Kind of the workload.
      type: str
    exists:
      description: Whether it is there.
      type: bool
    changed:
      description: Whether it was changed, or would be.
      type: bool
    before:
      description: RV(workloads[].before.replicas) and RV(workloads[].before.images) as they were.
      type: dict
      contains:
        replicas:
          description: Replicas asked for. None when there is no workload.
          type: int
        images:
          description: Image of each container.
          type: dict
    after:
      description: The same as they are asked for now, or would be.
      type: dict
      contains:
        replicas:
          description: Replicas asked for. None when there is no workload.
          type: int
        images:
          description: Image of each container.
          type: dict
    previous:
      description: What was, in the form of O(workloads), for going back. With V(state=inspected) its images are the
        digests that ready containers run, where the cluster tells them.
      type: dict
    ready:
      description: Pods that are ready, as last seen.
      type: int
    seconds:
      description: Seconds of the wait until it was ready. None when it was not awaited, or did not become ready.
      type: float
    missing:
      description: What it needs and is not there.
      type: list
      elements: str
    problems:
      description: What else is wrong with it, for example why its pods are not ready.
      type: list
      elements: str
    unverified:
      description: What could not be told.
      type: list
      elements: str
problems:
  description: All that is missing or wrong, one line each, naming the workload.
  returned: always
  type: list
  elements: str
unverified:
  description: All that could not be told, one line each, naming the workload.
  returned: always
  type: list
  elements: str
outcome:
  description: C(passed) when nothing is missing or wrong, C(unverified) when that could not be told, else C(failed).
  returned: when O(state) is V(inspected)
  type: str
observed:
  description: Whether the result was seen to hold. False when it was ordered and not awaited.
  returned: always
  type: bool
waits:
  description: The wait C(pods_ready). Times are RFC 3339 in UTC, durations seconds.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the wait.
      type: str
    started:
      description: When it began.
      type: str
    ended:
      description: When it ended.
      type: str
    seconds:
      description: How long it took.
      type: float
evidence:
  description: The cluster, and of each workload replicas before and after, images, ready pods and seconds of the wait.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.workloads import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
