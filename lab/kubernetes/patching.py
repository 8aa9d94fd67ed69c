"""JSON patch (RFC 6902), JSON merge patch (RFC 7386) and Kubernetes' strategic merge patch."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from .errors import bad_request, patch_rejected
from .schema import KEY_DEFAULTS, List, Node, child_node
from .values import clone

Json = dict[str, Any]
_DIRECTIVES = ("$patch", "$retainKeys")


def json_patch(obj: Json, operations: Any) -> Json:
    """Apply a list of operations. ApiError 422 where one does not apply, 400 where it is not a patch."""
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        patched = jsonpatch.JsonPatch(operations).apply(obj)
    except jsonpatch.InvalidJsonPatch as problem:
        raise bad_request(f"error decoding patch: {problem}") from problem
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as problem:
        raise patch_rejected() from problem
    if not isinstance(patched, dict):
        raise patch_rejected()
    return patched


def merge_patch(obj: Any, patch: Any) -> Any:
    """Apply a merge patch: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(obj) if isinstance(obj, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_merge(obj: Any, patch: Any, node: Node) -> Any:
    """Apply a strategic merge patch: as a merge patch, but lists with a merge key merge item by item.

    Understands ``$patch: delete|replace|merge``, ``$retainKeys``, ``$deleteFromPrimitiveList/<field>`` and
    ``$setElementOrder/<field>``.
    """
    if not isinstance(patch, dict):
        return clone(patch)
    directive = patch.get("$patch")
    if directive == "replace":
        return clone({key: value for key, value in patch.items() if key not in _DIRECTIVES})
    if directive == "delete":
        return {}
    result = dict(obj) if isinstance(obj, dict) else {}
    if "$retainKeys" in patch:
        result = {key: value for key, value in result.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key in _DIRECTIVES or key.startswith("$setElementOrder/"):
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.split("/", 1)[1]
            result[name] = [item for item in result.get(name) or [] if item not in value]
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_field(result.get(key), value, child_node(node, key))
    _order(result, patch, node)
    return result


def _merge_field(current: Any, value: Any, node: Node) -> Any:
    if isinstance(value, list) and isinstance(node, List) and node.merge_key is not None:
        return _merge_list(current or [], value, node)
    if isinstance(value, dict):
        return strategic_merge(current, value, node)
    return clone(value)


def _merge_list(current: list[Any], patch: list[Any], node: List) -> list[Any]:
    if not node.merge_key:
        return list(current) + [item for item in patch if item not in current]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [clone(item) for item in patch if item.get("$patch") != "replace"]
    result = list(current)
    for item in patch:
        if not isinstance(item, dict) or node.merge_key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {node.merge_key}")
        _merge_item(result, item, node)
    return result


def _merge_item(result: list[Any], item: Json, node: List) -> None:
    matches = [index for index, present in enumerate(result) if _same(present, item, node)]
    if item.get("$patch") == "delete":
        for index in reversed(matches):
            del result[index]
    elif matches:
        result[matches[0]] = strategic_merge(result[matches[0]], item, node.element)
    else:
        result.append(strategic_merge({}, item, node.element))


def _same(present: Json, item: Json, node: List) -> bool:
    """Equal merge keys; where the list has further keys and the patch names one (a port's protocol), that one too."""
    key = str(node.merge_key)
    if present.get(key) != item.get(key):
        return False
    others = [other for other in node.keys if other != key and other in item]
    return all(present.get(other, KEY_DEFAULTS.get(other)) == item[other] for other in others)


def _order(result: Json, patch: Json, node: Node) -> None:
    for key, order in patch.items():
        if not key.startswith("$setElementOrder/"):
            continue
        name = key.split("/", 1)[1]
        field = child_node(node, name)
        if name not in result or not isinstance(field, List):
            continue
        merge_key = field.merge_key
        wanted = [item.get(merge_key) if merge_key else item for item in order]

        def position(item: Any, merge_key: str | None = merge_key, wanted: list[Any] = wanted) -> int:
            value = item.get(merge_key) if merge_key else item
            return wanted.index(value) if value in wanted else len(wanted)

        result[name] = sorted(result[name], key=position)
