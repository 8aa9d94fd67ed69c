#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Export, validate or apply the manifests of a service."""

from __future__ import annotations

DOCUMENTATION = r"""
module: k8s_manifests
short_description: Export, validate by dry run, or apply the Kubernetes manifests of a service
version_added: "0.1.0"
description:
  - Exports the objects of namespaces, or of a label selector, as one YAML file an object, without what the server and
    its controllers set. The same state of a cluster gives the same bytes.
  - Validates such a directory, or one that somebody wrote, by server-side dry run against a cluster, that of another
    region too. Nothing is changed there.
  - Applies it server-side, kind after kind in the order in which they need each other, and waits for the rollout.
    It never removes an object. Nothing is changed unless the API takes every object in the dry run before.
  - Secrets are never exported or applied. They have a backup of their own, which encrypts them.
  - What is left out and what is taken out of an object is listed in docs/application-recovery.md.
author:
  - Terragon Platform Team (@terragon)
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.kubernetes
  - terragon.disaster_recovery.connections.record
requirements:
  - kubernetes >= 29
  - pyyaml
  - jsonpatch, for O(overrides[].patch)
attributes:
  check_mode:
    description: With V(state=applied) it is the dry run. With V(state=exported) it reads, compares and writes nothing.
    support: full
  diff_mode:
    description:
      - Shows the fields that differ. Values that may hold a secret, as data of config maps, variables and arguments,
        are shown as digests.
    support: full
options:
  state:
    description:
      - V(exported) writes the directory, as a whole or not at all.
      - V(validated) asks the API in a dry run, and changes nothing.
      - V(applied) applies the directory.
    type: str
    choices: [exported, validated, applied]
    default: validated
  directory:
    description:
      - Directory of the manifests, mode 0700, with C(<namespace>/<kind>.<group>/<name>.yaml) and an index,
        C(export.json).
      - For V(state=exported) it must be new, empty or an earlier export, which is replaced.
      - For the other states any directory with YAML or JSON manifests serves.
    type: path
    required: true
  namespaces:
    description: Namespaces to export. All when left out, which takes O(selector).
    type: list
    elements: str
    default: []
  selector:
    description: Label selector of what to export, for example V(app.kubernetes.io/part-of=shop).
    type: str
    default: ""
  kinds:
    description:
      - Kinds to export, as C(Kind.group), or C(Kind) for the core group. Custom kinds are named alike, for example
        V(Certificate.cert-manager.io).
      - A kind that the API does not serve, or does not let the credentials list, makes the outcome C(unverified).
    type: list
    elements: str
    default:
      - Namespace
      - ServiceAccount
      - Role.rbac.authorization.k8s.io
      - RoleBinding.rbac.authorization.k8s.io
      - ResourceQuota
      - LimitRange
      - NetworkPolicy.networking.k8s.io
      - ConfigMap
      - PersistentVolumeClaim
      - PodDisruptionBudget.policy
      - Service
      - StatefulSet.apps
      - DaemonSet.apps
      - Deployment.apps
      - CronJob.batch
      - HorizontalPodAutoscaler.autoscaling
      - Ingress.networking.k8s.io
  page:
    description: Objects to ask for at one time.
    type: int
    default: 250
  overrides:
    description:
      - What this region has otherwise than the manifests. Used by V(state=validated) and V(state=applied).
      - An override that matches no object, or names a container or variable that no matching object has, is refused.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description: Kind of the objects, as V(Deployment) or V(Deployment.apps). Shell patterns serve.
        type: str
        default: "*"
      namespace:
        description: Namespace of the objects. Shell patterns serve.
        type: str
        default: "*"
      name:
        description: Name of the objects. Shell patterns serve.
        type: str
        default: "*"
      replicas:
        description: Replicas to ask for.
        type: int
      images:
        description: Image by container.
        type: dict
        default: {}
      environment:
        description: Value by variable, in every container that has the variable.
        type: dict
        default: {}
      patch:
        description: JSON patch (RFC 6902), for everything else.
        type: list
        elements: dict
        default: []
  existing_replicas:
    description:
      - Whether a workload that is there keeps the replicas it has, V(kept), or gets those of its manifest, V(applied).
      - One that is made anew gets those of its manifest, or of its override. A scaler owns those of the others, as
        M(terragon.disaster_recovery.k8s_workload), which can change them without a conflict.
    type: str
    choices: [kept, applied]
    default: kept
  force_conflicts:
    description:
      - Whether to take over fields that another manager set otherwise. If not, the conflict is named, and nothing is
        changed.
    type: bool
    default: false
  check_references:
    description: Whether to look for the secrets, config maps, accounts and claims that pods cannot start without.
    type: bool
    default: true
  required:
    description: Whether an outcome that is not C(passed) fails the task, with V(state=exported) and V(state=validated).
    type: bool
    default: true
  wait:
    description:
      - Whether to wait, with V(state=applied), until Deployments and StatefulSets have rolled out. DaemonSets are not
        awaited, which the result says.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait.
    type: float
    default: 300.0
  log:
    description: File that gets a line for every kind exported, every rank applied and the wait, with the time.
    type: path
"""

