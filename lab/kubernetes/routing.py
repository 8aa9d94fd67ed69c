"""From a URL path to the resource, object and subresource it names."""

from __future__ import annotations

from dataclasses import dataclass

from .resources import CATALOGUE, Resource


@dataclass(frozen=True)
class Target:
    """What a path names. ``namespace`` is None for all namespaces; ``name`` is "" for the collection."""

    resource: Resource
    namespace: str | None
    name: str = ""
    subresource: str = ""


def find_target(path: str) -> Target | None:
    """Read an API path; None where it names nothing that is served."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace: str | None = None
    if rest[0] == "namespaces" and len(rest) >= 3 and _is_namespaced(group, version, rest[2]):
        namespace, rest = rest[1], rest[2:]
    resource = CATALOGUE.find(group, version, rest[0])
    if resource is None or len(rest) > 3 or (resource.namespaced and namespace is None and len(rest) > 1):
        return None
    subresource = rest[2] if len(rest) == 3 else ""
    if subresource and subresource not in resource.subresources:
        return None
    return Target(resource, namespace, rest[1] if len(rest) > 1 else "", subresource)


def _is_namespaced(group: str, version: str, plural: str) -> bool:
    resource = CATALOGUE.find(group, version, plural)
    return resource is not None and resource.namespaced
