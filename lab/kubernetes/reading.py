"""Get and list: selection, order and pages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import expired, not_found
from .resources import Resource
from .selectors import parse_field_selector, parse_label_selector
from .storage import Store

Json = dict[str, Any]
Predicate = Callable[[Json], bool]


@dataclass(frozen=True)
class Selection:
    """Which objects of a resource: one namespace or all, and a test."""

    namespace: str | None
    selects: Predicate
    is_filtered: bool


def selection(resource: Resource, namespace: str | None, labels: str, fields: str) -> Selection:
    """Read both selectors. ApiError 400 where one cannot be read."""
    by_label = parse_label_selector(labels)
    by_field = parse_field_selector(resource.kind, fields)

    def selects(obj: Json) -> bool:
        return by_label(obj["metadata"].get("labels") or {}) and by_field(obj)

    return Selection(namespace, selects, bool(labels or fields))


def get(store: Store, resource: Resource, namespace: str, name: str) -> Json:
    """The object; ApiError 404 where there is none."""
    found = store.get(resource.key, namespace, name)
    if found is None:
        raise not_found(resource, name)
    return found


def list_objects(store: Store, resource: Resource, chosen: Selection, limit: int, token: str) -> Json:
    """A ``<Kind>List``: at most ``limit`` objects (0: all) from where the ``continue`` token left off.

    Pages after the first show the present state, not that of the first page.
    """
    objects = [obj for obj in store.list(resource.key, chosen.namespace) if chosen.selects(obj)]
    if token:
        start = _read_token(token)
        objects = [obj for obj in objects if _position(obj) > start]
    metadata: Json = {"resourceVersion": str(store.revision)}
    if limit and len(objects) > limit:
        if not chosen.is_filtered:
            metadata["remainingItemCount"] = len(objects) - limit
        objects = objects[:limit]
        metadata["continue"] = _write_token(store.revision, objects[-1])
    items = [{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} for obj in objects]
    return {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata, "items": items}


def _position(obj: Json) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _write_token(revision: int, last: Json) -> str:
    namespace, name = _position(last)
    body = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": f"{namespace}/{name}\0"}, separators=(",", ":"))
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[str, str]:
    try:
        body = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, _, name = str(body["start"]).rstrip("\0").rpartition("/")
    except (binascii.Error, ValueError, KeyError, TypeError) as problem:
        raise expired("The provided continue parameter is not valid: list again without it") from problem
    return namespace, name
