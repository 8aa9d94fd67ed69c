"""Sets of fields, in the form ``managedFields`` uses: who set what, and what changed between two objects.

A set is a tree of path elements (``f:name``, ``k:{"name":"web"}``, ``v:"x"``); ``.`` marks an element itself a member.
"""

from __future__ import annotations

import json
from typing import Any

from .schema import ANY, KEY_DEFAULTS, List, Map, Node, Struct, child_node

Json = dict[str, Any]
Path = tuple[str, ...]
FieldSet = set[Path]
# A manager does not own what identifies the object or what the server sets.
_SERVER_FIELDS = frozenset(
    {
        "apiVersion", "kind", "metadata.name", "metadata.namespace", "metadata.uid", "metadata.resourceVersion",
        "metadata.creationTimestamp", "metadata.generation", "metadata.managedFields", "metadata.selfLink",
        "metadata.deletionTimestamp", "metadata.deletionGracePeriodSeconds",
    }
)  # fmt: skip

# Parts that every object of their kind has, if empty; other objects may be absent as a whole.
_ALWAYS_THERE = frozenset(
    {"metadata", "spec", "status", "template", "jobTemplate", "strategy", "updateStrategy", "loadBalancer"}
)


def canonical(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def item_element(node: List, item: Any) -> str:
    """The path element of a list's item."""
    if node.keys and isinstance(item, dict):
        key = {name: item.get(name, KEY_DEFAULTS.get(name)) for name in node.keys}
        return "k:" + canonical({name: value for name, value in key.items() if value is not None})
    return "v:" + canonical(item)


def children(value: Any, node: Node) -> dict[str, tuple[Any, Node]] | None:
    """The parts of a value that are owned one by one, or None where it is owned as a whole."""
    if isinstance(node, (Struct, Map)) and isinstance(value, dict) and not node.atomic:
        return {f"f:{key}": (item, child_node(node, key)) for key, item in value.items()}
    if isinstance(node, List) and isinstance(value, list) and (node.keys or node.is_set):
        return {item_element(node, item): (item, node.element) for item in value}
    return None


def _skipped(path: Path) -> bool:
    return len(path) <= 2 and ".".join(element[2:] for element in path) in _SERVER_FIELDS


def collect(obj: Json, node: Node) -> FieldSet:
    """The fields that an applied configuration sets."""
    found: FieldSet = set()
    _collect(obj, node, (), found)
    return found


def _collect(value: Any, node: Node, path: Path, found: FieldSet) -> None:
    parts = children(value, node)
    if parts is None:
        found.add(path)
        return
    if not parts and path:
        found.add(path)
    if path and path[-1][0] == "k":
        found.add(path)
    for element, (item, child) in parts.items():
        if not _skipped((*path, element)):
            _collect(item, child, (*path, element), found)


class Difference:
    """What changed between two objects: ``changed`` (added or with another value) and ``removed`` paths."""

    def __init__(self, before: Json, after: Json, node: Node) -> None:
        self.changed: FieldSet = set()
        self.removed: FieldSet = set()
        self._compare(before, after, node, ())

    def _compare(self, before: Any, after: Any, node: Node, path: Path) -> None:
        if before is after or before == after:
            return
        old, new = children(before, node), children(after, node)
        if old is None or new is None:
            self._replaced(before, after, node, path)
            return
        for element in old.keys() - new.keys():
            if not _skipped((*path, element)):
                _everything(*old[element], (*path, element), self.removed)
        for element, (item, child) in new.items():
            if _skipped((*path, element)):
                continue
            if element in old:
                self._compare(old[element][0], item, child, (*path, element))
            else:
                _everything(item, child, (*path, element), self.changed)

    def _replaced(self, before: Any, after: Any, node: Node, path: Path) -> None:
        if children(before, node) is not None:
            _everything(before, node, path, self.removed)
        _everything(after, node, path, self.changed)


def _everything(value: Any, node: Node, path: Path, found: FieldSet, *, is_optional: bool = True) -> None:
    parts = children(value, node)
    if parts is None or (is_optional and _marks_itself(node, path)):
        found.add(path)
    required = node.required if isinstance(node, Struct) else ()
    for element, (item, child) in (parts or {}).items():
        _everything(item, child, (*path, element), found, is_optional=element[2:] not in required)


def _marks_itself(node: Node, path: Path) -> bool:
    """Whether a manager owns the thing itself beside its parts: so it is with what may be absent."""
    element = path[-1]
    return element[0] in "kv" or not isinstance(node, Struct) or element[2:] not in _ALWAYS_THERE


def to_tree(fields: FieldSet) -> Json:
    """The ``fieldsV1`` tree of a set."""
    tree: Json = {}
    for path in sorted(fields):
        here = tree
        for element in path:
            here = here.setdefault(element, {})
        here.setdefault("", {})
    return _finish(tree)


def _finish(tree: Json) -> Json:
    member = "" in tree
    parts = {element: _finish(child) for element, child in tree.items() if element}
    return {".": {}, **parts} if member and parts else parts


def from_tree(tree: Json) -> FieldSet:
    """The set that a ``fieldsV1`` tree describes."""
    found: FieldSet = set()
    _read(tree, (), found)
    return found


def _read(tree: Json, path: Path, found: FieldSet) -> None:
    if path and (not tree or "." in tree):
        found.add(path)
    for element, child in tree.items():
        if element != ".":
            _read(child, (*path, element), found)


def describe(path: Path) -> str:
    """A path as error messages show it: ``.spec.containers[name="web"].image``."""
    text = ""
    for element in path:
        if element.startswith("f:"):
            text += "." + element[2:]
        elif element.startswith("k:"):
            pairs = json.loads(element[2:])
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in pairs.items()) + "]"
        else:
            text += f"[={element[2:]}]"
    return text


