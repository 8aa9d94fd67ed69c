# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the pods of manifests need beside them: secrets, config maps, accounts and claims, which have to be there.

The API takes a workload whose secret is missing, and its pods then wait for ever: a dry run does not show that.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from urllib.parse import quote

from .kubernetes_api import METADATA_ONLY, Denied, Json, KubernetesApi, NotFound
from .manifests_model import Identity, Kind, Manifest

_PLURALS = {
    "Secret": "secrets",
    "ConfigMap": "configmaps",
    "ServiceAccount": "serviceaccounts",
    "PersistentVolumeClaim": "persistentvolumeclaims",
}


def needed_by(manifest: Manifest) -> set[Identity]:
    """Return what the pods of an object cannot start without; what is optional is not in it."""
    pod = _pod(manifest.raw)
    namespace = manifest.identity.namespace
    found = {(kind, name) for kind, name in _references(pod) if isinstance(name, str) and name}
    return {Identity(Kind(kind), namespace, name) for kind, name in found}


class References:
    """Looks, once each, whether things are there."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._known: dict[Identity, bool | None] = {}

    def exists(self, identity: Identity) -> bool | None:
        """Return whether it is there; None where the credentials may not see it. Only its name is read."""
        if identity not in self._known:
            self._known[identity] = self._ask(identity)
        return self._known[identity]

    def _ask(self, identity: Identity) -> bool | None:
        namespace, name = quote(identity.namespace, safe=""), quote(identity.name, safe="")
        try:
            self._api.get(f"/api/v1/namespaces/{namespace}/{_PLURALS[identity.kind.name]}/{name}", METADATA_ONLY)
            return True
        except NotFound:
            return False
        except Denied:
            return None


def _pod(raw: Json) -> Json:
    spec = raw.get("spec") or {}
    if raw["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    if raw["kind"] == "Pod":
        return spec
    template = spec.get("template")
    return (template.get("spec") or {}) if isinstance(template, dict) else {}


def _references(pod: Json) -> t.Iterator[tuple[str, t.Any]]:
    account = pod.get("serviceAccountName")
    if account and account != "default":  # that one every namespace gets
        yield "ServiceAccount", account
    for secret in pod.get("imagePullSecrets") or []:
        yield "Secret", secret.get("name")
    for volume in pod.get("volumes") or []:
        yield from _of_volume(volume)
    for container in [*(pod.get("containers") or []), *(pod.get("initContainers") or [])]:
        yield from _of_container(container)


def _of_volume(volume: Json) -> t.Iterator[tuple[str, t.Any]]:
    secret = volume.get("secret") or {}
    if not secret.get("optional"):
        yield "Secret", secret.get("secretName")
    yield "PersistentVolumeClaim", (volume.get("persistentVolumeClaim") or {}).get("claimName")
    for source in [volume, *((volume.get("projected") or {}).get("sources") or [])]:
        for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            one = source.get(key) or {}
            if not one.get("optional"):
                yield kind, one.get("name")


def _of_container(container: Json) -> t.Iterator[tuple[str, t.Any]]:
    sources = [(one.get("secretRef"), one.get("configMapRef")) for one in container.get("envFrom") or []]
    values = [one.get("valueFrom") or {} for one in container.get("env") or []]
    sources += [(one.get("secretKeyRef"), one.get("configMapKeyRef")) for one in values]
    for secret, config in sources:
        for kind, one in (("Secret", secret), ("ConfigMap", config)):
            if one and not one.get("optional"):
                yield kind, one.get("name")
