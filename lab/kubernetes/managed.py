"""``managedFields``: which manager set which field, and server-side apply built on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .errors import ApiError
from .fields import Difference, FieldSet, collect, describe, from_tree, merge, prune, to_tree
from .schema import Node
from .values import clone, timestamp

Json = dict[str, Any]
APPLY, UPDATE = "Apply", "Update"


@dataclass(frozen=True)
class Manager:
    """Who writes: the name, how, in which version and through which subresource ("" for the object itself)."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


@dataclass(frozen=True)
class _Entry:
    manager: Manager
    time: str
    fields: frozenset[tuple[str, ...]]


def _read_entries(obj: Json) -> list[_Entry]:
    entries = []
    for item in obj.get("metadata", {}).get("managedFields") or []:
        manager = Manager(
            item.get("manager", ""), item.get("operation", ""), item.get("apiVersion", ""), item.get("subresource", "")
        )
        entries.append(_Entry(manager, item.get("time", ""), frozenset(from_tree(item.get("fieldsV1") or {}))))
    return entries


def _write_entries(obj: Json, entries: list[_Entry]) -> None:
    written = []
    for entry in sorted(entries, key=lambda entry: (entry.manager.operation, entry.time)):
        if not entry.fields:
            continue
        manager = entry.manager
        item: Json = {
            "manager": manager.name, "operation": manager.operation, "apiVersion": manager.api_version,
            "time": entry.time, "fieldsType": "FieldsV1", "fieldsV1": to_tree(set(entry.fields)),
        }  # fmt: skip
        if manager.subresource:
            item["subresource"] = manager.subresource
        written.append(item)
    obj["metadata"].pop("managedFields", None)
    if written:
        obj["metadata"]["managedFields"] = written


def track_update(before: Json, after: Json, manager: Manager, node: Node, *, owns: bool = True) -> None:
    """Record an ordinary write in ``after``: its manager now owns what it changed, and nobody owns what it removed.

    ``owns`` False takes the changed fields from their managers without giving them to this one.
    """
    difference = Difference(before, after, node)
    entries = _read_entries(after)
    if not difference.changed and not difference.removed:
        return
    others = [entry for entry in entries if entry.manager != manager]
    own = next((entry.fields for entry in entries if entry.manager == manager), frozenset())
    mine = (own | difference.changed if owns else own - difference.changed) - difference.removed
    lost = difference.changed | difference.removed
    kept = [replace(entry, fields=entry.fields - lost) for entry in others]
    _write_entries(after, [*kept, _Entry(manager, timestamp(), frozenset(mine))])


def apply(live: Json, applied: Json, manager: Manager, node: Node, *, force: bool) -> Json:
    """Server-side apply: ``live`` with what ``applied`` sets, without what this manager set before and now leaves out.

    ApiError 409 where another manager owns a field that would change, unless ``force`` takes it over.
    """
    entries = _read_entries(live)
    wanted = collect(applied, node)
    previous = next((set(entry.fields) for entry in entries if entry.manager == manager), set())
    others = [entry for entry in entries if entry.manager != manager]
    result: Json = merge(live, clone(applied), node)
    owned_elsewhere = {path for entry in others for path in entry.fields}
    result = prune(result, node, previous - wanted, wanted | owned_elsewhere)
    result["metadata"] = dict(result["metadata"])
    difference = Difference(live, result, node)
    conflicts = [(entry.manager, entry.fields & difference.changed & wanted) for entry in others]
    conflicts = [(who, fields) for who, fields in conflicts if fields]
    if conflicts and not force:
        raise _conflict(conflicts)
    lost = difference.removed | (difference.changed & wanted)
    kept = [replace(entry, fields=entry.fields - lost) for entry in others]
    _write_entries(result, [*kept, _Entry(manager, _time_of(entries, manager, wanted), frozenset(wanted))])
    return result


def _time_of(entries: list[_Entry], manager: Manager, wanted: FieldSet) -> str:
    """An apply that changes nothing keeps its time, so that it is no write."""
    for entry in entries:
        if entry.manager == manager and entry.fields == wanted:
            return entry.time
    return timestamp()


def _conflict(conflicts: list[tuple[Manager, frozenset[tuple[str, ...]]]]) -> ApiError:
    causes = []
    texts = []
    for manager, fields in sorted(conflicts, key=lambda pair: pair[0].name):
        who = f'"{manager.name}"'
        if manager.subresource:
            who += f' with subresource "{manager.subresource}"'
        paths = sorted(describe(path) for path in fields)
        causes += [
            {
                "reason": "FieldManagerConflict",
                "message": f"conflict with {who} using {manager.api_version}",
                "field": path,
            }
            for path in paths
        ]
        if len(paths) == 1:
            texts.append(f"conflict with {who} using {manager.api_version}: {paths[0]}")
        else:
            texts.append(f"conflicts with {who} using {manager.api_version}:\n" + "\n".join(f"- {p}" for p in paths))
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    message = f"Apply failed with {count}: " + "\n".join(texts)
    return ApiError(409, "Conflict", message, {"causes": causes})
