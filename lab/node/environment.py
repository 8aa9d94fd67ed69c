"""What a container's process finds in its environment."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from lab.node.cluster import Cluster, ClusterError

Document = dict[str, Any]
_VARIABLE = re.compile(r"\$\$|\$\((?P<name>[A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_SUBSCRIPT = re.compile(r"metadata\.(?P<map>labels|annotations)\['(?P<key>[^']+)'\]")


class ContainerConfigError(Exception):
    """The container's configuration names something that is not there, or that this node does not offer."""


class References:
    """The Secrets and ConfigMaps that containers name. The last known content serves while the API is away."""

    def __init__(self, cluster: Cluster) -> None:
        self._readers = {
            "secret": cluster.core.read_namespaced_secret,
            "configmap": cluster.core.read_namespaced_config_map,
        }
        self._cluster = cluster
        self._last: dict[tuple[str, str, str], dict[str, str]] = {}

    async def read(self, kind: str, namespace: str, name: str, optional: bool) -> dict[str, str]:
        """The values of one object; ContainerConfigError when it is missing and not optional."""
        key = (kind, namespace, name)
        try:
            document = await self._cluster.call(self._readers[kind], name, namespace)
        except ClusterError as error:
            if error.status == 404:
                self._last.pop(key, None)
                if optional:
                    return {}
                raise ContainerConfigError(f'{kind} "{name}" not found') from error
            if key not in self._last:
                raise ContainerConfigError(f"Failed to read {kind} {namespace}/{name}: {error}") from error
            return self._last[key]
        data = document.get("data") or {}
        self._last[key] = _decoded(data) if kind == "secret" else dict(data)
        return self._last[key]


def _decoded(data: Mapping[str, str]) -> dict[str, str]:
    return {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in data.items()}


async def container_environment(
    pod: Document, container: Document, references: References, addresses: Mapping[str, str]
) -> dict[str, str]:
    """The variables that the pod asks for, in the order in which they may refer to each other.

    ``addresses`` holds ``podIP`` and ``hostIP``. Raises ContainerConfigError.
    """
    found: dict[str, str] = {}
    namespace = pod["metadata"]["namespace"]
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix") or ""
        for kind, field in (("secret", "secretRef"), ("configmap", "configMapRef")):
            if reference := source.get(field):
                values = await references.read(kind, namespace, reference["name"], bool(reference.get("optional")))
                found |= {prefix + key: value for key, value in values.items()}
    for entry in container.get("env") or []:
        if "valueFrom" in entry:
            value = await _value_from(pod, entry["valueFrom"], references, addresses)
            if value is not None:
                found[entry["name"]] = value
        else:
            found[entry["name"]] = expand(entry.get("value") or "", found)
    return found


async def _value_from(
    pod: Document, source: Document, references: References, addresses: Mapping[str, str]
) -> str | None:
    for kind, field in (("secret", "secretKeyRef"), ("configmap", "configMapKeyRef")):
        if reference := source.get(field):
            return await _key(pod["metadata"]["namespace"], kind, reference, references)
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"], addresses)
    raise ContainerConfigError(f"this node does not offer {', '.join(source)}")


async def _key(namespace: str, kind: str, reference: Document, references: References) -> str | None:
    optional = bool(reference.get("optional"))
    values = await references.read(kind, namespace, reference["name"], optional)
    if reference["key"] in values:
        return values[reference["key"]]
    if optional:
        return None
    raise ContainerConfigError(f"couldn't find key {reference['key']} in {kind} {namespace}/{reference['name']}")


def _field(pod: Document, path: str, addresses: Mapping[str, str]) -> str:
    metadata, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.fullmatch(path):
        return str((metadata.get(match["map"]) or {}).get(match["key"], ""))
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec["nodeName"],
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.podIP": addresses["podIP"],
        "status.podIPs": addresses["podIP"],
        "status.hostIP": addresses["hostIP"],
        "status.hostIPs": addresses["hostIP"],
    }
    if path not in known:
        raise ContainerConfigError(f"this node does not offer the field {path}")
    return str(known[path])


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by a variable's value; ``$$`` stands for ``$``, and an unknown name stays as it is."""

    def replacement(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        return variables.get(match["name"], match[0])

    return _VARIABLE.sub(replacement, text)
