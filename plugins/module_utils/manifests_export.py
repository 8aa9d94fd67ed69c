# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the manifests of a service from its cluster into a directory.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from .errors import RecoveryError, Unreachable, failed
from .kubernetes_api import METADATA_ONLY, ApiError, Denied, Gone, Json, KubernetesApi, NotFound
from .manifests_directory import write
from .manifests_discovery import Discovery, Resource
from .manifests_left_out import LeftOut, plain_secrets, reason_to_leave_out
from .manifests_model import NAMESPACE, Identity, Kind
from .manifests_strip import strip
from .manifests_yaml import dump

#: How often a list is begun again because the API forgot where it was.
_TRIES = 3
#: Namespaces of the cluster itself: not a service's, unless they are named.
_SYSTEM = ("kube-system", "kube-public", "kube-node-lease")

Tell = t.Callable[[str], None]


@dataclass(frozen=True)
class Selection:
    """What to export: namespaces, all that match a label selector, or both together."""

    namespaces: tuple[str, ...]
    selector: str
    kinds: tuple[Kind, ...]
    page: int


@dataclass
class Exported:
    """What an export has found so far."""

    counts: Counter[str] = field(default_factory=Counter)
    files: set[str] = field(default_factory=set)
    namespaces: set[str] = field(default_factory=set)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)


@dataclass
class _Page:
    """What one try of one list has found: it counts only once the list has come to its end."""

    files: list[str] = field(default_factory=list)
    namespaces: set[str] = field(default_factory=set)
    left_out: list[tuple[str, Identity]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Export:
    """One export under way into a stage. Holds one page of objects in memory at a time."""

    def __init__(self, api: KubernetesApi, selection: Selection, stage: Path, tell: Tell) -> None:
        self._api = api
        self._selection = selection
        self._stage = stage
        self._tell = tell
        self._discovery = Discovery(api)
        self.found = Exported()

    def run(self) -> None:
        """Export everything. Raises Unreachable when the API goes away: what there is by then is no export."""
        for kind in self._selection.kinds:
            if kind != NAMESPACE:
                self._kind(kind)
        self._namespaces()
        if not self.found.files and not self.found.problems:
            chosen = " ".join([*self._selection.namespaces, self._selection.selector]).strip()
            self.found.unverified.append(f"nothing was found in {chosen}, and an empty backup restores nothing")

    def _kind(self, kind: Kind) -> None:
        resource = self._asked(str(kind), lambda: self._discovery.preferred(kind))
        if resource is None:
            if not any(one.startswith(f"{kind}: ") for one in self.found.unverified):
                self.found.unverified.append(f"{kind}: the API {self._api.name} serves no such kind")
            return
        places = self._selection.namespaces if resource.namespaced else ()
        for namespace in places or ("",):
            what = f"{kind} in {namespace}" if namespace else str(kind)
            page = self._asked(what, lambda ns=namespace, it=resource: self._listed(it, ns))  # type: ignore[misc]
            if page is not None:
                self._count(kind, page)
        self._tell(f"{kind}: {self.found.counts[str(kind)]} exported")

    def _asked(self, what: str, ask: t.Callable[[], t.Any]) -> t.Any:
        """Ask for one kind; what the API refuses is unverified, and does not hold up the others."""
        try:
            return ask()
        except Unreachable:
            raise
        except ApiError as error:
            self.found.unverified.append(f"{what}: {error}")
            return None

    def _listed(self, resource: Resource, namespace: str) -> _Page:
        """List to the end; begin again where the API has forgotten where the list was. Raises Gone in the end."""
        tries = _TRIES
        while True:
            page, tries = _Page(), tries - 1
            try:
                for raw in self._objects(resource, namespace):
                    self._take(raw, page)
                return page
            except Gone:
                for path in page.files:
                    (self._stage / path).unlink(missing_ok=True)
                if not tries:
                    raise

    def _objects(self, resource: Resource, namespace: str) -> t.Iterator[Json]:
        query = {"limit": str(self._selection.page)}
        if self._selection.selector:
            query["labelSelector"] = self._selection.selector
        while True:
            answer = self._api.get(resource.collection(namespace), **query)
            for item in answer.get("items") or []:
                yield {**item, "apiVersion": resource.api_version, "kind": resource.kind.name}
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return
            query["continue"] = token

    def _take(self, raw: Json, page: _Page) -> None:
        identity = Identity.of(raw)
        if identity.namespace in _SYSTEM and identity.namespace not in self._selection.namespaces:
            page.left_out.append(("in a namespace of the cluster itself, which was not named", identity))
            return
        reason = reason_to_leave_out(raw)
        if reason:
            page.left_out.append((reason, identity))
            return
        manifest = strip(raw)
        page.warnings += [f"{one} seems to hold a secret in clear" for one in plain_secrets(manifest)]
        write(self._stage, identity.path, dump(manifest))
        page.files.append(identity.path)
        if identity.namespace:
            page.namespaces.add(identity.namespace)

    def _count(self, kind: Kind, page: _Page) -> None:
        found = self.found
        found.counts[str(kind)] += len(page.files)
        found.files |= set(page.files)
        found.namespaces |= page.namespaces
        found.warnings += page.warnings
        for reason, identity in page.left_out:
            found.left_out.setdefault(reason, LeftOut(reason)).add(identity)

    def _namespaces(self) -> None:
        """The namespaces that were named have to be there; all that objects are in are exported, where asked for."""
        wanted = NAMESPACE in self._selection.kinds
        for name in sorted({*self._selection.namespaces, *self.found.namespaces}):
            raw = self._namespace(name, wanted)
            if raw is not None and wanted:
                page = _Page()
                self._take({**raw, "apiVersion": "v1", "kind": "Namespace"}, page)
                self._count(NAMESPACE, page)
        if wanted:
            self._tell(f"{NAMESPACE}: {self.found.counts[str(NAMESPACE)]} exported")

    def _namespace(self, name: str, wanted: bool) -> Json | None:
        path = f"/api/v1/namespaces/{quote(name, safe='')}"
        try:
            return self._api.get(path) if wanted else self._api.get(path, METADATA_ONLY)
        except NotFound:
            remedy = "Name one that is there."
            self.found.problems.append(failed("export", f"namespace {name}", "there is no such namespace", remedy))
        except Denied as error:
            if wanted:
                self.found.unverified.append(f"{Identity(NAMESPACE, '', name)}: {error}")
        except Unreachable:
            raise
        except RecoveryError as error:
            self.found.unverified.append(f"{Identity(NAMESPACE, '', name)}: {error}")
        return None
