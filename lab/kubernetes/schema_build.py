"""Build ``data/schema.json`` from Kubernetes' published OpenAPI document (``swagger.json``).

Run ``python -m lab.kubernetes.schema_build swagger.json`` after a change of the served resources or of the Kubernetes
version. The result keeps what the emulator acts on: field names, types, required fields, and how lists and maps merge.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .resources import CATALOGUE

Json = dict[str, Any]
PREFIX = "#/definitions/"
SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "time",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "int-or-string",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}
EXTRA_KINDS = {
    "autoscaling/v1/Scale": "io.k8s.api.autoscaling.v1.Scale",
    "policy/v1/Eviction": "io.k8s.api.policy.v1.Eviction",
    "v1/Binding": "io.k8s.api.core.v1.Binding",
    "v1/DeleteOptions": "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "authentication.k8s.io/v1/TokenRequest": "io.k8s.api.authentication.v1.TokenRequest",
}


class Builder:
    """Walks the definitions that the served kinds reach and writes each once, in compact form."""

    def __init__(self, definitions: Json) -> None:
        self._definitions = definitions
        self.types: Json = {}

    def reference(self, name: str, *, atomic: bool = False) -> Any:
        if name in SCALARS:
            return SCALARS[name]
        definition = self._definitions[name]
        if "properties" not in definition:
            return "any" if definition.get("type") == "object" else self._scalar(definition)
        short = name.removeprefix("io.k8s.").removeprefix("api.").removeprefix("apimachinery.pkg.apis.")
        if short not in self.types:
            self.types[short] = {}
            fields = {key: self.node(value) for key, value in definition["properties"].items()}
            self.types[short] = {"fields": fields, "required": definition.get("required", [])}
        atomic = atomic or definition.get("x-kubernetes-map-type") == "atomic"
        return {"struct": short, "atomic": True} if atomic else {"struct": short}

    def node(self, prop: Json) -> Any:
        if "$ref" in prop:
            return self.reference(
                prop["$ref"].removeprefix(PREFIX), atomic=prop.get("x-kubernetes-map-type") == "atomic"
            )
        if prop.get("type") == "array":
            return self._list(prop)
        if prop.get("type") == "object" and "additionalProperties" in prop:
            node: Json = {"map": self.node(prop["additionalProperties"])}
            if prop.get("x-kubernetes-map-type") == "atomic":
                node["atomic"] = True
            return node
        return "any" if prop.get("type") == "object" else self._scalar(prop)

    def _list(self, prop: Json) -> Json:
        node: Json = {"list": self.node(prop["items"])}
        kind = prop.get("x-kubernetes-list-type", "atomic")
        if kind == "map":
            node["keys"] = prop["x-kubernetes-list-map-keys"]
        elif kind == "set":
            node["set"] = True
        if "merge" in prop.get("x-kubernetes-patch-strategy", ""):
            node["merge"] = prop.get("x-kubernetes-patch-merge-key", "")
        return node

    @staticmethod
    def _scalar(prop: Json) -> str:
        if prop.get("format") == "byte":
            return "bytes"
        return str(prop.get("type", "any"))


def build(document: Json) -> Json:
    """The compact schema of every kind in the discovery table. KeyError where the document lacks one of them."""
    definitions = document["definitions"]
    builder = Builder(definitions)
    by_kind = {}
    for name, definition in definitions.items():
        for gvk in definition.get("x-kubernetes-group-version-kind", []):
            by_kind[(gvk["group"], gvk["version"], gvk["kind"])] = name
    kinds = {}
    for resource in CATALOGUE.all():
        name = by_kind[(resource.group, resource.version, resource.kind)]
        kinds[f"{resource.api_version}/{resource.kind}"] = builder.reference(name)["struct"]
    for key, name in EXTRA_KINDS.items():
        kinds[key] = builder.reference(name)["struct"]
    return {"kinds": kinds, "types": dict(sorted(builder.types.items()))}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m lab.kubernetes.schema_build SWAGGER_JSON", file=sys.stderr)
        return 2
    schema = build(json.loads(Path(arguments[0]).read_text("utf-8")))
    target = Path(__file__).with_name("data") / "schema.json"
    lines = [
        f" {json.dumps(name)}: {json.dumps(body, separators=(',', ':'))}" for name, body in schema["types"].items()
    ]
    kinds = json.dumps(schema["kinds"], indent=1)
    types = ",\n".join(lines)
    target.write_text(f'{{"kinds": {kinds},\n"types": {{\n{types}\n}}}}\n', "utf-8")
    print(f"{target}: {len(schema['kinds'])} kinds, {len(schema['types'])} types")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
