"""The types behind each kind: field names, scalars, and how lists and maps merge.

Built from Kubernetes' own OpenAPI document by :mod:`lab.kubernetes.schema_build`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources as package_files
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Scalar:
    """A leaf: ``string``, ``integer``, ``boolean``, ``number``, ``time``, ``quantity``, ``any`` and the like."""

    kind: str


@dataclass(eq=False)
class Struct:
    """An object with named fields. ``fields`` is filled after construction, because types refer to each other."""

    name: str
    fields: dict[str, Node] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    atomic: bool = False


@dataclass(frozen=True)
class Map:
    """An object with free keys."""

    element: Node
    atomic: bool = False


@dataclass(frozen=True)
class List:
    """A list. ``keys`` name the fields that identify an item; ``merge_key`` is what strategic merge uses."""

    element: Node
    keys: tuple[str, ...] = ()
    is_set: bool = False
    merge_key: str | None = None


Node = Scalar | Struct | Map | List
ANY = Scalar("any")
KEY_DEFAULTS = {"protocol": "TCP"}


class Schema:
    """All types, parsed on first use of each."""

    def __init__(self, document: Json) -> None:
        self._kinds: dict[str, str] = document["kinds"]
        self._types: Json = document["types"]
        self._structs: dict[tuple[str, bool], Struct] = {}

    def of_kind(self, api_version: str, kind: str) -> Struct:
        """The type of a kind; KeyError where this API has none such."""
        return self._struct(self._kinds[f"{api_version}/{kind}"], atomic=False)

    def knows(self, api_version: str, kind: str) -> bool:
        return f"{api_version}/{kind}" in self._kinds

    def _struct(self, name: str, *, atomic: bool) -> Struct:
        key = (name, atomic)
        if key not in self._structs:
            body = self._types[name]
            struct = self._structs[key] = Struct(name, required=tuple(body["required"]), atomic=atomic)
            struct.fields.update({child: self._node(value) for child, value in body["fields"].items()})
        return self._structs[key]

    def _node(self, value: Any) -> Node:
        if isinstance(value, str):
            return Scalar(value)
        if "struct" in value:
            return self._struct(value["struct"], atomic=value.get("atomic", False))
        if "map" in value:
            return Map(self._node(value["map"]), value.get("atomic", False))
        return List(
            self._node(value["list"]), tuple(value.get("keys", ())), value.get("set", False), value.get("merge")
        )


def child_node(node: Node, key: str) -> Node:
    """The type of a field of an object; ``ANY`` where the type has no such field."""
    if isinstance(node, Struct):
        return node.fields.get(key, ANY)
    return node.element if isinstance(node, Map) else ANY


def item_key(node: List, item: Json) -> tuple[Any, ...]:
    """What identifies an item of a list with keys (a port without a protocol is a TCP port)."""
    return tuple(item.get(key, KEY_DEFAULTS.get(key)) for key in node.keys)


def load_schema() -> Schema:
    """Read the schema that ships with the package."""
    text = package_files.files(__package__).joinpath("data/schema.json").read_text("utf-8")
    return Schema(json.loads(text))


SCHEMA = load_schema()
