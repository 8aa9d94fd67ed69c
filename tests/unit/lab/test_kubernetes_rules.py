"""The pure rules of the emulator: patches, field sets, schedules, quantities, selectors, rollout arithmetic, paths."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from lab.kubernetes.controllers.revisions import max_surge, max_unavailable, template_hash
from lab.kubernetes.controllers.rollout import new_size, proportional_sizes, scaled_down_sizes
from lab.kubernetes.cron import schedule_problem
from lab.kubernetes.errors import ApiError
from lab.kubernetes.fields import Difference, collect, from_tree, to_tree
from lab.kubernetes.patching import merge_patch, strategic_merge
from lab.kubernetes.pod_defaults import quality_of_service, requests_of
from lab.kubernetes.routing import find_target
from lab.kubernetes.schema import SCHEMA
from lab.kubernetes.selectors import match_labels, parse_label_selector, selector_text
from lab.kubernetes.values import portion, quantity

Json = dict[str, Any]
DEPLOYMENT = SCHEMA.of_kind("apps/v1", "Deployment")
POD = SCHEMA.of_kind("v1", "Pod")
SERVICE = SCHEMA.of_kind("v1", "Service")


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": 1}, {"a": None}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": "text"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
    ],
)
def test_merge_patches_follow_rfc_7386(target: Json, patch: Json, expected: Json) -> None:
    assert merge_patch(target, patch) == expected


@pytest.mark.parametrize(
    ("present", "patch", "expected"),
    [
        (
            [{"port": 80, "protocol": "TCP"}],
            [{"port": 80, "name": "web"}],
            [{"port": 80, "protocol": "TCP", "name": "web"}],
        ),
        ([{"port": 80}], [{"port": 81}], [{"port": 80}, {"port": 81}]),
        ([{"port": 80}, {"port": 81}], [{"port": 80, "$patch": "delete"}], [{"port": 81}]),
        ([{"port": 80}], [{"port": 90}, {"$patch": "replace"}], [{"port": 90}]),
        ([{"port": 53, "protocol": "UDP"}], [{"port": 53, "protocol": "TCP"}], [
            {"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"},
        ]),
    ],
)  # fmt: skip
def test_strategic_merge_of_service_ports(present: list[Json], patch: list[Json], expected: list[Json]) -> None:
    assert (
        strategic_merge({"spec": {"ports": present}}, {"spec": {"ports": patch}}, SERVICE)["spec"]["ports"] == expected
    )


def test_strategic_merge_of_lists_without_a_key_replaces_them() -> None:
    before = {"spec": {"containers": [{"name": "c", "command": ["a", "b"]}]}}
    after = strategic_merge(before, {"spec": {"containers": [{"name": "c", "command": ["z"]}]}}, POD)
    assert after["spec"]["containers"][0]["command"] == ["z"]


def test_strategic_merge_of_primitive_lists() -> None:
    before: Json = {"metadata": {"finalizers": ["a", "b"]}}
    added = strategic_merge(before, {"metadata": {"finalizers": ["b", "c"]}}, POD)
    assert added["metadata"]["finalizers"] == ["a", "b", "c"]
    removed = strategic_merge(before, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}, POD)
    assert removed["metadata"]["finalizers"] == ["b"]


def test_strategic_merge_keeps_only_the_keys_it_is_told_to() -> None:
    before = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(before, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_an_item_without_its_merge_key_is_refused() -> None:
    with pytest.raises(ApiError, match="does not contain declared merge key: name"):
        strategic_merge({}, {"spec": {"containers": [{"image": "x"}]}}, POD)


def test_field_sets_survive_their_written_form() -> None:
    obj = {
        "metadata": {"name": "x", "labels": {"a": "b"}, "finalizers": ["one"]},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "c", "env": [{"name": "E"}]}]}}},
    }
    fields = collect(obj, DEPLOYMENT)
    assert from_tree(to_tree(fields)) == fields
    containers = to_tree(fields)["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert containers['k:{"name":"c"}']["f:env"] == {'k:{"name":"E"}': {".": {}, "f:name": {}}}
    assert to_tree(fields)["f:metadata"] == {"f:finalizers": {'v:"one"': {}}, "f:labels": {"f:a": {}}}


def test_differences_tell_changed_from_removed() -> None:
    before = {"metadata": {"labels": {"same": "1", "old": "1", "turned": "1"}}, "spec": {"replicas": 1}}
    after = {"metadata": {"labels": {"same": "1", "new": "1", "turned": "2"}}, "spec": {"replicas": 1}}
    found = Difference(before, after, DEPLOYMENT)
    labels = ("f:metadata", "f:labels")
    assert found.changed == {(*labels, "f:new"), (*labels, "f:turned")}
    assert found.removed == {(*labels, "f:old")}


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("*/15 * * * *", None),
        ("0 3 * * sun,wed", None),
        ("0-30/5 1,2 1-15 jan-mar *", None),
        ("@daily", None),
        ("every day", "expected exactly 5 fields, found 2: [every day]"),
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("x * * * *", "failed to parse int from x"),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
    ],
)
def test_schedules(schedule: str, problem: str | None) -> None:
    assert schedule_problem(schedule) == problem


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", "0.5"), ("2", "2"), ("1.5Gi", str(3 * 2**29)), ("1e3", "1000"), (4, "4"), ("3k", "3000"), ("2E", "2e18")],
)
def test_quantities(text: Any, value: str) -> None:
    assert quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "m", "ten", "5x", "1Gii"])
def test_texts_that_are_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity(text)


@pytest.mark.parametrize(
    ("value", "total", "up", "expected"),
    [("25%", 5, True, 2), ("25%", 5, False, 1), (3, 5, True, 3), ("0%", 9, True, 0), ("100%", 7, False, 7)],
)
def test_portions(value: Any, total: int, up: bool, expected: int) -> None:
    assert portion(value, total, round_up=up) == expected


def test_the_largest_init_container_counts() -> None:
    def container(cpu: str) -> Json:
        return {"resources": {"requests": {"cpu": cpu}}}

    spec = {"containers": [container("100m"), container("200m")], "initContainers": [container("1")]}
    assert requests_of(spec) == {"cpu": Decimal(1)}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1", "memory": "1"}}, "Guaranteed"),
    ],
)
def test_quality_of_service(resources: Json, expected: str) -> None:
    assert quality_of_service({"containers": [{"resources": resources}]}) == expected


def test_selectors_as_objects_and_as_text_agree() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["b", "a"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "zone", "operator": "NotIn", "values": ["x"]},
        {"key": "name", "operator": "Exists"},
    ]
    selector = {"matchLabels": {"app": "web"}, "matchExpressions": expressions}
    text = selector_text(selector)
    assert text == "app=web,tier in (a,b),!old,zone notin (x),name"
    good = {"app": "web", "tier": "a", "name": "n"}
    for change in ({}, {"tier": "c"}, {"old": ""}, {"zone": "x"}, {"app": "db"}):
        labels = {**good, **change}
        assert match_labels(selector, labels) is parse_label_selector(text)(labels)


def _deployment(replicas: int, surge: Any, unavailable: Any) -> Json:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {
        "spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}},
        "status": {},
    }


def _set(name: str, size: int, available: int, born: int = 0) -> Json:
    return {
        "metadata": {"name": name, "creationTimestamp": f"2026-01-01T00:00:{born:02}Z", "annotations": {}},
        "spec": {"replicas": size},
        "status": {"availableReplicas": available},
    }


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (4, "25%", "25%", (1, 1)),
        (1, "25%", "25%", (1, 0)),
        (3, "0%", "10%", (0, 1)),
        (2, 0, 5, (0, 2)),
        (0, 1, 1, (1, 0)),
    ],
)
def test_fenceposts(replicas: int, surge: Any, unavailable: Any, expected: tuple[int, int]) -> None:
    deployment = _deployment(replicas, surge, unavailable)
    assert (max_surge(deployment), max_unavailable(deployment)) == expected


def test_the_new_one_grows_into_the_surge_only() -> None:
    deployment = _deployment(4, 1, 0)
    assert new_size(deployment, 0, 4) == 1
    assert new_size(deployment, 1, 5) == 1
    assert new_size(deployment, 3, 4) == 4


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ((1, 0), [("a", 4, 4)], {"a": 4}),
        ((1, 1), [("a", 4, 4)], {"a": 3}),
        ((2, 0), [("a", 4, 1)], {"a": 4}),
        ((1, 1), [("a", 2, 0), ("b", 2, 2)], {"a": 1, "b": 2}),
    ],
)
def test_old_ones_shrink_as_availability_allows(new: tuple[int, int], old: list[Any], expected: dict[str, int]) -> None:
    """Four wanted, one more allowed, none fewer; sizes and available pods of the new and the old ones."""
    sets = [_set(name, size, available, born) for born, (name, size, available) in enumerate(old)]
    assert scaled_down_sizes(_deployment(4, 1, 0), _set("new", *new, 9), sets) == expected


def test_a_single_active_one_takes_the_whole_change() -> None:
    assert proportional_sizes(_deployment(7, 1, 0), _set("new", 3, 3), [_set("old", 0, 0)]) == {"new": 7}


def test_hashes_depend_on_template_and_collisions_alone() -> None:
    one = template_hash({"a": 1, "b": 2}, 0)
    assert one == template_hash({"b": 2, "a": 1}, 0)
    assert one != template_hash({"a": 1, "b": 3}, 0)
    assert one != template_hash({"a": 1, "b": 2}, 1)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ("pods", None, "", "")),
        ("/api/v1/namespaces", ("namespaces", None, "", "")),
        ("/api/v1/namespaces/a", ("namespaces", None, "a", "")),
        ("/api/v1/namespaces/a/finalize", ("namespaces", None, "a", "finalize")),
        ("/api/v1/namespaces/a/pods/p/status", ("pods", "a", "p", "status")),
        ("/api/v1/nodes/n/status", ("nodes", None, "n", "status")),
        ("/apis/apps/v1/namespaces/a/deployments/d/scale", ("deployments", "a", "d", "scale")),
    ],
)
def test_paths(path: str, expected: tuple[str, str | None, str, str]) -> None:
    target = find_target(path)
    assert target is not None
    assert (target.resource.plural, target.namespace, target.name, target.subresource) == expected


@pytest.mark.parametrize(
    "path", ["/", "/api/v1", "/api/v2/pods", "/apis/apps/v1/pods", "/api/v1/pods/p", "/api/v1/namespaces/a/pods/p/x/y"]
)
def test_paths_that_name_nothing(path: str) -> None:
    assert find_target(path) is None
