"""Create, update and patch: one path from what a client sent to what is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import errors, managed
from .admission import WITH_GENERATION, admit, identify, inherit
from .decoding import decode
from .defaults import apply_defaults, initial_status
from .managed import APPLY, UPDATE, Manager
from .reading import get
from .requests import IGNORE, STRICT, Result, WriteOptions
from .resources import Resource
from .schema import SCHEMA, Struct
from .storage import Store
from .validation import validate
from .values import clone

Json = dict[str, Any]
Change = Callable[[Json], Json]
# Kinds that a PUT may create, as in the real server.
_CREATED_BY_PUT = frozenset({"Lease", "Event", "Endpoints"})
_NO_CONTROLLER = frozenset(
    {
        "DaemonSet", "ReplicationController", "HorizontalPodAutoscaler", "PersistentVolumeClaim", "PersistentVolume",
        "Job", "CronJob", "Ingress", "ResourceQuota", "LimitRange",
    }
)  # fmt: skip
_KEPT_METADATA = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "generateName",
)


class Writer:
    """Stores what requests ask for, after decoding, defaults, admission and validation."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, resource: Resource, namespace: str, body: Json, options: WriteOptions) -> Result:
        """Store a new object. ApiError 400, 403, 409 or 422 where it cannot be."""
        warnings: list[str] = []
        obj = self._decoded(resource, body, options, warnings)
        if obj["metadata"].get("resourceVersion"):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        self._check_place(resource, namespace, None, obj)
        self._prepare_new(resource, namespace, obj)
        without_status = {key: value for key, value in obj.items() if key != "status" or not resource.has_status}
        obj["metadata"].pop("managedFields", None)
        managed.track_update({"metadata": {}}, without_status, self._manager(resource, options), self._type(resource))
        return self._store_new(resource, obj, options, warnings)

    def replace(
        self, resource: Resource, namespace: str, name: str, body: Json, options: WriteOptions, subresource: str = ""
    ) -> Result:
        """Store an object over the present one; a resourceVersion in it must be the present one's."""
        warnings: list[str] = []
        obj = self._decoded(resource, body, options, warnings)
        self._check_place(resource, namespace, name, obj)
        before = self._store.get(resource.key, namespace, name)
        if before is None and resource.kind in _CREATED_BY_PUT:
            return self.create(resource, namespace, body, options)
        before = get(self._store, resource, namespace, name)
        stored = self._save(resource, before, obj, options, subresource)
        return Result(stored, warnings=warnings)

    def modify(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Change,
        options: WriteOptions,
        subresource: str = "",
        tracked_as: str | None = None,
    ) -> Result:
        """Store the result of ``change`` on a copy of the present object (patches, and what the controllers do)."""
        before = get(self._store, resource, namespace, name)
        warnings: list[str] = []
        after = self._decoded(resource, change(clone(before)), options, warnings)
        self._check_place(resource, namespace, name, after)
        stored = self._save(resource, before, after, options, subresource, tracked_as=tracked_as)
        return Result(stored, warnings=warnings)

    def apply(
        self, resource: Resource, namespace: str, name: str, body: Json, options: WriteOptions, subresource: str = ""
    ) -> Result:
        """Server-side apply. ApiError 409 names the managers whose fields it would change."""
        if (body.get("metadata") or {}).get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        warnings: list[str] = []
        applied = self._decoded(
            resource, {**body, "metadata": {"name": name, **(body.get("metadata") or {})}}, options, warnings
        )
        self._check_place(resource, namespace, name, applied)
        manager = self._manager(resource, options, APPLY, subresource)
        before = self._store.get(resource.key, namespace, name)
        if before is None:
            return self._apply_new(resource, namespace, applied, manager, options, warnings)
        version = applied["metadata"].pop("resourceVersion", None)
        after = managed.apply(before, applied, manager, self._type(resource), force=options.force)
        if version is not None:
            after["metadata"]["resourceVersion"] = version
        return Result(self._save(resource, before, clone(after), options, subresource, track=False), warnings=warnings)

    def _apply_new(
        self,
        resource: Resource,
        namespace: str,
        applied: Json,
        manager: Manager,
        options: WriteOptions,
        warnings: list[str],
    ) -> Result:
        empty: Json = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}}
        obj = managed.apply(empty, applied, manager, self._type(resource), force=True)
        entries = obj["metadata"].pop("managedFields", None)
        self._prepare_new(resource, namespace, obj)
        if entries:
            obj["metadata"]["managedFields"] = entries
        return self._store_new(resource, obj, options, warnings)

    def _prepare_new(self, resource: Resource, namespace: str, obj: Json) -> None:
        identify(resource, obj, namespace)
        status = initial_status(resource.kind)
        if status is not None:
            obj["status"] = status
        apply_defaults(resource, obj)
        causes = validate(resource, obj, None)
        if causes:
            raise errors.invalid(resource, obj["metadata"].get("name", ""), causes)

    def _store_new(self, resource: Resource, obj: Json, options: WriteOptions, warnings: list[str]) -> Result:
        """Admit and store; what admission adds, no manager owns."""
        admit(self._store, resource, obj)
        namespace, name = obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
        if self._store.get(resource.key, namespace, name) is not None:
            raise errors.already_exists(resource, name)
        if resource.kind in _NO_CONTROLLER:
            warnings.append(f"{resource.kind} is stored, but no controller of this emulator acts on it")
        if not options.dry_run:
            obj = self._store.put(resource.key, obj)
        return Result(obj, 201, warnings)

    def _save(
        self,
        resource: Resource,
        before: Json,
        after: Json,
        options: WriteOptions,
        subresource: str,
        *,
        track: bool = True,
        tracked_as: str | None = None,
    ) -> Json:
        """Check the new state against the present one and store it; a change of nothing is no write."""
        name = before["metadata"]["name"]
        self._check_identity(resource, before, after)
        after = self._confine(resource, before, after, subresource)
        inherit(resource, before, after)
        apply_defaults(resource, after)
        if subresource != "status":
            causes = validate(resource, after, before)
            if causes:
                raise errors.invalid(resource, name, causes)
        self._count_generation(resource, before, after, subresource)
        if track:
            after["metadata"].pop("managedFields", None)
            if "managedFields" in before["metadata"]:
                after["metadata"]["managedFields"] = before["metadata"]["managedFields"]
            through = subresource if tracked_as is None else tracked_as
            manager = self._manager(resource, options, UPDATE, through)
            # A Scale of none leaves its replicas out, and so nobody comes to own them.
            owns = through != "scale" or bool(after["spec"].get("replicas"))
            managed.track_update(before, after, manager, self._type(resource), owns=owns)
        if after == before or options.dry_run:
            return after
        if _is_finished(after):
            return self._store.remove(resource.key, after)
        return self._store.put(resource.key, after)

    def _check_identity(self, resource: Resource, before: Json, after: Json) -> None:
        name = before["metadata"]["name"]
        version = after["metadata"].get("resourceVersion")
        uid = after["metadata"].get("uid")
        if uid and uid != before["metadata"]["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {before['metadata']['uid']}"
            raise errors.conflict(resource, name, why)
        if version and version != before["metadata"]["resourceVersion"]:
            raise errors.modified(resource, name)

    def _confine(self, resource: Resource, before: Json, after: Json, subresource: str) -> Json:
        """Undo what this endpoint may not change: the status through the object, the rest through the status."""
        after = {**after, "metadata": dict(after["metadata"])}
        if subresource == "status":
            metadata = dict(before["metadata"])
            mutable = ("labels", "annotations") if resource.kind in ("Pod", "Node") else ("annotations",)
            for key in (*mutable, "managedFields"):
                metadata.pop(key, None)
                if key in after["metadata"]:
                    metadata[key] = after["metadata"][key]
            after = {**before, "metadata": metadata, "status": after.get("status", {})}
        elif resource.has_status:
            after.pop("status", None)
            if "status" in before:
                after["status"] = before["status"]
        for key in _KEPT_METADATA:
            after["metadata"].pop(key, None)
            if key in before["metadata"]:
                after["metadata"][key] = before["metadata"][key]
        after["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        if resource.namespaced:
            after["metadata"]["namespace"] = before["metadata"]["namespace"]
        return clone(after) if subresource == "status" or resource.has_status else after

    @staticmethod
    def _count_generation(resource: Resource, before: Json, after: Json, subresource: str) -> None:
        if resource.kind not in WITH_GENERATION:
            return
        ignored = ("metadata", "status")
        changed = any(before.get(key) != after.get(key) for key in before.keys() | after.keys() if key not in ignored)
        if resource.kind == "Deployment" and subresource != "status":
            # A deployment hands its annotations on to its ReplicaSets, so they count as a change to act on.
            changed |= before["metadata"].get("annotations") != after["metadata"].get("annotations")
        after["metadata"]["generation"] = before["metadata"].get("generation", 0) + (1 if changed else 0)

    def _decoded(self, resource: Resource, body: Json, options: WriteOptions, warnings: list[str]) -> Json:
        if not isinstance(body, dict):
            raise errors.bad_request("the object provided is unrecognized (must be of type Object)")
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}, **body}
        given = (body["apiVersion"], body["kind"])
        if given != (resource.api_version, resource.kind):
            version = str(given[0]).rpartition("/")[2]
            raise errors.bad_request(
                f'{given[1]} in version "{version}" cannot be handled as a {resource.kind}: the request is for '
                f"{resource.api_version} {resource.kind}, its body for {given[0]} {given[1]}"
            )
        decoded = decode(body, self._type(resource))
        unknown = [f'unknown field "{path}"' for path in decoded.unknown]
        if unknown and options.validation == STRICT:
            version = resource.version
            raise errors.bad_request(
                f'{resource.kind} in version "{version}" cannot be handled as a {resource.kind}: '
                f"strict decoding error: {', '.join(unknown)}"
            )
        if options.validation != IGNORE:
            warnings += unknown
        decoded.object.setdefault("metadata", {})
        return decoded.object

    @staticmethod
    def _check_place(resource: Resource, namespace: str, name: str | None, obj: Json) -> None:
        metadata = obj["metadata"]
        if name is not None and metadata.setdefault("name", name) != name:
            given = metadata["name"]
            raise errors.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
        if resource.namespaced and metadata.setdefault("namespace", namespace) != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )

    @staticmethod
    def _type(resource: Resource) -> Struct:
        return SCHEMA.of_kind(resource.api_version, resource.kind)

    @staticmethod
    def _manager(resource: Resource, options: WriteOptions, operation: str = UPDATE, subresource: str = "") -> Manager:
        return Manager(options.manager, operation, resource.api_version, subresource)


def _is_finished(obj: Json) -> bool:
    """A deletion waits for finalizers and grace; without any left the object goes."""
    metadata = obj["metadata"]
    waits = metadata.get("finalizers") or ((obj.get("spec") or {}).get("finalizers") and obj["kind"] == "Namespace")
    return bool(metadata.get("deletionTimestamp")) and not waits and not metadata.get("deletionGracePeriodSeconds")
