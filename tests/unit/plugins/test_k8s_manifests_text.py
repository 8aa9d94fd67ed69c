"""Manifests as text: bytes that every YAML reader takes for the same object, and what of an object is left in them."""

from __future__ import annotations

import io
import json
import random
import typing as t

import pytest
import yaml
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.manifests_left_out import (
    plain_secrets,
    reason_to_leave_out,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.manifests_model import Identity, Kind
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.manifests_strip import strip
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.manifests_yaml import dump, load_all
from ruamel.yaml import YAML

Json = dict[str, t.Any]

TRAPS = [
    "1e3", "0644", "0o17", "0x1f", "1_000", "12:30", "1:2:3", "2026-11-23", "2026-11-23T10:00:00Z", ".5", "+1", "-0",
    "5.", ".inf", "-.INF", ".nan", "y", "Y", "n", "yes", "No", "on", "OFF", "true", "False", "null", "Null", "~", "",
    " ", "  x", "x  ", "- x", "a: b", "a #b", "#", "&a", "*a", "!t", "%", "@", "`", "{", "[", "|", ">", "?", ":", "-",
    "---", "...", "a\nb", "a\n", "\na", "a \nb", "\t", "a\tb\nc", "\r\n", "a\r\nb", "größe", "\U0001f980", "\x85",
    "\u2028", "\ufeff", "\x00", "\x1b[0m", "'", '"', "\\", "=", "<<", "<", "%YAML 1.2", "x" * 5000, "word " * 400,
]  # fmt: skip


def config(data: Json) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "s"}, "data": data}


@pytest.mark.parametrize("trap", TRAPS, ids=[repr(one)[:20] for one in TRAPS])
def test_text_stays_the_same_text(trap: str) -> None:
    """To this reader, to one of YAML 1.1 and to one of YAML 1.2."""
    one = config({"value": trap, trap.strip()[:50] or "key": "v", "list": [trap, trap]})
    data = dump(one)
    assert load_all(data, "it") == [one]
    assert yaml.safe_load(data) == one
    assert YAML(typ="safe", pure=True).load(io.BytesIO(data)) == one


def test_any_object_comes_back_and_has_one_form() -> None:
    draw = random.Random(7)
    for _ in range(300):
        one = config(_anything(draw, 0))
        data = dump(one)
        assert load_all(data, "it") == [one]
        turned = json.loads(json.dumps(dict(reversed(list(one.items())))))
        assert dump(turned) == data


def _anything(draw: random.Random, depth: int) -> t.Any:
    if depth == 0 or (depth < 4 and draw.random() < 0.5):
        if depth and draw.random() < 0.4:
            return [_anything(draw, depth + 1) for _ in range(draw.randrange(4))]
        return {draw.choice(TRAPS)[:60] or "k": _anything(draw, depth + 1) for _ in range(draw.randrange(5))}
    return draw.choice([draw.choice(TRAPS), draw.randrange(-9, 10**12), draw.random() * 1e9, True, False, None])


def stripped(kind: str, api_version: str = "v1", **content: t.Any) -> Json:
    metadata = {"name": "x", "namespace": "s", "uid": "u", "resourceVersion": "7", **content.pop("metadata", {})}
    found = strip({"apiVersion": api_version, "kind": kind, "metadata": metadata, **content})
    assert {found.pop(key) for key in ("apiVersion", "kind")} == {api_version, kind}
    assert {key: found["metadata"].pop(key) for key in ("name", "namespace")} == {"name": "x", "namespace": "s"}
    if not found["metadata"]:
        del found["metadata"]
    return found


def managed(*trees: Json) -> Json:
    return {"managedFields": [{"manager": "m", "fieldsV1": tree} for tree in trees]}


_PORT = {"port": 80, "protocol": "TCP", "nodePort": 30000}
_BARE = {"port": 80, "protocol": "TCP"}
_OWNS_PORT = {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:nodePort": {}, "f:port": {}}}}}
_OWNS_NONE = {"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:port": {}}}}}

