"""A zone's published record sets, indexed for lookup by name (RFC 1034, RFC 4592)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lab.dns.records import RecordSet

Node = Mapping[str, Sequence[RecordSet]]


def parent(name: str) -> str:
    """The name without its first label."""
    return name.split(".", 1)[1]


class ZoneData:
    """An immutable view of one zone: what DNS may answer from."""

    def __init__(self, name: str, record_sets: Iterable[RecordSet]) -> None:
        self.name = name
        self.record_sets = tuple(record_sets)
        self._nodes: dict[str, dict[str, list[RecordSet]]] = {name: {}}
        for record in self.record_sets:
            self._nodes.setdefault(record.name, {}).setdefault(record.type, []).append(record)
        for existing in list(self._nodes):
            self._add_empty_nodes_above(existing)

    def _add_empty_nodes_above(self, name: str) -> None:
        while name != self.name:
            name = parent(name)
            self._nodes.setdefault(name, {})

    def node(self, name: str) -> Node | None:
        """The record sets at a name by type, through a wildcard if one covers it; None when the name does not exist."""
        exact = self._nodes.get(name)
        if exact is not None:
            return exact
        while name != self.name:
            name = parent(name)
            if name in self._nodes:
                return self._nodes.get(f"*.{name}")
        return None

    def delegation(self, name: str) -> Sequence[RecordSet] | None:
        """The NS record sets that hand this name to another zone, if any."""
        while name != self.name:
            node = self._nodes.get(name)
            if node and "NS" in node:
                return node["NS"]
            name = parent(name)
        return None

    @property
    def soa(self) -> RecordSet:
        """The start of authority, which every hosted zone has."""
        return self._nodes[self.name]["SOA"][0]
