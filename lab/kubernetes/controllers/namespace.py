"""Namespaces: what each gets when it is created, and its emptying when it is deleted."""

from __future__ import annotations

from ..requests import DeleteOptions
from ..resources import CATALOGUE
from ..storage import DELETED, Event
from .base import NAMESPACES, Context, Controller, Json, Key, key_of

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_ACCOUNTS = CATALOGUE.get("", "serviceaccounts")
_CONFIG_MAPS = CATALOGUE.get("", "configmaps")
_SERVICES = CATALOGUE.get("", "services")
_ROOT_CA = "kube-root-ca.crt"
_CONTENT = [resource for resource in CATALOGUE.all() if resource.namespaced and "delete" in resource.verbs]


def bootstrap(context: Context) -> None:
    """Create what every cluster has from its first moment."""
    for name in SYSTEM_NAMESPACES:
        if context.get(NAMESPACES, ("", name)) is None:
            context.create(NAMESPACES, "", {"metadata": {"name": name}})
    if context.get(_SERVICES, ("default", "kubernetes")) is None:
        ports = [{"name": "https", "port": 443, "targetPort": 6443}]
        metadata = {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}}
        context.create(_SERVICES, "default", {"metadata": metadata, "spec": {"ports": ports}})


class NamespaceController(Controller):
    """Gives each namespace its default service account and CA bundle; empties those that are being deleted."""

    def keys(self, event: Event) -> list[Key]:
        if event.resource == NAMESPACES.key:
            return [] if event.kind == DELETED else [key_of(event.object)]
        if event.kind != DELETED:
            return []
        # What a namespace always has comes back; and the last content to go lets a dying namespace go.
        namespace = event.object["metadata"].get("namespace", "")
        found = self.context.get(NAMESPACES, ("", namespace)) if namespace else None
        if found is None:
            return []
        is_kept = event.resource in (_ACCOUNTS.key, _CONFIG_MAPS.key)
        return [("", namespace)] if is_kept or found["metadata"].get("deletionTimestamp") else []

    def reconcile(self, key: Key) -> float | None:
        namespace = self.context.get(NAMESPACES, key)
        if namespace is None:
            return None
        if namespace["metadata"].get("deletionTimestamp"):
            self._empty(namespace)
        else:
            self._furnish(key[1])
        return None

    def _furnish(self, name: str) -> None:
        if self.context.get(_ACCOUNTS, (name, "default")) is None:
            self.context.create(_ACCOUNTS, name, {"metadata": {"name": "default"}})
        if self.context.get(_CONFIG_MAPS, (name, _ROOT_CA)) is None:
            # The lab's API speaks plain HTTP on loopback: there is no CA to trust.
            self.context.create(_CONFIG_MAPS, name, {"metadata": {"name": _ROOT_CA}, "data": {"ca.crt": ""}})

    def _empty(self, namespace: Json) -> None:
        name = namespace["metadata"]["name"]
        store = self.context.store
        for resource in _CONTENT:
            for obj in store.list(resource.key, name):
                if not obj["metadata"].get("deletionTimestamp"):
                    self.context.delete(resource, obj, DeleteOptions(propagation="Background"))
        if any(store.list(resource.key, name) for resource in _CONTENT):
            return

        def release(copy: Json) -> None:
            copy["spec"].pop("finalizers", None)

        self.context.modify(NAMESPACES, namespace, release)