STRIPPED: list[t.Any] = [
    pytest.param(
        stripped("ServiceAccount", secrets=[{"name": "x-token-abcde"}, {"name": "mine"}]),
        {"secrets": [{"name": "mine"}]},
        id="account-token",
    ),
    pytest.param(
        stripped(
            "PersistentVolumeClaim",
            spec={"volumeName": "pvc-1", "storageClassName": "fast"},
            status={"phase": "Bound"},
            metadata={
                "finalizers": ["kubernetes.io/pvc-protection"],
                "annotations": {"pv.kubernetes.io/bind-completed": "yes", "mine": "1"},
            },
        ),
        {"spec": {"storageClassName": "fast"}, "metadata": {"annotations": {"mine": "1"}}},
        id="claim",
    ),
    pytest.param(
        stripped(
            "Namespace",
            spec={"finalizers": ["kubernetes"]},
            status={"phase": "Active"},
            metadata={"labels": {"kubernetes.io/metadata.name": "x"}},
        ),
        {},
        id="namespace",
    ),
    pytest.param(
        stripped(
            "Service",
            spec={"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [_PORT], "healthCheckNodePort": 31000},
            metadata=managed(_OWNS_NONE),
        ),
        {"spec": {"ports": [_BARE]}},
        id="service-allocated",
    ),
    pytest.param(
        stripped("Service", spec={"ports": [_PORT]}, metadata=managed(_OWNS_NONE, _OWNS_PORT)),
        {"spec": {"ports": [_PORT]}},
        id="service-agreed",
    ),
    pytest.param(stripped("Service", spec={"ports": [_PORT]}), {"spec": {"ports": [_PORT]}}, id="service-nobody-knows"),
    pytest.param(
        stripped("Service", spec={"clusterIP": "None", "clusterIPs": ["None"]}),
        {"spec": {"clusterIP": "None", "clusterIPs": ["None"]}},
        id="service-headless",
    ),
    pytest.param(
        stripped("Service", "serving.knative.dev/v1", spec={"clusterIP": "mine", "template": {"spec": {"a": None}}}),
        {"spec": {"clusterIP": "mine", "template": {"spec": {"a": None}}}},
        id="another-group's-service",
    ),
    pytest.param(
        stripped(
            "Deployment",
            "apps/v1",
            metadata={
                "generation": 3,
                "annotations": {
                    "deployment.kubernetes.io/revision": "4",
                    "kubectl.kubernetes.io/last-applied-configuration": "{}",
                },
            },
            spec={
                "template": {
                    "metadata": {
                        "creationTimestamp": None,
                        "labels": {"app": "x", "pod-template-hash": "1"},
                        "annotations": {"kubectl.kubernetes.io/restartedAt": "now"},
                    },
                    "spec": {"serviceAccount": "r", "serviceAccountName": "r"},
                }
            },
            status={"replicas": 1},
        ),
        {"spec": {"template": {"metadata": {"labels": {"app": "x"}}, "spec": {"serviceAccountName": "r"}}}},
        id="deployment",
    ),
    pytest.param(
        stripped(
            "CronJob",
            "batch/v1",
            spec={
                "jobTemplate": {
                    "metadata": {"creationTimestamp": None},
                    "spec": {"template": {"metadata": {"creationTimestamp": None}, "spec": {}}},
                }
            },
        ),
        {"spec": {"jobTemplate": {"metadata": {}, "spec": {"template": {"metadata": {}, "spec": {}}}}}},
        id="cronjob",
    ),
    pytest.param(
        stripped(
            "Job",
            "batch/v1",
            spec={
                "selector": {"matchLabels": {"controller-uid": "1"}},
                "template": {"metadata": {"labels": {"controller-uid": "1", "a": "b"}}, "spec": {}},
            },
        ),
        {"spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {}}}},
        id="job",
    ),
    pytest.param(
        stripped(
            "Pod",
            spec={
                "nodeName": "n",
                "volumes": [{"name": "kube-api-access-abcde", "projected": {}}],
                "containers": [{"name": "c", "volumeMounts": [{"name": "kube-api-access-abcde"}]}],
            },
            metadata=managed({"f:spec": {}}),
        ),
        {"spec": {"containers": [{"name": "c"}]}},
        id="pod",
    ),
    pytest.param(
        stripped("Widget", "x.test/v1", spec={"uid": "kept", "status": "kept", "nothing": None}, status={"a": 1}),
        {"spec": {"uid": "kept", "status": "kept", "nothing": None}},
        id="custom",
    ),
]


@pytest.mark.parametrize(("found", "expected"), STRIPPED)
def test_what_the_server_set_is_taken_away(found: Json, expected: Json) -> None:
    assert found == expected


def named(kind: str, name: str, **content: t.Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "s", **content.pop("m", {})},
        **content,
    }


LEFT_OUT = [
    pytest.param(named("ServiceAccount", "default"), "made by the cluster in every namespace", id="default-account"),
    pytest.param(named("ServiceAccount", "default", imagePullSecrets=[{"name": "p"}]), "", id="pull-secret"),
    pytest.param(named("ServiceAccount", "default", m={"annotations": {"role": "x"}}), "", id="cloud-role"),
    pytest.param(named("ConfigMap", "kube-root-ca.crt"), "made by the cluster in every namespace", id="root-ca"),
    pytest.param(named("ConfigMap", "x", m={"labels": {"owner": "helm"}}), "a release record of Helm", id="helm"),
    pytest.param(
        named("ConfigMap", "x", m={"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}),
        "an election of a leader",
        id="leader",
    ),
    pytest.param(named("ConfigMap", "x", m={"deletionTimestamp": "now"}), "being deleted", id="ending"),
    pytest.param(named("ConfigMap", "x"), "", id="plain"),
]


@pytest.mark.parametrize(("one", "reason"), LEFT_OUT)
def test_what_is_left_out(one: Json, reason: str) -> None:
    assert reason_to_leave_out(one) == reason


def test_what_seems_a_secret_is_named_without_its_value() -> None:
    env = [
        {"name": "DB_PASSWORD", "value": "hunter2"},
        {"name": "TOKEN", "valueFrom": {}},
        {"name": "PORT", "value": "1"},
    ]
    job = {"template": {"spec": {"containers": [{"name": "c", "env": env}]}}}
    found = plain_secrets(named("CronJob", "x", spec={"jobTemplate": {"spec": job}}))
    assert found == ["CronJob s/x: variable DB_PASSWORD of container c"]
    assert plain_secrets(named("ConfigMap", "x", data={"API_KEY": "hunter2", "b": "1"})) == [
        "ConfigMap s/x: key API_KEY"
    ]


def test_a_name_that_fills_a_path() -> None:
    long = [Identity(Kind("ConfigMap"), "s", "a" * 252 + end).path for end in "xy"]
    assert long[0] != long[1]
    assert all(len(part.encode()) <= 255 for path in long for part in path.split("/"))
    assert (
        Identity(Kind("Role", "rbac.authorization.k8s.io"), "s", "a:b").path
        == "s/Role.rbac.authorization.k8s.io/a:b.yaml"
    )
    assert Identity(Kind("Namespace"), "", "s").path == "_cluster/Namespace/s.yaml"
