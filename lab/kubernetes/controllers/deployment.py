"""Deployments: a ReplicaSet for each revision, and the way from one to the next."""

from __future__ import annotations

from typing import Any

from ..errors import ApiError
from ..selectors import match_labels
from ..storage import DELETED, Event
from .base import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    Controller,
    Key,
    condition,
    controller_of,
    is_over,
    key_of,
    owner_reference,
)
from .deployment_status import (
    PAUSED,
    PROGRESSING,
    RESUMED,
    TIMED_OUT,
    counted,
    deadline_left,
    has_deadline,
    is_complete,
    new_condition,
    rollout_status,
    set_condition,
)  # fmt: skip
from .revisions import (
    DESIRED,
    REVISION,
    annotations_for,
    by_age,
    find_new,
    is_rolling,
    new_replica_set,
    plain_template,
    revision_of,
    size_annotations,
    total_size,
    wanted_size,
)  # fmt: skip
from .rollout import new_size, proportional_sizes, scaled_down_sizes

Json = dict[str, Any]


class DeploymentController(Controller):
    """Keeps a deployment's ReplicaSets at the sizes its strategy asks for and reports how far it has come."""

    def keys(self, event: Event) -> list[Key]:
        if event.resource == DEPLOYMENTS.key:
            return [] if event.kind == DELETED else [key_of(event.object)]
        if event.resource == REPLICA_SETS.key:
            return self._owner_key(event.object)
        if event.resource == PODS.key and event.kind == DELETED:
            owner = controller_of(event.object)
            if owner is not None and owner["kind"] == "ReplicaSet":
                place = (event.object["metadata"]["namespace"], owner["name"])
                replica_set = self.context.get(REPLICA_SETS, place)
                return self._owner_key(replica_set) if replica_set is not None else []
        return []

    def _owner_key(self, replica_set: Json) -> list[Key]:
        owner = controller_of(replica_set)
        namespace = replica_set["metadata"]["namespace"]
        if owner is not None:
            return [(namespace, owner["name"])] if owner["kind"] == "Deployment" else []
        labels = replica_set["metadata"].get("labels")
        found = self.context.store.list(DEPLOYMENTS.key, namespace)
        return [key_of(item) for item in found if match_labels(item["spec"]["selector"], labels)]

    def reconcile(self, key: Key) -> float | None:
        deployment = self.context.get(DEPLOYMENTS, key)
        if deployment is None:
            return None
        replica_sets = self._claim(deployment)
        if deployment["metadata"].get("deletionTimestamp"):
            status = counted(deployment, replica_sets, find_new(deployment, replica_sets))
            self.context.set_status(DEPLOYMENTS, deployment, status)
            return None
        deployment = self._note_pause(deployment)
        if deployment["spec"].get("paused") or self._is_scaling(deployment, replica_sets):
            return self._scale(deployment, replica_sets)
        if is_rolling(deployment):
            return self._roll(deployment, replica_sets)
        return self._recreate(deployment, replica_sets)

    def _claim(self, deployment: Json) -> list[Json]:
        """The deployment's ReplicaSets, matching ones without a controller adopted."""
        if deployment["metadata"].get("deletionTimestamp"):
            return self.context.owned(deployment, REPLICA_SETS)
        for item in self.context.store.list(REPLICA_SETS.key, deployment["metadata"]["namespace"]):
            matches = match_labels(deployment["spec"]["selector"], item["metadata"].get("labels"))
            if controller_of(item) is None and matches and not item["metadata"].get("deletionTimestamp"):
                self.context.modify(REPLICA_SETS, item, lambda copy: _adopt(copy, deployment))
        return self.context.owned(deployment, REPLICA_SETS)

    @staticmethod
    def _is_scaling(deployment: Json, replica_sets: list[Json]) -> bool:
        """Whether the wanted number has changed since the ReplicaSets were last sized."""
        wanted = str(deployment["spec"]["replicas"])
        active = [item for item in replica_sets if wanted_size(item)]
        if len(active) > 1 and not is_rolling(deployment):
            return False
        sizes = [(item["metadata"].get("annotations") or {}).get(DESIRED) for item in active]
        return any(size is not None and size != wanted for size in sizes)

    def _note_pause(self, deployment: Json) -> Json:
        """Say in Progressing that the deployment was paused or goes on; a pause stops the progress deadline."""
        present = condition(deployment, PROGRESSING)
        is_paused = bool(deployment["spec"].get("paused"))
        was_paused = present is not None and present["reason"] == PAUSED
        is_late = present is not None and present["reason"] == TIMED_OUT
        if not has_deadline(deployment) or is_late or is_paused == was_paused:
            return deployment
        reason, text = (PAUSED, "Deployment is paused") if is_paused else (RESUMED, "Deployment is resumed")
        note = new_condition(PROGRESSING, "Unknown", reason, text)
        return self.context.modify(DEPLOYMENTS, deployment, lambda copy: set_condition(copy["status"], note), "status")

    # Revisions

    def _revise(
        self, deployment: Json, replica_sets: list[Json], *, create: bool
    ) -> tuple[Json, Json | None, list[Json]]:
        """Find or create the new ReplicaSet and settle revisions: the deployment, the new one, the old ones."""
        new = find_new(deployment, replica_sets)
        old = [
            item for item in by_age(replica_sets) if new is None or item["metadata"]["uid"] != new["metadata"]["uid"]
        ]
        revision = max([0, *map(revision_of, old)]) + 1
        if new is not None:
            new = self._annotate(deployment, new, revision)
            deployment = self._note_revision(deployment, new, None)
        elif create:
            size = new_size(deployment, 0, total_size(old))
            deployment, new = self._create(deployment, revision, size)
        return deployment, new, old

    def _annotate(self, deployment: Json, new: Json, revision: int) -> Json:
        present = new["metadata"].get("annotations") or {}
        wanted = annotations_for(deployment, present, revision)
        seconds = deployment["spec"].get("minReadySeconds", 0)
        if wanted == present and seconds == new["spec"].get("minReadySeconds", 0):
            return new

        def update(copy: Json) -> None:
            copy["metadata"]["annotations"] = wanted
            copy["spec"].pop("minReadySeconds", None)
            if seconds:
                copy["spec"]["minReadySeconds"] = seconds

        return self.context.modify(REPLICA_SETS, new, update)

    def _create(self, deployment: Json, revision: int, size: int) -> tuple[Json, Json | None]:
        wanted = new_replica_set(deployment, revision, size)
        try:
            new = self.context.create(REPLICA_SETS, deployment["metadata"]["namespace"], wanted)
        except ApiError as problem:
            return self._create_failed(deployment, wanted, problem), None
        name = new["metadata"]["name"]
        self._tell(deployment, f"Scaled up replica set {name} from 0 to {size}", size)
        note = new_condition(PROGRESSING, "True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
        return self._note_revision(deployment, new, note), new

    def _create_failed(self, deployment: Json, wanted: Json, problem: ApiError) -> Json:
        """A name that is taken by another template's ReplicaSet is a hash collision: count it and come again."""
        namespace, name = deployment["metadata"]["namespace"], wanted["metadata"]["name"]
        present = self.context.get(REPLICA_SETS, (namespace, name))
        if problem.reason != "AlreadyExists" or present is None:
            raise problem
        if plain_template(present) == deployment["spec"]["template"]:
            raise problem

        def count(copy: Json) -> None:
            copy["status"]["collisionCount"] = copy["status"].get("collisionCount", 0) + 1

        self.context.modify(DEPLOYMENTS, deployment, count, "status")
        raise problem

    def _note_revision(self, deployment: Json, new: Json, note: Json | None) -> Json:
        """Write the revision on the deployment and say that its new ReplicaSet was created or found."""
        if note is None and has_deadline(deployment) and condition(deployment, PROGRESSING) is None:
            text = f'Found new replica set "{new["metadata"]["name"]}"'
            note = new_condition(PROGRESSING, "True", "FoundNewReplicaSet", text)
        revision = (new["metadata"].get("annotations") or {}).get(REVISION)
        if note is None and (deployment["metadata"].get("annotations") or {}).get(REVISION) == revision:
            return deployment

        def update(copy: Json) -> None:
            copy["metadata"].setdefault("annotations", {})[REVISION] = revision
            if note is not None and has_deadline(deployment):
                set_condition(copy["status"], note)

        return self.context.modify(DEPLOYMENTS, deployment, update, "status")

    # Ways to the wanted state

    def _roll(self, deployment: Json, replica_sets: list[Json]) -> float | None:
        deployment, new, old = self._revise(deployment, replica_sets, create=True)
        assert new is not None
        grown = self._resize(deployment, new, new_size(deployment, wanted_size(new), total_size([*old, new])))
        if not grown:
            sizes = scaled_down_sizes(deployment, new, old)
            for item in old:
                self._resize(deployment, item, sizes[item["metadata"]["name"]])
        return self._finish(deployment, new)

    def _recreate(self, deployment: Json, replica_sets: list[Json]) -> float | None:
        deployment, new, old = self._revise(deployment, replica_sets, create=False)
        for item in old:
            self._resize(deployment, item, 0)
        if any(self._has_pods(item) for item in old):
            return self._finish(deployment, new)
        if new is None:
            deployment, new, old = self._revise(deployment, replica_sets, create=True)
            assert new is not None
        self._resize(deployment, new, deployment["spec"]["replicas"])
        return self._finish(deployment, new)

    def _has_pods(self, replica_set: Json) -> bool:
        """Terminating pods count: two revisions never run side by side."""
        return any(not is_over(pod) for pod in self.context.owned(replica_set, PODS))

    def _scale(self, deployment: Json, replica_sets: list[Json]) -> float | None:
        """A new wanted number is spread over the ReplicaSets before any rollout goes on."""
        deployment, new, old = self._revise(deployment, replica_sets, create=False)
        everything = [*old, new] if new is not None else old
        for name, size in proportional_sizes(deployment, new, old).items():
            item = next(item for item in everything if item["metadata"]["name"] == name)
            self._resize(deployment, item, size, annotate=True)
        if deployment["spec"].get("paused"):
            self._clean_up(deployment, new)
        owned = self.context.owned(deployment, REPLICA_SETS)
        status = counted(deployment, owned, self._current(new))
        self.context.set_status(DEPLOYMENTS, deployment, status)
        return None

    def _resize(self, deployment: Json, replica_set: Json, size: int, *, annotate: bool = False) -> bool:
        """Give a ReplicaSet its size; whether that changed anything."""
        before = wanted_size(replica_set)
        annotations = size_annotations(deployment)
        present = replica_set["metadata"].get("annotations") or {}
        is_noted = not annotate or annotations.items() <= present.items()
        if before == size and is_noted:
            return False

        def update(copy: Json) -> None:
            copy["spec"]["replicas"] = size
            copy["metadata"].setdefault("annotations", {}).update(annotations)

        self.context.modify(REPLICA_SETS, replica_set, update)
        if before != size:
            direction = "up" if size > before else "down"
            name = replica_set["metadata"]["name"]
            self._tell(deployment, f"Scaled {direction} replica set {name} from {before} to {size}", size)
        return before != size

    def _tell(self, deployment: Json, message: str, size: int) -> None:
        self.context.record(deployment, "ScalingReplicaSet", message, source="deployment-controller")

    # The end of a pass

    def _current(self, replica_set: Json | None) -> Json | None:
        return None if replica_set is None else self.context.get(REPLICA_SETS, key_of(replica_set))

    def _finish(self, deployment: Json, new: Json | None) -> float | None:
        """Write the status; the seconds until the progress deadline, where one runs."""
        owned = self.context.owned(deployment, REPLICA_SETS)
        status = rollout_status(deployment, owned, self._current(new))
        if is_complete(deployment, status):
            self._clean_up(deployment, new)
        stored = self.context.set_status(DEPLOYMENTS, deployment, status)
        left = deadline_left(stored, stored["status"])
        return None if left is None or left <= 0 else left + 1

    def _clean_up(self, deployment: Json, new: Json | None) -> None:
        """Delete the oldest idle ReplicaSets beyond the revision history limit."""
        uid = new["metadata"]["uid"] if new is not None else ""
        idle = [
            item
            for item in self.context.owned(deployment, REPLICA_SETS)
            if item["metadata"]["uid"] != uid
            and wanted_size(item) == 0
            and not item.get("status", {}).get("replicas")
            and not item["metadata"].get("deletionTimestamp")
        ]
        surplus = len(idle) - deployment["spec"].get("revisionHistoryLimit", 10)
        for item in sorted(idle, key=revision_of)[: max(0, surplus)]:
            self.context.delete(REPLICA_SETS, item)


def _adopt(replica_set: Json, deployment: Json) -> None:
    replica_set["metadata"].setdefault("ownerReferences", []).append(owner_reference(deployment))
