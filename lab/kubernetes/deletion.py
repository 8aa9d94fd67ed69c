"""Delete: preconditions, grace, finalizers and propagation."""

from __future__ import annotations

from typing import Any

from .errors import conflict
from .reading import Selection, get
from .requests import DeleteOptions, Result
from .resources import Resource
from .storage import Store
from .values import seconds_from_now

Json = dict[str, Any]
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
# Kinds whose deletion answers with the object; the others answer with a Status.
_RETURNED = frozenset(
    {"Pod", "PersistentVolume", "PersistentVolumeClaim", "PodTemplate", "ResourceQuota", "ServiceAccount", "Service"}
)


class Deleter:
    """Marks objects for deletion, or removes them where nothing holds them back."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> Result:
        """Delete one object. ApiError 404 where there is none, 409 where a precondition does not hold."""
        obj = get(self._store, resource, namespace, name)
        self._check(resource, obj, options)
        grace = _grace(resource, obj, options)
        finalizers = _finalizers(obj, options)
        held = finalizers or (resource.kind == "Namespace" and obj["spec"].get("finalizers"))
        if held or grace:
            return Result(self._mark(resource, obj, grace, finalizers, options))
        last = self._remove(resource, obj, options)
        return Result(last if resource.kind in _RETURNED else _success(resource, last))

    def delete_collection(self, resource: Resource, chosen: Selection, options: DeleteOptions) -> Result:
        """Delete every selected object; answers with the list of them."""
        deleted = []
        for obj in self._store.list(resource.key, chosen.namespace):
            metadata = obj["metadata"]
            if chosen.selects(obj):
                self.delete(resource, metadata.get("namespace", ""), metadata["name"], options)
                deleted.append({key: value for key, value in obj.items() if key not in ("kind", "apiVersion")})
        metadata = {"resourceVersion": str(self._store.revision)}
        return Result(
            {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata, "items": deleted}
        )

    @staticmethod
    def _check(resource: Resource, obj: Json, options: DeleteOptions) -> None:
        metadata = obj["metadata"]
        for label, wanted, actual in (
            ("UID", options.uid, metadata["uid"]),
            ("ResourceVersion", options.resource_version, metadata["resourceVersion"]),
        ):
            if wanted is not None and wanted != actual:
                why = f"Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {actual}"
                raise conflict(resource, metadata["name"], why)

    def _mark(self, resource: Resource, obj: Json, grace: int, finalizers: list[str], options: DeleteOptions) -> Json:
        before = obj["metadata"]
        metadata = dict(before)
        if finalizers:
            metadata["finalizers"] = finalizers
        else:
            metadata.pop("finalizers", None)
        is_shorter = grace < before.get("deletionGracePeriodSeconds", 0)
        if "deletionTimestamp" not in before or is_shorter:
            metadata["deletionTimestamp"] = seconds_from_now(grace)
            metadata["deletionGracePeriodSeconds"] = grace
        if "deletionTimestamp" not in before and before.get("generation"):
            metadata["generation"] = before["generation"] + 1
        marked = {**obj, "metadata": metadata}
        if resource.kind == "Namespace":
            marked["status"] = {**obj.get("status", {}), "phase": "Terminating"}
        if metadata == before or options.dry_run:
            return marked
        return self._store.put(resource.key, marked)

    def _remove(self, resource: Resource, obj: Json, options: DeleteOptions) -> Json:
        if resource.kind == "Pod":
            stamps = {"deletionTimestamp": seconds_from_now(0), "deletionGracePeriodSeconds": 0}
            obj = {**obj, "metadata": {**obj["metadata"], **stamps}}
        return obj if options.dry_run else self._store.remove(resource.key, obj)


def _grace(resource: Resource, obj: Json, options: DeleteOptions) -> int:
    """Seconds that the object may take: only pods that run on a node take any."""
    if resource.kind != "Pod":
        return 0
    is_over = obj.get("status", {}).get("phase") in ("Succeeded", "Failed")
    if is_over or not obj["spec"].get("nodeName"):
        return 0
    grace = options.grace_seconds
    if grace is None:
        grace = int(obj["spec"].get("terminationGracePeriodSeconds", 30))
    current = obj["metadata"].get("deletionGracePeriodSeconds")
    return grace if current is None else min(grace, current)


def _finalizers(obj: Json, options: DeleteOptions) -> list[str]:
    present = list(obj["metadata"].get("finalizers") or [])
    if options.propagation is None:
        return present
    others = [name for name in present if name not in (FOREGROUND, ORPHAN)]
    added = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(options.propagation, [])
    return others + added


def _success(resource: Resource, obj: Json) -> Json:
    metadata = obj["metadata"]
    details = {"name": metadata["name"], "group": resource.group, "kind": resource.plural, "uid": metadata["uid"]}
    if not resource.group:
        del details["group"]
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
