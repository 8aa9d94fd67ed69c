# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an object has otherwise after a change, for a diff: fields that differ, without what may be a secret.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from .kubernetes_api import Json

_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
#: Values under these may be a secret that somebody wrote in clear: a diff shows that they differ, not what they are.
_HIDDEN = re.compile(r"^\.(data|binaryData|stringData)\.|\.env\[[^]]*\]\.value$|\.(args|command)\[|\.annotations\.")
_MERGED_BY = ("mountPath", "name", "port", "containerPort", "key")


def comparable(obj: Json | None) -> Json:
    """Return an object without what the server counts and notes."""
    if obj is None:
        return {}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SERVER}
    return {key: value for key, value in {**obj, "metadata": metadata}.items() if key != "status"}


def difference(before: Json | None, after: Json | None) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Return the fields that differ, as path -> value, before and after."""
    old, new = _leaves(comparable(before)), _leaves(comparable(after))
    paths = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    return (
        {path: _shown(path, old[path]) for path in paths if path in old},
        {path: _shown(path, new[path]) for path in paths if path in new},
    )


def _leaves(value: t.Any, path: str = "") -> dict[str, t.Any]:
    if isinstance(value, dict) and value:
        return {leaf: v for key, item in value.items() for leaf, v in _leaves(item, f"{path}.{key}").items()}
    if isinstance(value, list) and value:
        found: dict[str, t.Any] = {}
        keys = [_key(item, number) for number, item in enumerate(value)]
        for number, (key, item) in enumerate(zip(keys, value, strict=True)):
            name = key if keys.count(key) == 1 else f"{key}#{number}"
            found.update(_leaves(item, f"{path}[{name}]"))
        return found
    return {path: value}


def _key(item: t.Any, number: int) -> str:
    """What names an item of a list, so that a new first one does not make all others different."""
    if isinstance(item, dict):
        for key in _MERGED_BY:
            if isinstance(item.get(key), (str, int)):
                return f"{item[key]}"
    return str(number)


def _shown(path: str, value: t.Any) -> t.Any:
    if _HIDDEN.search(path):
        return f"sha256:{hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]}"
    return value
