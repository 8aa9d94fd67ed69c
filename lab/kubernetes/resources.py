"""Which resources this API serves, and what discovery says about them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from importlib import resources as package_files
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """One collection of objects: ``apps/v1 deployments``."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]
    subresources: frozenset[str]

    @cached_property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def key(self) -> str:
        """The collection's name in storage."""
        return f"{self.group}/{self.plural}"

    @property
    def has_status(self) -> bool:
        return "status" in self.subresources


class Catalogue:
    """All served resources, with the discovery documents that describe them."""

    def __init__(self, document: Json) -> None:
        self._lists: dict[str, Json] = document["resource_lists"]
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str], Resource] = {}
        for listing in self._lists.values():
            for resource in _parse(listing):
                self._by_path[(resource.group, resource.version, resource.plural)] = resource
                self._by_kind[(resource.api_version, resource.kind)] = resource

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_path.get((group, version, plural))

    def get(self, group: str, plural: str) -> Resource:
        """The resource with that group and plural name; KeyError where it is not served."""
        return self._by_path[(group, "v1", plural)] if group != "autoscaling" else self._by_path[(group, "v2", plural)]

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        return self._by_kind.get((api_version, kind))

    def all(self) -> list[Resource]:
        return list(self._by_path.values())

    def resource_list(self, group_version: str) -> Json | None:
        """The ``APIResourceList`` of ``v1`` or ``apps/v1``, or None where the group version is not served."""
        return self._lists.get(group_version)

    def group(self, name: str) -> Json | None:
        """The ``APIGroup`` document of one named group."""
        versions = [gv.split("/")[1] for gv in self._lists if gv.startswith(f"{name}/")]
        if not versions:
            return None
        entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        return {"name": name, "versions": entries, "preferredVersion": entries[0]}

    def group_list(self) -> Json:
        names = list(dict.fromkeys(gv.split("/")[0] for gv in self._lists if "/" in gv))
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self.group(name) for name in names]}


def _parse(listing: Json) -> list[Resource]:
    group_version = listing["groupVersion"]
    group, _, version = group_version.rpartition("/")
    subresources: dict[str, set[str]] = {}
    for entry in listing["resources"]:
        parent, slash, child = entry["name"].partition("/")
        if slash:
            subresources.setdefault(parent, set()).add(child)
    return [
        Resource(
            group=group,
            version=version,
            plural=entry["name"],
            kind=entry["kind"],
            namespaced=entry["namespaced"],
            verbs=frozenset(entry["verbs"]),
            subresources=frozenset(subresources.get(entry["name"], set())),
        )
        for entry in listing["resources"]
        if "/" not in entry["name"]
    ]


def load_catalogue() -> Catalogue:
    """Read the discovery table that ships with the package."""
    text = package_files.files(__package__).joinpath("data/discovery.json").read_text("utf-8")
    return Catalogue(json.loads(text))


CATALOGUE = load_catalogue()
