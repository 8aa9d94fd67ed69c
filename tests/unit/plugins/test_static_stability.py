"""The lint over whole playbooks, by ansible-playbook: those that are shipped, and one with planted violations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent

PLANTED = """
- name: Detect | find the regions
  hosts: localhost
  gather_facts: false
  tasks:
    - name: reads from the failed region
      terragon.disaster_recovery.pg_heartbeat:
        state: written
        servers:
          - region: us-east-1
            postgres: "{{ hostvars['us-east-1'].dr_region.postgres.main }}"
    - name: looks at the failed region, and goes on without it
      terragon.disaster_recovery.pg_heartbeat:
        servers:
          - region: us-east-1
            postgres: "{{ hostvars['us-east-1'].dr_region.postgres.main }}"
    - name: has no declaration
      planted:
    - name: runs a command
      ansible.builtin.command: {argv: [backup-tool, fetch]}
    - name: runs a command and says what for
      ansible.builtin.command: {argv: [backup-tool, fetch]}
      vars:
        dr_needs: [{api: backup, plane: data, region: us-east-1}]
    - name: certainly not run
      terragon.disaster_recovery.route53_traffic: {records: "{{ records }}"}
      when: dr_clusters | length > 9
    - name: run or not, by what is found
      terragon.disaster_recovery.route53_traffic: {records: "{{ records }}"}
      when: seen.changed | default(false)
    - name: needs what is found
      terragon.disaster_recovery.incident_lease:
        incident: "{{ dr_incident }}"
        lease: "{{ seen.lease | default(dr_incident_lease) }}"
    - name: includes
      ansible.builtin.include_tasks: "{{ which }}.yml"
    - name: a block
      block:
        - name: looks
          ansible.builtin.debug:
          register: seen
      rescue:
        - name: in a rescue
          kubernetes.core.k8s_info: {kind: Pod, context: us-east-1}
      always:
        - name: notifies
          ansible.builtin.debug:
          notify: a handler
  handlers:
    - name: a handler
      ansible.builtin.uri: {url: "https://api-us-east-1.counterfactual-lab.com/reload"}
  vars:
    which: included
    records: [{zone: example.com, name: api.example.com, type: A, values: [127.0.0.1]}]

- name: Recover | on the region's machine, and recorded there
  hosts: postgres.us-east-1.counterfactual-lab.internal
  gather_facts: false
  module_defaults:
    group/terragon.disaster_recovery.recorded:
      record:
        incident: "{{ dr_incident }}"
        phase: recover
        directory: /ledgers
        store: {name: ledger, bucket: ledger, region: us-east-1}
  tasks:
    - name: by SSH
      ansible.builtin.systemd: {name: postgresql, state: started}
    - name: recorded in the failed region
      terragon.disaster_recovery.k8s_workload:
        kubernetes: {context: us-west-2}
        workloads: [{namespace: shop, name: api}]
      delegate_to: localhost

- name: Close | on hosts that nobody knows yet
  hosts: dr_found_later
  gather_facts: false
  tasks:
    - name: anything
      ansible.builtin.debug:
"""

INCLUDED = """
- name: in an included file, for each
  ansible.builtin.wait_for: {host: "{{ item.host }}", port: 5432}
  loop: "{{ [dr_region_of, {'host': '127.0.0.9'}] }}"
  vars:
    dr_region_of: "{{ hostvars['us-east-1'].dr_region.postgres.main }}"
"""

SHIFT = """
- name: Recover | shift traffic
  hosts: dr_target
  gather_facts: false
  roles:
    - role: terragon.disaster_recovery.traffic_shift
"""

LINT = """
- hosts: localhost
  gather_facts: false
  tasks:
    - terragon.disaster_recovery.static_stability: {playbook: "{{ item.playbook }}", failed_region: "{{ item.failed }}"}
      loop: "{{ cases }}"
      register: found
      ignore_errors: true
    - ansible.builtin.copy: {content: "{{ found.results | to_json }}", dest: "{{ output }}", mode: "0600"}
