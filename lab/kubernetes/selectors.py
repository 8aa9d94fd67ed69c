"""Label selectors (as text and as objects) and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .errors import bad_request
from .values import get_path

Json = dict[str, Any]
Predicate = Callable[[Json], bool]
_SET = re.compile(r"^(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s+\((?P<values>[^)]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^\s!=,()]+)\s*(?P<op>==|!=|=)\s*(?P<value>[^\s!=,()]*)$")
_EXISTS = re.compile(r"^(?P<not>!?)\s*(?P<key>[^\s!=,()]+)$")
_COMMA = re.compile(r",(?![^()]*\))")

# The fields that the real server can select by; everything else is an error there too.
_FIELDS: dict[str, tuple[str, ...]] = {
    "Pod": (
        "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
        "status.phase", "status.podIP", "status.nominatedNodeName",
    ),
    "Event": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason",
        "reportingComponent", "source", "type",
    ),
    "Node": ("spec.unschedulable",),
    "Namespace": ("status.phase",),
    "Secret": ("type",),
    "ReplicaSet": ("status.replicas",),
    "Job": ("status.successful",),
    "Service": ("spec.clusterIP", "spec.type"),
}  # fmt: skip


def _requirement(text: str) -> Predicate:
    if found := _SET.match(text):
        values = {value.strip() for value in found["values"].split(",")}
        key, wanted = found["key"], found["op"] == "in"
        if wanted:
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUAL.match(text):
        key, value = found["key"], found["value"]
        if found["op"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(text):
        key, present = found["key"], not found["not"]
        return lambda labels: (key in labels) is present
    raise bad_request(
        f'unable to parse requirement: found "{text}", expected: a key with in, notin, =, ==, != or a key alone'
    )


def parse_label_selector(text: str) -> Predicate:
    """A test of a label map from text such as ``app=web,tier in (one,two),!old``. ApiError 400 if unreadable."""
    requirements = [_requirement(part.strip()) for part in _COMMA.split(text) if part.strip()]
    return lambda labels: all(requirement(labels) for requirement in requirements)


def match_labels(selector: Json | None, labels: Json | None) -> bool:
    """Whether a ``LabelSelector`` object selects the labels; an absent one selects nothing, an empty one all."""
    if selector is None:
        return False
    labels = labels or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(expression, labels) for expression in selector.get("matchExpressions") or [])


def match_expressions(expressions: list[Json], labels: Json) -> bool:
    """Whether all of a node affinity term's expressions hold for the labels."""
    return all(_expression(expression, labels) for expression in expressions)


def _expression(expression: Json, labels: Json) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    if operator in ("Gt", "Lt"):
        return _compare(labels.get(key), operator, values)
    return False


def _compare(label: Any, operator: str, values: list[Any]) -> bool:
    try:
        left, right = int(label), int(values[0])
    except (TypeError, ValueError, IndexError):
        return False
    return left > right if operator == "Gt" else left < right


def selector_text(selector: Json | None) -> str:
    """A ``LabelSelector`` as text, as the scale subresource reports it."""
    parts = [f"{key}={value}" for key, value in sorted(((selector or {}).get("matchLabels") or {}).items())]
    for expression in (selector or {}).get("matchExpressions") or []:
        key, values = expression["key"], ",".join(sorted(expression.get("values") or []))
        operator = expression["operator"]
        texts = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        parts.append(texts[operator])
    return ",".join(parts)


def parse_field_selector(kind: str, text: str) -> Predicate:
    """A test of an object from text such as ``spec.nodeName=a,status.phase!=Failed``. ApiError 400 if unknown."""
    allowed = ("metadata.name", "metadata.namespace", *_FIELDS.get(kind, ()))
    tests: list[Predicate] = []
    for part in filter(None, text.split(",")):
        found = _EQUAL.match(part.strip())
        if not found:
            raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        if found["key"] not in allowed:
            raise bad_request(f"field label not supported: {found['key']}")
        tests.append(_field_test(found["key"], found["value"], found["op"] != "!="))
    return lambda obj: all(test(obj) for test in tests)


def _field_test(field: str, value: str, equal: bool) -> Predicate:
    path = tuple(field.split("."))

    def test(obj: Json) -> bool:
        actual = get_path(obj, *path)
        text = "" if actual is None else str(actual).lower() if isinstance(actual, bool) else str(actual)
        return (text == value) is equal

    return test
