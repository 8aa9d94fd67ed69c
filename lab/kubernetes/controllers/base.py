"""What every controller builds on: access to the store, the owner index, and events that people read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..deletion import Deleter
from ..errors import ApiError
from ..requests import DeleteOptions, WriteOptions
from ..resources import CATALOGUE, Resource
from ..storage import DELETED, Event, Store
from ..values import clone, random_suffix, timestamp
from ..writing import Writer

Json = dict[str, Any]
Key = tuple[str, str]
MANAGER = "kube-controller-manager"
KEPT_EVENTS = 300

PODS = CATALOGUE.get("", "pods")
NODES = CATALOGUE.get("", "nodes")
NAMESPACES = CATALOGUE.get("", "namespaces")
EVENTS = CATALOGUE.get("", "events")
DEPLOYMENTS = CATALOGUE.get("apps", "deployments")
REPLICA_SETS = CATALOGUE.get("apps", "replicasets")
STATEFUL_SETS = CATALOGUE.get("apps", "statefulsets")
LEASES = CATALOGUE.get("coordination.k8s.io", "leases")


def key_of(obj: Json) -> Key:
    """The namespace and name of an object."""
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def controller_of(obj: Json) -> Json | None:
    """The owner reference of the object that manages this one, or None."""
    references = obj["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def owner_reference(owner: Json) -> Json:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(obj: Json, kind: str) -> Json | None:
    """The status condition of that type, or None."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == kind), None)


def is_true(obj: Json, kind: str) -> bool:
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def is_active(pod: Json) -> bool:
    """A pod that runs or will: neither over nor being deleted."""
    return not is_over(pod) and not pod["metadata"].get("deletionTimestamp")


def is_over(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


class OwnerIndex:
    """Which objects name which owner, kept as the store changes."""

    def __init__(self) -> None:
        self._owned: dict[str, set[tuple[str, str, str]]] = {}

    def observe(self, event: Event) -> None:
        place = (event.resource, *key_of(event.object))
        if event.previous is not None:
            for uid in _owners(event.previous):
                self._owned.get(uid, set()).discard(place)
        if event.kind != DELETED:
            for uid in _owners(event.object):
                self._owned.setdefault(uid, set()).add(place)

    def places(self, uid: str) -> list[tuple[str, str, str]]:
        """Resource key, namespace and name of every object that names this owner."""
        return sorted(self._owned.get(uid, ()))


def _owners(obj: Json) -> Iterator[str]:
    for reference in obj["metadata"].get("ownerReferences") or []:
        yield reference["uid"]


@dataclass
class Context:
    """What controllers share."""

    store: Store
    writer: Writer
    deleter: Deleter
    node_grace_seconds: float
    owners: OwnerIndex = field(default_factory=OwnerIndex)

    def get(self, resource: Resource, key: Key) -> Json | None:
        return self.store.get(resource.key, *key)

    def owned(self, owner: Json, resource: Resource) -> list[Json]:
        """The objects of a resource that name this owner, by name."""
        places = self.owners.places(owner["metadata"]["uid"])
        found = (self.store.get(*place) for place in places if place[0] == resource.key)
        return [obj for obj in found if obj is not None]

    def create(self, resource: Resource, namespace: str, obj: Json, manager: str = MANAGER) -> Json:
        return self.writer.create(resource, namespace, obj, WriteOptions(manager)).object

    def modify(
        self,
        resource: Resource,
        obj: Json,
        change: Callable[[Json], None],
        subresource: str = "",
        manager: str = MANAGER,
    ) -> Json:
        """Store the object with ``change`` made to it in place; nothing is written where that changes nothing."""

        def changed(copy: Json) -> Json:
            change(copy)
            return copy

        namespace, name = key_of(obj)
        return self.writer.modify(resource, namespace, name, changed, WriteOptions(manager), subresource).object

    def set_status(self, resource: Resource, obj: Json, status: Json) -> Json:
        """Store the object's status where it differs."""
        if obj.get("status") == status:
            return obj
        return self.modify(resource, obj, lambda copy: copy.update(status=clone(status)), "status")

    def delete(self, resource: Resource, obj: Json, options: DeleteOptions | None = None) -> None:
        """Delete the object; that it is gone already is as good."""
        try:
            self.deleter.delete(resource, *key_of(obj), options or DeleteOptions())
        except ApiError as problem:
            if problem.code != 404:
                raise

    def record(self, about: Json, reason: str, message: str, *, kind: str = "Normal", source: str = MANAGER) -> None:
        """Leave an Event that tells people what a controller did; the same one again counts up."""
        namespace = about["metadata"].get("namespace") or "default"
        uid, moment = about["metadata"]["uid"], timestamp()
        mine = sorted(self.store.each(EVENTS.key), key=lambda event: int(event["metadata"]["resourceVersion"]))
        for event in mine:
            if event["involvedObject"].get("uid") == uid and (event["reason"], event["message"]) == (reason, message):
                self.modify(
                    EVENTS, event, lambda copy: copy.update(count=copy.get("count", 1) + 1, lastTimestamp=moment)
                )
                return
        for event in mine[: max(0, len(mine) - KEPT_EVENTS + 1)]:
            self.store.remove(EVENTS.key, event)
        involved = {
            "kind": about["kind"],
            "namespace": about["metadata"].get("namespace", ""),
            "name": about["metadata"]["name"],
        }
        if not involved["namespace"]:
            del involved["namespace"]
        self._try_event(
            namespace,
            {
                "metadata": {"name": f"{about['metadata']['name']}.{random_suffix(16)}"},
                "involvedObject": {**involved, "uid": uid, "apiVersion": about["apiVersion"]},
                "reason": reason, "message": message, "type": kind, "count": 1, "source": {"component": source},
                "firstTimestamp": moment, "lastTimestamp": moment, "eventTime": None,
                "reportingComponent": source, "reportingInstance": "",
            },
        )  # fmt: skip

    def _try_event(self, namespace: str, event: Json) -> None:
        try:
            self.create(EVENTS, namespace, event)
        except ApiError as problem:
            # A namespace that is going takes no events; the deed it tells of is done all the same.
            if problem.code not in (403, 404):
                raise


class Controller:
    """Brings the objects behind keys towards their spec. Subclasses say which keys an event concerns."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def keys(self, event: Event) -> list[Key]:
        """The keys to reconcile after a write. Called within the write: only look, write nothing."""
        raise NotImplementedError

    def reconcile(self, key: Key) -> float | None:
        """Act on one key; the seconds after which to look again without an event, or None."""
        raise NotImplementedError