def merge(live: Any, applied: Any, node: Node) -> Any:
    """The live value with everything that the applied one sets."""
    if isinstance(node, (Struct, Map)) and not node.atomic and isinstance(live, dict) and isinstance(applied, dict):
        result = dict(live)
        for key, value in applied.items():
            result[key] = merge(live[key], value, child_node(node, key)) if key in live else value
        return result
    if isinstance(node, List) and (node.keys or node.is_set) and isinstance(live, list) and isinstance(applied, list):
        return _merge_items(live, applied, node)
    return applied


def _merge_items(live: list[Any], applied: list[Any], node: List) -> list[Any]:
    wanted = {item_element(node, item): item for item in applied}
    result = []
    for item in live:
        element = item_element(node, item)
        result.append(merge(item, wanted.pop(element), node.element) if element in wanted else item)
    return result + list(wanted.values())


def prune(value: Any, node: Node, gone: FieldSet, keep: FieldSet) -> Any:
    """The value without the paths in ``gone``, save those that some path in ``keep`` needs."""
    return _prune(value, node, (), gone, _with_parents(keep))


def _with_parents(paths: FieldSet) -> FieldSet:
    return {path[:length] for path in paths for length in range(len(path) + 1)}


def _prune(value: Any, node: Node, path: Path, gone: FieldSet, keep: FieldSet) -> Any:
    parts = children(value, node)
    if parts is None:
        return value
    kept: dict[str, Any] = {}
    for element, (item, child) in parts.items():
        here = (*path, element)
        if here in gone and here not in keep:
            continue
        pruned = _prune(item, child, here, gone, keep)
        emptied = not pruned and item and isinstance(pruned, (dict, list)) and here not in keep
        if not emptied:
            kept[element] = pruned
    if isinstance(value, dict):
        return {element[2:]: item for element, item in kept.items()}
    return list(kept.values())


__all__ = ["ANY", "Difference", "FieldSet", "collect", "describe", "from_tree", "merge", "prune", "to_tree"]