"""


def ansible(*arguments: str, **variables: t.Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "ansible-playbook", *arguments, "-e", json.dumps(variables)],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, t.Any]]:
    """Of the planted playbook for us-east-1, the failover for both regions, one that is missing, an unknown region."""
    directory = tmp_path_factory.mktemp("stability")
    (directory / "library").mkdir()
    (directory / "library/planted.py").write_text("def main(): ...\n", encoding="utf-8")
    for name, text in (("planted", PLANTED), ("included", INCLUDED), ("lint", LINT)):
        (directory / f"{name}.yml").write_text(text, encoding="utf-8")
    failover = str(ROOT / "playbooks/region_failover.yml")
    cases = [
        {"playbook": str(directory / "planted.yml"), "failed": "us-east-1"},
        {"playbook": failover, "failed": "us-east-1"},
        {"playbook": failover, "failed": "us-west-2"},
        {"playbook": str(directory / "missing.yml"), "failed": "us-east-1"},
        {"playbook": failover, "failed": "mars-1"},
    ]
    output = directory / "results.json"
    run = ansible(str(directory / "lint.yml"), cases=cases, output=str(output))
    assert run.returncode == 0, run.stdout + run.stderr
    return list(json.loads(output.read_text(encoding="utf-8")))


def verdicts(result: dict[str, t.Any], task: str) -> set[tuple[str, str, str]]:
    return {(one["api"], one["where"], one["verdict"]) for one in result["needs"] if one["task"] == task}


@pytest.mark.parametrize(
    ("task", "api", "why"),
    [
        ("reads from the failed region", "PostgreSQL", "needs PostgreSQL in us-east-1 (postgres.us-east-1."),
        ("runs a command and says what for", "backup", "needs backup in us-east-1"),
        ("run or not, by what is found", "Route 53", "needs the control plane of Route 53 in us-east-1"),
        ("in a rescue", "Kubernetes", "needs the control plane of Kubernetes in us-east-1"),
        ("a handler", "HTTP", "needs HTTP in us-east-1 (api-us-east-1.counterfactual-lab.com)"),
        ("in an included file, for each", "TCP", "needs TCP in us-east-1 (postgres.us-east-1."),
        ("by SSH", "SSH", "needs SSH in us-east-1 (postgres.us-east-1."),
        ("recorded in the failed region", "S3", "needs S3 in us-east-1 (bucket ledger)"),
    ],
)
def test_a_planted_violation_is_found(results: list[dict[str, t.Any]], task: str, api: str, why: str) -> None:
    assert (api, "us-east-1", "VIOLATION") in verdicts(results[0], task)
    named = [line for line in results[0]["problems"] if f"/ {task} (" in line]
    assert len(named) == 1
    assert why in named[0]


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("has no declaration", "planted does not declare it"),
        ("runs a command", "ansible.builtin.command does not declare it. Set the task's variable dr_needs"),
        ("needs what is found", "seen is known only while the playbook runs"),
        ("hosts", "no host of this play is known before the run"),
    ],
)
def test_what_cannot_be_told_is_named_and_is_no_pass(results: list[dict[str, t.Any]], task: str, why: str) -> None:
    assert verdicts(results[0], task) == {("?", "?", "UNKNOWN")}
    assert any(f"/ {task}" in line and why in line for line in results[0]["unverified"])


def test_nothing_else_is_found(results: list[dict[str, t.Any]]) -> None:
    planted = results[0]
    assert (planted["outcome"], len(planted["problems"]), len(planted["unverified"])) == ("failed", 8, 4)
    assert verdicts(planted, "certainly not run") == set()
    task = "looks at the failed region, and goes on without it"
    assert verdicts(planted, task) == {("PostgreSQL", "us-east-1", "tolerated")}


def test_the_failover_by_records_needs_route_53_where_it_is_at_home_and_nothing_else(
    results: list[dict[str, t.Any]],
) -> None:
    east, west = results[1:3]
    assert east["outcome"] == "failed"
    assert not east["unverified"]
    assert {line.rpartition(": ")[2] for line in east["problems"]} == {
        "needs the control plane of Route 53 in us-east-1"
    }
    assert any("Shift the records to the " in line for line in east["problems"])
    assert (west["outcome"], west["problems"], west["unverified"]) == ("passed", [], [])
    assert any("the lease proves the fence" in line for line in west["tolerated"])


@pytest.mark.parametrize("method", ["records", "routing_controls", "switch"])
def test_the_way_that_traffic_is_shifted_decides_about_route_53(tmp_path: Path, method: str) -> None:
    """By the data plane nothing in the failed region is needed: one of the ARC endpoints is there, and may be gone."""
    (tmp_path / "shift.yml").write_text(SHIFT, encoding="utf-8")
    (tmp_path / "lint.yml").write_text(LINT, encoding="utf-8")
    traffic = {
        "method": method,
        "controls": {"us-east-1": "east", "us-west-2": "west"},
        "primary": "us-east-1",
        "secondary": "us-west-2",
    }
    record = {"zone": "example.com", "name": "api.example.com", "type": "CNAME", "ttl": 60, "values": ["example.org"]}
    endpoints = [{"endpoint": f"https://{name}.example.com", "region": name} for name in ("us-east-1", "eu-west-1")]
    output = tmp_path / "results.json"
    run = ansible(
        str(tmp_path / "lint.yml"),
        cases=[{"playbook": str(tmp_path / "shift.yml"), "failed": "us-east-1"}],
        output=str(output),
        dr_services={"api": {"tier": 1, "url": "https://api.example.com", "records": [record], "traffic": traffic}},
        dr_routing_control={"endpoints": endpoints},
        dr_traffic_switch={"store": {"name": "switch", "bucket": "switches", "region": "eu-west-1"}},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    [found] = json.loads(output.read_text(encoding="utf-8"))
    asked = {one["api"] for one in found["needs"]} - {"DNS", "registry"}
    if method == "records":
        assert (found["outcome"], asked) == ("failed", {"Route 53"})
    else:
        assert (found["outcome"], found["problems"], found["unverified"]) == ("passed", [], [])
        assert asked == {"ARC" if method == "routing_controls" else "S3"}


def test_bad_input_is_refused(results: list[dict[str, t.Any]]) -> None:
    missing, unknown = results[3:]
    assert missing["failed"]
    assert "missing.yml" in missing["msg"]
    assert unknown["failed"]
    assert "Unknown region 'mars-1'" in unknown["msg"]


def test_the_shipped_playbook_exits_by_its_findings_and_looks_at_the_pods() -> None:
    playbook = str(ROOT / "playbooks/static_stability.yml")
    assert ansible(playbook, dr_failed_region="us-west-2").returncode == 0
    images = {"dr_images": {"counterfactual-lab": "sha256:0"}}
    workload = {"namespace": "shop", "name": "api", "replicas": {"active": 1}}
    far = {
        **workload,
        "image": "000000000000.dkr.ecr.us-west-2.amazonaws.com/api@sha256:0",
        "environment": {"PGHOST": "postgres.us-west-2.counterfactual-lab.internal", "PGPORT": "5432"},
    }
    service = {"api": {"tier": 1, "url": "https://api.example.com", "workloads": [far]}}
    for given in ({"dr_services": service}, {"dr_services": "{{ catalogue }}", "catalogue": service}):
        run = ansible(playbook, dr_failed_region="us-west-2", **given, **images)
        told = run.stdout + run.stderr
        assert run.returncode == 2
        assert "Workloads in the target / service api (dr_services): needs registry in us-west-2" in told
        assert "needs environment PGHOST in us-west-2" in told
        assert "PGPORT" not in run.stdout