EXAMPLES = r"""
- name: Export what the service is made of
  terragon.disaster_recovery.k8s_manifests:
    state: exported
    kubernetes:
      kubeconfig: /etc/terragon/us-east-1.kubeconfig
    namespaces: [counterfactual-lab]
    directory: /var/lib/terragon/manifests/counterfactual-lab

- name: Would the other region take it
  terragon.disaster_recovery.k8s_manifests:
    state: validated
    kubernetes:
      kubeconfig: /etc/terragon/us-west-2.kubeconfig
    directory: /var/lib/terragon/manifests/counterfactual-lab
    required: false
  register: validated

- name: Bring it back, as the other region has it
  terragon.disaster_recovery.k8s_manifests:
    state: applied
    kubernetes:
      kubeconfig: /etc/terragon/us-west-2.kubeconfig
    directory: /var/lib/terragon/manifests/counterfactual-lab
    overrides:
      - kind: Deployment
        name: counterfactual-lab
        replicas: 5
        environment: {REGION: us-west-2}
      - kind: Ingress
        patch:
          - {op: replace, path: /spec/rules/0/host, value: api-secondary.counterfactual-lab.com}
"""

RETURN = r"""
outcome:
  description:
    - C(passed) when all of it is well, C(failed) when something is wrong, C(unverified) when something could not be
      told.
  returned: always
  type: str
directory:
  description: The directory, absolute.
  returned: always
  type: str
counts:
  description: Number of objects by kind.
  returned: always
  type: dict
files:
  description: With V(state=exported) what is different in the directory, as C(added), C(changed) or C(removed) by path.
  returned: always
  type: dict
objects:
  description: With V(state=validated) and V(state=applied) each manifest, in the order of applying.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: Kind and group.
      type: str
    namespace:
      description: Namespace; empty where the object is in none.
      type: str
    name:
      description: Name of the object.
      type: str
    path:
      description: Its file, relative to the directory.
      type: str
    outcome:
      description: C(passed), C(failed) or C(unverified).
      type: str
    reasons:
      description: Why it did not pass, in the API's words.
      type: list
      elements: str
    action:
      description: C(created), C(changed) or C(unchanged); null where that could not be told.
      type: str
    applied:
      description: Whether it was applied in this run.
      type: bool
left_out:
  description: With V(state=exported) what was left out, one entry a reason.
  returned: always
  type: list
  elements: dict
  contains:
    reason:
      description: Why.
      type: str
    count:
      description: How many objects.
      type: int
    objects:
      description: The first twenty of them.
      type: list
      elements: str
problems:
  description: All that is wrong, one line each, naming the object.
  returned: always
  type: list
  elements: str
unverified:
  description: All that could not be told, one line each, naming the kind or the object.
  returned: always
  type: list
  elements: str
warnings_found:
  description: Objects that seem to hold a secret in clear, and workloads that keep other replicas than in the manifest.
  returned: always
  type: list
  elements: str
observed:
  description: Whether the export stands on the disk, or the rollout was seen to end. False when it was not awaited.
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
  description: Cluster, directory, counts by kind, verdict and action, and the ready pods of each workload awaited.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.manifests import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
