"""Read request bodies against the schema: unknown fields and wrong types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .errors import bad_request
from .schema import List, Map, Node, Scalar, Struct

Json = dict[str, Any]
_GO_TYPES = {
    "string": "string",
    "integer": "int32",
    "boolean": "bool",
    "number": "float64",
    "time": "Time",
    "bytes": "[]uint8",
}


@dataclass
class Decoded:
    """A body as the server understands it: without the fields it does not know, which are named instead."""

    object: Json
    unknown: list[str] = field(default_factory=list)


def decode(body: Json, node: Struct) -> Decoded:
    """Drop unknown fields and nulls, and check types. ApiError 400 for a value of the wrong type."""
    reader = _Reader(str(body.get("kind", node.name)), str(body.get("apiVersion", "v1")))
    return Decoded(reader.read(body, node, ""), reader.unknown)


class _Reader:
    def __init__(self, kind: str, api_version: str) -> None:
        self._kind = kind
        self._version = api_version.rpartition("/")[2]
        self.unknown: list[str] = []

    def read(self, value: Any, node: Node, path: str) -> Any:
        if isinstance(node, Struct):
            return self._struct(value, node, path)
        if isinstance(node, Map):
            self._expect(isinstance(value, dict), value, "map[string]string", path)
            return {key: self._entry(item, node.element, f"{path}.{key}") for key, item in value.items()}
        if isinstance(node, List):
            self._expect(isinstance(value, list), value, "[]", path)
            return [self.read(item, node.element, f"{path}[{index}]") for index, item in enumerate(value)]
        self._scalar(value, node, path)
        return value

    def _entry(self, value: Any, node: Node, path: str) -> Any:
        """A map's value: null text is empty text, as Go reads it."""
        return "" if value is None and node == Scalar("string") else self.read(value, node, path)

    def _struct(self, value: Any, node: Struct, path: str) -> Json:
        self._expect(isinstance(value, dict), value, node.name.rpartition(".")[2], path)
        result: Json = {}
        for key, item in value.items():
            here = f"{path}.{key}" if path else key
            child = node.fields.get(key)
            if child is None:
                self.unknown.append(here)
            elif item is None:
                # Null is the same as absent.
                continue
            else:
                result[key] = self.read(item, child, here)
        return result

    def _scalar(self, value: Any, node: Scalar, path: str) -> None:
        kind = node.kind
        good = {
            "string": isinstance(value, str),
            "bytes": isinstance(value, str),
            "time": isinstance(value, str),
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "boolean": isinstance(value, bool),
            "number": isinstance(value, (int, float)) and not isinstance(value, bool),
            "quantity": isinstance(value, (str, int, float)),
            "int-or-string": isinstance(value, (str, int)) and not isinstance(value, bool),
        }.get(kind, True)
        self._expect(good, value, _GO_TYPES.get(kind, kind), path)

    def _expect(self, good: bool, value: Any, wanted: str, path: str) -> None:
        if good:
            return
        given = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
        raise bad_request(
            f'{self._kind} in version "{self._version}" cannot be handled as a {self._kind}: json: cannot unmarshal '
            f"{given.get(type(value), 'null')} into Go struct field {self._kind}.{path} of type {wanted}"
        )
