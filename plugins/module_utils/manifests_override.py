# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What another region has otherwise: replicas, images, variables and JSON patches, as data over the manifests.

PRIVATE to the collection.
"""

from __future__ import annotations

import copy
import fnmatch
import typing as t

from .errors import Refused, failed, require
from .kubernetes_api import Json
from .manifests_model import Identity, Manifest

try:
    import jsonpatch as _jsonpatch
    import jsonpointer

    jsonpatch: t.Any = _jsonpatch
except ImportError:  # require() names the missing library
    jsonpatch = None

OVERRIDE_SPEC: dict[str, t.Any] = {
    "kind": {"type": "str", "default": "*"},
    "namespace": {"type": "str", "default": "*"},
    "name": {"type": "str", "default": "*"},
    "replicas": {"type": "int"},
    "images": {"type": "dict", "default": {}},
    "environment": {"type": "dict", "default": {}},
    "patch": {"type": "list", "elements": "dict", "default": []},
}


def override(manifests: t.Sequence[Manifest], overrides: t.Sequence[Json]) -> list[Manifest]:
    """Return the manifests with the overrides, in their order. Raises Refused for one that changes nothing it names."""
    result = [Manifest(one.identity, copy.deepcopy(one.raw), one.path) for one in manifests]
    for number, rule in enumerate(overrides):
        _apply(rule, f"overrides[{number}]", result)
    for before, after in zip(manifests, result, strict=True):
        _same_object(before, after)
    return result


def _matches(rule: Json, identity: Identity) -> bool:
    return (
        any(fnmatch.fnmatchcase(text, rule["kind"]) for text in (str(identity.kind), identity.kind.name))
        and fnmatch.fnmatchcase(identity.namespace, rule["namespace"])
        and fnmatch.fnmatchcase(identity.name, rule["name"])
    )


def _apply(rule: Json, where: str, manifests: list[Manifest]) -> None:
    matched = [one for one in manifests if _matches(rule, one.identity)]
    if not matched:
        what = f"{rule['kind']} {rule['namespace']}/{rule['name']}"
        raise Refused(failed("apply", where, f"no manifest is {what}", "Correct its kind, namespace or name."))
    hits: set[str] = set()
    for one in matched:
        hits |= _change(rule, where, one)
    asked = {f"container {name}" for name in rule["images"]} | {f"variable {name}" for name in rule["environment"]}
    asked |= {"replicas"} if rule.get("replicas") is not None else set()
    missing = sorted(asked - hits)
    if missing:
        cause = f"{', '.join(str(one.identity) for one in matched)}: no {', no '.join(missing)}"
        raise Refused(failed("apply", where, cause, "Correct it, or add the thing by `patch`."))


def _change(rule: Json, where: str, manifest: Manifest) -> set[str]:
    hits: set[str] = set()
    spec = manifest.raw.get("spec") or {}
    if rule.get("replicas") is not None and "template" in spec:
        spec["replicas"] = rule["replicas"]
        hits.add("replicas")
    for container in _containers(manifest.raw):
        if container.get("name") in rule["images"]:
            container["image"] = str(rule["images"][container["name"]])
            hits.add(f"container {container['name']}")
        for variable in container.get("env") or []:
            if variable.get("name") in rule["environment"]:
                variable.pop("valueFrom", None)
                variable["value"] = str(rule["environment"][variable["name"]])
                hits.add(f"variable {variable['name']}")
    if rule["patch"]:
        manifest.raw = _patched(rule["patch"], where, manifest)
    return hits


def _containers(raw: Json) -> list[Json]:
    spec = raw.get("spec") or {}
    if raw["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    pod = (spec.get("template") or {}).get("spec") or {}
    return [*(pod.get("containers") or []), *(pod.get("initContainers") or [])]


def _patched(operations: list[Json], where: str, manifest: Manifest) -> Json:
    require(jsonpatch, "jsonpatch")
    try:
        return t.cast("Json", jsonpatch.JsonPatch(operations).apply(manifest.raw))
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, KeyError) as error:
        what = f"{where} to {manifest.identity}"
        raise Refused(failed("apply", what, f"{type(error).__name__}: {error}", "Correct its patch.")) from error


def _same_object(before: Manifest, after: Manifest) -> None:
    """An override changes an object; another name would be another object, beside it."""
    try:
        identity: Identity | None = Identity.of(after.raw)
    except (KeyError, TypeError, AttributeError):
        identity = None
    if identity != before.identity:
        remedy = "Leave apiVersion, kind, name and namespace as they are."
        raise Refused(failed("apply", f"overrides to {before.identity}", f"it would be {identity}", remedy))
