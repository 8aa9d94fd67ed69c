# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""YAML of manifests: the same object always gives the same bytes, which every YAML reader takes for the same object.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t

from .errors import RecoveryError, failed, require
from .kubernetes_api import Json

try:
    import yaml as _yaml

    yaml: t.Any = _yaml
except ImportError:  # require() names the missing library
    yaml = None

#: Text that some reader takes for a number, a boolean or nothing: YAML 1.1 and 1.2 and Go's reader differ over it.
_DOUBTFUL = re.compile(r"[-+.]?[0-9]|[-+]?\.(inf|nan)$|(y|n|yes|no|on|off|true|false|null|~)$", re.IGNORECASE)
#: Line ends and marks that readers take for their own unless they are written as escapes.
_ESCAPED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_WIDTH = 1_000_000  # no folding: a long line stays one line


def dump(obj: Json) -> bytes:
    """Return an object as YAML: keys sorted, no anchors, no folding, text with line ends as blocks."""
    require(yaml, "pyyaml")
    text = yaml.dump(obj, Dumper=_dumper(), sort_keys=True, default_flow_style=False, allow_unicode=True, width=_WIDTH)
    return t.cast("str", text).encode("utf-8", "surrogatepass")


def load_all(data: bytes, name: str) -> list[Json]:
    """Return the objects of a file, those of lists one by one. Raises RecoveryError naming what is wrong with it."""
    require(yaml, "pyyaml")
    remedy = "Correct the file, or take it from another recovery point."
    try:
        documents = [one for one in yaml.load_all(data.decode("utf-8"), Loader=_loader()) if one is not None]
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise RecoveryError(failed("read", f"manifest {name}", " ".join(str(error).split()), remedy)) from error
    objects = [item for one in documents for item in _items(one)]
    if not objects:
        raise RecoveryError(failed("read", f"manifest {name}", "it holds no object", remedy))
    for number, one in enumerate(objects, 1):
        problem = _problem(one)
        if problem:
            which = f"manifest {name}" + (f", object {number}" if len(objects) > 1 else "")
            raise RecoveryError(failed("read", which, problem, remedy))
    return objects


def _items(document: t.Any) -> list[t.Any]:
    if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document:
        return list(document["items"] or [])
    return [document]


def _problem(one: t.Any) -> str:
    if not isinstance(one, dict):
        return "it is no object"
    for key in ("apiVersion", "kind"):
        if not isinstance(one.get(key), str) or not one[key]:
            return f"it has no {key}"
    metadata = one.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        return "it has no metadata.name"
    namespace = metadata.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        return "its metadata.namespace is no text"
    return ""


def _dumper() -> t.Any:
    class Dumper(yaml.SafeDumper):  # type: ignore[misc, name-defined]
        """As the safe one, without anchors."""

        def ignore_aliases(self, _data: t.Any) -> bool:
            return True

    def text(dumper: t.Any, value: str) -> t.Any:
        style = None
        if "\n" in value and not _ESCAPED.search(value):
            style = "|"
        elif _ESCAPED.search(value) or _DOUBTFUL.match(value):
            style = '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper


def _loader() -> t.Any:
    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """As the safe one: times stay text, as in JSON, and a key may stand once only."""

        def construct_mapping(self, node: t.Any, deep: bool = False) -> t.Any:
            keys = [self.construct_object(key, deep=True) for key, _value in node.value]
            twice = [str(key) for number, key in enumerate(keys) if key in keys[:number]]
            if twice:
                raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]!r} stands twice", node.start_mark)
            return super().construct_mapping(node, deep=deep)

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader
