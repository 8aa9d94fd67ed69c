"""Garbage collection: dependents go with their owners, in the foreground, the background, or not at all."""

from __future__ import annotations

from ..deletion import FOREGROUND, ORPHAN
from ..requests import DeleteOptions
from ..resources import CATALOGUE, Resource
from ..storage import DELETED, Event
from .base import Controller, Json, Key, key_of

_BY_KEY: dict[str, Resource] = {resource.key: resource for resource in CATALOGUE.all()}


class GarbageCollector(Controller):
    """Keys are ``(resource key, "namespace/name")``."""

    def keys(self, event: Event) -> list[Key]:
        metadata = event.object["metadata"]
        if event.kind == DELETED:
            dependents = [(place[0], f"{place[1]}/{place[2]}") for place in self.context.owners.places(metadata["uid"])]
            return dependents + self._waiting_owners(event.object)
        is_leaving = metadata.get("deletionTimestamp") and metadata.get("finalizers")
        is_new_dependent = event.previous is None and metadata.get("ownerReferences")
        if is_leaving or is_new_dependent:
            return [(event.resource, "/".join(key_of(event.object)))]
        return []

    def _waiting_owners(self, obj: Json) -> list[Key]:
        found: list[Key] = []
        for reference in obj["metadata"].get("ownerReferences") or []:
            resource = CATALOGUE.of_kind(reference["apiVersion"], reference["kind"])
            if resource is None:
                continue
            owner = self._owner(obj, reference, resource)
            if owner is not None and owner["metadata"].get("deletionTimestamp"):
                found.append((resource.key, "/".join(key_of(owner))))
        return found

    def reconcile(self, key: Key) -> float | None:
        resource = _BY_KEY[key[0]]
        namespace, _, name = key[1].partition("/")
        obj = self.context.get(resource, (namespace, name))
        if obj is None:
            return None
        finalizers = obj["metadata"].get("finalizers") or []
        if obj["metadata"].get("deletionTimestamp") and FOREGROUND in finalizers:
            self._delete_dependents(resource, obj)
        elif obj["metadata"].get("deletionTimestamp") and ORPHAN in finalizers:
            self._orphan_dependents(resource, obj)
        elif obj["metadata"].get("ownerReferences"):
            self._follow_owners(resource, obj)
        return None

    def _dependents(self, obj: Json) -> list[tuple[Resource, Json]]:
        places = self.context.owners.places(obj["metadata"]["uid"])
        found = ((_BY_KEY[place[0]], self.context.store.get(*place)) for place in places)
        return [(resource, dependent) for resource, dependent in found if dependent is not None]

    def _delete_dependents(self, resource: Resource, obj: Json) -> None:
        uid = obj["metadata"]["uid"]
        blocking = False
        for kind, dependent in self._dependents(obj):
            references = dependent["metadata"]["ownerReferences"]
            blocking |= any(item["uid"] == uid and item.get("blockOwnerDeletion") for item in references)
            if not dependent["metadata"].get("deletionTimestamp"):
                self._delete_or_release(kind, dependent, uid, "Foreground")
        if not blocking:
            self._drop_finalizer(resource, obj, FOREGROUND)

    def _orphan_dependents(self, resource: Resource, obj: Json) -> None:
        for kind, dependent in self._dependents(obj):
            self._release(kind, dependent, {obj["metadata"]["uid"]})
        self._drop_finalizer(resource, obj, ORPHAN)

    def _follow_owners(self, resource: Resource, obj: Json) -> None:
        """Without any owner left the object goes; with some left it only forgets the missing ones."""
        missing, solid = set(), 0
        waits = False
        for reference in obj["metadata"]["ownerReferences"]:
            kind = CATALOGUE.of_kind(reference["apiVersion"], reference["kind"])
            owner = self._owner(obj, reference, kind) if kind is not None else None
            if kind is not None and owner is None:
                missing.add(reference["uid"])
            elif owner is not None and _waits(owner):
                waits = True
            else:
                solid += 1
        if obj["metadata"].get("deletionTimestamp"):
            return
        if solid:
            if missing:
                self._release(resource, obj, missing)
        elif missing or waits:
            policy = "Foreground" if waits else "Background"
            self.context.delete(resource, obj, DeleteOptions(propagation=policy, uid=obj["metadata"]["uid"]))

    def _owner(self, obj: Json, reference: Json, resource: Resource) -> Json | None:
        namespace = obj["metadata"].get("namespace", "") if resource.namespaced else ""
        owner = self.context.get(resource, (namespace, reference["name"]))
        return owner if owner is not None and owner["metadata"]["uid"] == reference["uid"] else None

    def _delete_or_release(self, resource: Resource, dependent: Json, uid: str, policy: str) -> None:
        others = [item for item in dependent["metadata"]["ownerReferences"] if item["uid"] != uid]
        if others:
            self._release(resource, dependent, {uid})
        else:
            self.context.delete(resource, dependent, DeleteOptions(propagation=policy))

    def _release(self, resource: Resource, obj: Json, owners: set[str]) -> None:
        def forget(copy: Json) -> None:
            kept = [item for item in copy["metadata"].get("ownerReferences", []) if item["uid"] not in owners]
            copy["metadata"].pop("ownerReferences", None)
            if kept:
                copy["metadata"]["ownerReferences"] = kept

        self.context.modify(resource, obj, forget)

    def _drop_finalizer(self, resource: Resource, obj: Json, finalizer: str) -> None:
        def drop(copy: Json) -> None:
            kept = [item for item in copy["metadata"].get("finalizers", []) if item != finalizer]
            copy["metadata"].pop("finalizers", None)
            if kept:
                copy["metadata"]["finalizers"] = kept

        self.context.modify(resource, obj, drop)


def _waits(owner: Json) -> bool:
    metadata = owner["metadata"]
    return bool(metadata.get("deletionTimestamp")) and FOREGROUND in (metadata.get("finalizers") or [])
