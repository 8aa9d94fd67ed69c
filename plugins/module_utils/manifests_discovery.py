# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which kinds an API serves, and the paths of their objects.

PRIVATE to the collection.
"""

from __future__ import annotations

import threading
import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from .kubernetes_api import Json, KubernetesApi, NotFound
from .manifests_model import Identity, Kind


@dataclass(frozen=True)
class Resource:
    """One collection that an API serves."""

    kind: Kind
    api_version: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    def collection(self, namespace: str = "") -> str:
        """Path of its objects, of one namespace or of all."""
        root = f"/apis/{self.api_version}" if self.kind.group else f"/api/{self.api_version}"
        where = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        return f"{root}{where}/{self.plural}"

    def path(self, identity: Identity) -> str:
        """Path of one object."""
        return f"{self.collection(identity.namespace)}/{quote(identity.name, safe='')}"


class Discovery:
    """Asks an API once for each group version that somebody wants to know; safe to call from several threads."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._versions: dict[str, list[str]] | None = None
        self._resources: dict[str, list[Resource]] = {}

    def preferred(self, kind: Kind) -> Resource | None:
        """Return the collection of a kind in the version that the API prefers; None where it serves none."""
        for version in self.versions(kind.group):
            found = self.exact(kind, version)
            if found is not None:
                return found
        return None

    def exact(self, kind: Kind, api_version: str) -> Resource | None:
        """Return the collection of a kind in one version; None where it is not served."""
        return next((one for one in self._of(api_version) if one.kind == kind), None)

    def forget(self) -> None:
        """Ask anew: a kind may be served now that was not before."""
        with self._lock:
            self._versions = None
            self._resources.clear()

    def versions(self, group: str) -> list[str]:
        """Return the group versions of a group, the preferred one first; empty where the API has no such group."""
        if not group:
            return ["v1"]
        with self._lock:
            if self._versions is None:
                groups = self._api.get("/apis").get("groups") or []
                self._versions = {one["name"]: _versions(one) for one in groups}
            return self._versions.get(group, [])

    def _of(self, api_version: str) -> list[Resource]:
        with self._lock:
            if api_version not in self._resources:
                self._resources[api_version] = self._ask(api_version)
            return self._resources[api_version]

    def _ask(self, api_version: str) -> list[Resource]:
        group = api_version.rpartition("/")[0]
        try:
            answer = self._api.get(f"/apis/{api_version}" if group else f"/api/{api_version}")
        except NotFound:
            return []
        return [_resource(one, group, api_version) for one in answer.get("resources") or [] if "/" not in one["name"]]


def _resource(one: t.Mapping[str, t.Any], group: str, api_version: str) -> Resource:
    kind = Kind(one["kind"], group)
    return Resource(kind, api_version, one["name"], bool(one["namespaced"]), frozenset(one.get("verbs") or []))


def _versions(group: Json) -> list[str]:
    preferred = (group.get("preferredVersion") or {}).get("groupVersion")
    every = [one["groupVersion"] for one in group.get("versions") or []]
    return sorted(every, key=lambda version: version != preferred)
