"""The clients that this project uses, against the emulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, dynamic, watch
from kubernetes.dynamic import exceptions as dynamic_errors

from tests.unit.lab.kubernetes_server import DEPLOYMENTS, PODS, TOKEN, NodeClient, Server, deployment, running, until

Json = dict[str, Any]
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars:
    access: {host: "{{ url }}", api_key: "{{ token }}"}
    workload: &web {api_version: apps/v1, kind: Deployment, name: web, namespace: default}
  module_defaults: {group/kubernetes.core.k8s: "{{ access }}"}
  tasks:
    - name: Apply a deployment twice
      kubernetes.core.k8s: {apply: true, namespace: default, definition: "{{ deployment }}"}
      register: applied
      loop: [1, 2]
    - name: Roll it to another image
      kubernetes.core.k8s:
        <<: *web
        state: patched
        definition: "{{ change }}"
      register: patched
    - name: Scale it
      kubernetes.core.k8s_scale:
        <<: *web
        replicas: 3
        wait: false
      register: scaled
    - name: Read it
      kubernetes.core.k8s_info: *web
      register: found
    - name: Delete it and wait
      kubernetes.core.k8s:
        <<: *web
        state: absent
        wait: true
        wait_timeout: 20
    - name: Keep the answers
      ansible.builtin.copy:
        dest: "{{ result }}"
        mode: "0600"
        content: >-
          {{ {"applied": applied.results | map(attribute="changed"), "patched": patched.changed,
              "scaled": scaled.changed, "replicas": found.resources[0].spec.replicas,
              "image": found.resources[0].spec.template.spec.containers[0].image} | to_json }}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as running_server:
        yield running_server


@pytest.fixture
def api(server: Server) -> client.ApiClient:
    configuration = client.Configuration()
    configuration.host = server.url
    configuration.api_key = {"authorization": f"Bearer {TOKEN}"}
    return client.ApiClient(configuration)


def test_typed_clients(server: Server, api: client.ApiClient) -> None:
    node = NodeClient(server)
    node.register()
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    apps.create_namespaced_deployment("default", deployment(replicas=2))
    seen = []
    stream = watch.Watch()
    for event in stream.stream(core.list_namespaced_pod, "default", timeout_seconds=10):
        node.step()
        seen.append(event["type"])
        if seen.count("MODIFIED") >= 4:
            break
    assert seen.count("ADDED") == 2
    until(lambda: apps.read_namespaced_deployment_status("web", "default").status.available_replicas == 2, "both serve")
    apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 0}})
    node.run_until(lambda: not core.list_namespaced_pod("default").items, "the pods are gone")
    found = apps.read_namespaced_deployment("web", "default")
    found.spec.replicas = 1
    apps.replace_namespaced_deployment("web", "default", found)
    with pytest.raises(client.ApiException) as refusal:
        apps.replace_namespaced_deployment("web", "default", found)
    assert refusal.value.status == 409


def test_dynamic_client_with_server_side_apply(server: Server, api: client.ApiClient) -> None:
    kind = dynamic.DynamicClient(api).resources.get(api_version="apps/v1", kind="Deployment")
    kind.server_side_apply(body=deployment(replicas=2), namespace="default", field_manager="one")
    with pytest.raises(dynamic_errors.ConflictError, match="conflict with"):
        kind.server_side_apply(body=deployment(replicas=3), namespace="default", field_manager="two")
    forced = kind.server_side_apply(
        body=deployment(replicas=3), namespace="default", field_manager="two", force_conflicts=True
    )
    assert forced.spec.replicas == 3
    assert kind.scale.get(namespace="default", name="web").spec.replicas == 3
    kind.delete(namespace="default", name="web")
    with pytest.raises(dynamic_errors.NotFoundError):
        kind.get(namespace="default", name="web")


def test_kubernetes_core_modules(server: Server, tmp_path: Path) -> None:
    playbook, result = tmp_path / "play.yml", tmp_path / "result.json"
    playbook.write_text(PLAYBOOK, "utf-8")
    settings = tmp_path / "ansible.cfg"
    settings.write_text("[defaults]\n", "utf-8")
    containers = [{"name": "web", "image": "web:2"}]
    values = {
        "url": server.url, "token": TOKEN, "result": str(result), "deployment": deployment(),
        "change": {"spec": {"template": {"spec": {"containers": containers}}}},
        "ansible_python_interpreter": sys.executable,
    }  # fmt: skip
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", str(playbook),
        "-e", json.dumps(values),
    ]  # fmt: skip
    environment = {**os.environ, "ANSIBLE_CONFIG": str(settings), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(result.read_text("utf-8")) == {
        "applied": [True, False], "patched": True, "scaled": True, "replicas": 3, "image": "web:2",
    }  # fmt: skip
    until(lambda: not server.get(PODS)["items"], "its pods are gone")
    assert server.call("GET", f"{DEPLOYMENTS}/web").status == 404
