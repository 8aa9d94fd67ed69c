"""What clients may do with objects: select, patch, apply, delete, watch, and what they are refused."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.lab.kubernetes_server import (
    APPLY,
    DEPLOYMENTS,
    JSON_PATCH,
    MERGE,
    PODS,
    REPLICA_SETS,
    STRATEGIC,
    NodeClient,
    Server,
    deployment,
    running,
    until,
)

Json = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("api")) as running_server:
        yield running_server


@pytest.fixture
def server(shared: Server) -> Server:
    """The module's server without what the test before left in the default namespace."""
    for path in (DEPLOYMENTS, REPLICA_SETS, PODS, MAPS, "/apis/policy/v1/namespaces/default/poddisruptionbudgets"):
        shared.call("DELETE", path, {"gracePeriodSeconds": 0})
    shared.call("DELETE", "/api/v1/nodes")
    until(lambda: not shared.get(PODS)["items"] and not shared.get(REPLICA_SETS)["items"], "the namespace is empty")
    return shared


def config_map(name: str, labels: Json | None = None, **data: str) -> Json:
    return {"metadata": {"name": name, "labels": labels or {}}, "data": data}


def names(listing: Json) -> list[str]:
    return [item["metadata"]["name"] for item in listing["items"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("labelSelector=tier%3Done", ["a"]),
        ("labelSelector=tier!%3Done", ["b", "c", "kube-root-ca.crt"]),
        ("labelSelector=tier%20in%20(one,two)", ["a", "b"]),
        ("labelSelector=tier%20notin%20(one)", ["b", "c", "kube-root-ca.crt"]),
        ("labelSelector=tier", ["a", "b"]),
        ("labelSelector=!tier", ["c", "kube-root-ca.crt"]),
        ("labelSelector=tier%20in%20(one,two),app%3Dweb", ["b"]),
        ("fieldSelector=metadata.name%3Db", ["b"]),
        ("fieldSelector=metadata.name!%3Db", ["a", "c", "kube-root-ca.crt"]),
    ],
)
def test_selectors(server: Server, query: str, expected: list[str]) -> None:
    for body in (config_map("a", {"tier": "one"}), config_map("b", {"tier": "two", "app": "web"}), config_map("c")):
        server.send("POST", MAPS, body)
    until(lambda: "kube-root-ca.crt" in names(server.get(MAPS)), "the CA bundle is back")
    assert names(server.get(f"{MAPS}?{query}")) == expected


@pytest.mark.parametrize("query", ["labelSelector=a%20near%20b", "fieldSelector=data.x%3D1", "limit=many"])
def test_unreadable_queries_are_refused(server: Server, query: str) -> None:
    assert server.call("GET", f"{MAPS}?{query}").status == 400


def test_pages_hold_everything_once(server: Server) -> None:
    for number in range(7):
        server.send("POST", MAPS, config_map(f"page-{number}", {"paged": "yes"}))
    found: list[str] = []
    token = ""
    while True:
        page = server.get(f"{MAPS}?limit=3&labelSelector=paged&continue={token}")
        assert len(page["items"]) <= 3
        found += names(page)
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert found == [f"page-{number}" for number in range(7)]


def test_remaining_items_are_counted_only_without_selectors(server: Server) -> None:
    for number in range(3):
        server.send("POST", MAPS, config_map(f"page-{number}"))
    until(lambda: "kube-root-ca.crt" in names(server.get(MAPS)), "the CA bundle is back")
    assert server.get(f"{MAPS}?limit=1")["metadata"]["remainingItemCount"] == 3


def test_a_broken_continue_token_is_gone(server: Server) -> None:
    answer = server.call("GET", f"{MAPS}?limit=1&continue=nonsense")
    assert (answer.status, answer.body["reason"]) == (410, "Expired")


def test_generated_names(server: Server) -> None:
    one, two = (server.send("POST", MAPS, {"metadata": {"generateName": "gen-"}}) for _ in range(2))
    assert one["metadata"]["name"].startswith("gen-")
    assert one["metadata"]["name"] != two["metadata"]["name"]


@pytest.mark.parametrize(
    ("content_type", "patch", "expected"),
    [
        (MERGE, {"data": {"a": None, "b": "2"}}, {"b": "2", "c": "3"}),
        (STRATEGIC, {"data": {"a": None, "b": "2"}}, {"b": "2", "c": "3"}),
        (JSON_PATCH, [{"op": "replace", "path": "/data", "value": {"z": "9"}}], {"z": "9"}),
        (
            JSON_PATCH,
            [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "remove", "path": "/data/a"}],
            {"c": "3"},
        ),
    ],
)
def test_patches(server: Server, content_type: str, patch: Any, expected: Json) -> None:
    server.send("POST", MAPS, config_map("m", a="1", c="3"))
    assert server.send("PATCH", f"{MAPS}/m", patch, content_type)["data"] == expected
    assert server.get(f"{MAPS}/m")["data"] == expected


@pytest.mark.parametrize(
    ("content_type", "patch", "status"),
    [
        (JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "other"}], 422),
        (JSON_PATCH, [{"op": "remove", "path": "/data/none"}], 422),
        (JSON_PATCH, {"data": {}}, 400),
        (JSON_PATCH, [{"op": "dance", "path": "/data"}], 400),
        (MERGE, ["a"], 400),
        (MERGE, {"metadata": {"resourceVersion": "1"}}, 409),
        (MERGE, {"metadata": {"uid": "other"}}, 409),
        (MERGE, {"data": {"a": 5}}, 400),
        ("application/json", {"data": {}}, 415),
    ],
)
def test_patches_that_are_refused_change_nothing(server: Server, content_type: str, patch: Any, status: int) -> None:
    before = server.send("POST", MAPS, config_map("m", a="1"))
    assert server.call("PATCH", f"{MAPS}/m", patch, content_type).status == status
    assert server.get(f"{MAPS}/m") == before


def test_a_write_that_changes_nothing_is_no_write(server: Server) -> None:
    before = server.send("POST", MAPS, config_map("m", a="1"))
    after = server.send("PATCH", f"{MAPS}/m", {"data": {"a": "1"}}, MERGE)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_only_changes_of_the_spec_count_as_generations(server: Server) -> None:
    body = server.send("POST", DEPLOYMENTS, deployment())
    assert body["metadata"]["generation"] == 1
    labelled = server.send("PATCH", f"{DEPLOYMENTS}/web", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert labelled["metadata"]["generation"] == 1
    scaled = server.send("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"replicas": 3}}, MERGE)
    assert scaled["metadata"]["generation"] == 2


def test_the_status_is_written_only_through_its_subresource(server: Server) -> None:
    server.send("POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    server.send("PATCH", f"{PODS}/p", {"status": {"phase": "Failed"}}, MERGE)
    assert server.get(f"{PODS}/p")["status"]["phase"] == "Pending"
    server.send("PATCH", f"{PODS}/p/status", {"status": {"phase": "Failed"}, "spec": {"nodeName": "x"}}, MERGE)
    pod = server.get(f"{PODS}/p")
    assert pod["status"]["phase"] == "Failed"
    assert "nodeName" not in pod["spec"]


def test_dry_run_stores_nothing(server: Server) -> None:
    before = server.get("/api/v1/namespaces")["metadata"]["resourceVersion"]
    assert server.send("POST", f"{MAPS}?dryRun=All", config_map("dry"))["metadata"]["uid"]
    assert server.call("GET", f"{MAPS}/dry").status == 404
    assert server.get("/api/v1/namespaces")["metadata"]["resourceVersion"] == before
    server.send("POST", MAPS, config_map("m", a="1"))
    assert server.send("PATCH", f"{MAPS}/m?dryRun=All", {"data": {"a": "2"}}, MERGE)["data"] == {"a": "2"}
    assert server.get(f"{MAPS}/m")["data"] == {"a": "1"}
    server.send("DELETE", f"{MAPS}/m", {"dryRun": ["All"]})
    assert server.get(f"{MAPS}/m")


def test_secrets_take_plain_text_and_give_base64(server: Server) -> None:
    path = "/api/v1/namespaces/default/secrets"
    server.call("DELETE", f"{path}/s")
    data = {"old": base64.b64encode(b"1").decode()}
    body = server.send("POST", path, {"metadata": {"name": "s"}, "data": data, "stringData": {"new": "2"}})
    assert body["data"] == {"old": "MQ==", "new": "Mg=="}
    assert "stringData" not in body


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spec": {"replicas": -1}}, "spec.replicas"),
        ({"spec": {"selector": {"matchLabels": {"app": "other"}}}}, "spec.template.metadata.labels"),
        ({"spec": {"strategy": {"type": "Sideways"}}}, "spec.strategy.type"),
        ({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}}, "spec.strategy.rollingUpdate"),
        (
            {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}},
            "spec.strategy.rollingUpdate.maxUnavailable",
        ),
        ({"spec": {"progressDeadlineSeconds": 5, "minReadySeconds": 5}}, "spec.progressDeadlineSeconds"),
        ({"metadata": {"name": "Not_A_Name"}}, "metadata.name"),
        ({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}}, "spec.template.spec.restartPolicy"),
    ],
)
def test_invalid_deployments_name_the_field(server: Server, change: Json, field: str) -> None:
    body = deployment()
    for part, values in change.items():
        body[part] = {**body[part], **values}
    if "template" in change.get("spec", {}):
        body["spec"]["template"] = deployment()["spec"]["template"]
        body["spec"]["template"]["spec"] |= change["spec"]["template"]["spec"]
    answer = server.call("POST", DEPLOYMENTS, body)
    assert (answer.status, answer.body["reason"]) == (422, "Invalid")
    assert field in [cause["field"] for cause in answer.body["details"]["causes"]]


def test_a_selector_never_changes(server: Server) -> None:
    server.send("POST", DEPLOYMENTS, deployment())
    labels = {"app": "web", "more": "x"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}
    answer = server.call("PATCH", f"{DEPLOYMENTS}/web", {"spec": spec}, MERGE)
    assert answer.status == 422
    assert answer.body["details"]["causes"][0]["field"] == "spec.selector"


def test_strategic_merge_deletes_adds_and_orders_by_name(server: Server) -> None:
    server.send("POST", DEPLOYMENTS, deployment())
    containers = [{"name": "side", "image": "side:1"}, {"name": "web", "env": [{"name": "A", "value": "1"}]}]
    patch: Json = {"spec": {"template": {"spec": {"containers": containers}}}}
    pod = server.send("PATCH", f"{DEPLOYMENTS}/web", patch, STRATEGIC)["spec"]["template"]["spec"]
    assert [(item["name"], item["image"]) for item in pod["containers"]] == [("web", "web:1"), ("side", "side:1")]
    patch["spec"]["template"]["spec"] = {
        "$setElementOrder/containers": [{"name": "web"}],
        "containers": [{"name": "side", "$patch": "delete"}, {"name": "web", "env": [{"name": "B", "value": "2"}]}],
    }
    pod = server.send("PATCH", f"{DEPLOYMENTS}/web", patch, STRATEGIC)["spec"]["template"]["spec"]
    assert [item["name"] for item in pod["containers"]] == ["web"]
    assert pod["containers"][0]["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]


class TestApply:
    """Server-side apply."""

    @staticmethod
    def apply(server: Server, body: Json, query: str) -> Any:
        return server.call("PATCH", f"{DEPLOYMENTS}/web?{query}", body, APPLY)

    def test_creates_then_changes_only_what_is_applied(self, server: Server) -> None:
        assert self.apply(server, deployment(replicas=2), "fieldManager=one").status == 201
        again = self.apply(server, deployment(replicas=2), "fieldManager=one")
        changed = self.apply(server, deployment(replicas=3), "fieldManager=one")
        assert (again.status, changed.status) == (200, 200)
        assert changed.body["spec"]["replicas"] == 3

    def test_fields_left_out_are_removed_unless_another_manager_set_them(self, server: Server) -> None:
        body = deployment()
        body["metadata"]["labels"] = {"mine": "1", "shared": "1"}
        self.apply(server, body, "fieldManager=one")
        other: Json = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"labels": {"shared": "1"}}}
        assert self.apply(server, other, "fieldManager=two").status == 200
        del body["metadata"]["labels"]
        assert self.apply(server, body, "fieldManager=one").body["metadata"]["labels"] == {"shared": "1"}

    def test_list_items_are_owned_one_by_one(self, server: Server) -> None:
        body = deployment()
        body["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}]
        self.apply(server, body, "fieldManager=one")
        container = {"name": "web", "env": [{"name": "B", "value": "2"}]}
        spec = {"template": {"spec": {"containers": [container]}}}
        other = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": spec}
        result = self.apply(server, other, "fieldManager=two").body["spec"]["template"]["spec"]["containers"]
        assert [variable["name"] for variable in result[0]["env"]] == ["A", "B"]
        other["spec"] = {"template": {"spec": {"containers": [{"name": "web"}]}}}
        result = self.apply(server, other, "fieldManager=two").body["spec"]["template"]["spec"]["containers"]
        assert result[0]["env"] == [{"name": "A", "value": "1"}]

    def test_every_conflict_is_named_and_force_takes_over(self, server: Server) -> None:
        self.apply(server, deployment(replicas=2), "fieldManager=one")
        body = deployment(replicas=5, image="web:9")
        refused = self.apply(server, body, "fieldManager=two")
        assert refused.status == 409
        fields = [cause["field"] for cause in refused.body["details"]["causes"]]
        assert fields == [".spec.replicas", '.spec.template.spec.containers[name="web"].image']
        assert refused.body["message"].startswith('Apply failed with 2 conflicts: conflicts with "one" using apps/v1:')
        assert self.apply(server, body, "fieldManager=two&force=true").body["spec"]["replicas"] == 5
        assert self.apply(server, deployment(replicas=2), "fieldManager=one").status == 409

    def test_yaml_bodies(self, server: Server) -> None:
        text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata:\n  day: '2026-01-01'\n"
        answer = server.call("PATCH", f"{MAPS}/y?fieldManager=one", text, APPLY)
        assert answer.body["data"] == {"day": "2026-01-01"}


class TestDelete:
    """Deletion, its order, and what survives it."""

    def test_answers_with_a_status_that_names_the_object(self, server: Server) -> None:
        body = server.send("POST", MAPS, config_map("m"))
        answer = server.send("DELETE", f"{MAPS}/m")
        assert (answer["kind"], answer["status"]) == ("Status", "Success")
        assert answer["details"] == {"name": "m", "kind": "configmaps", "uid": body["metadata"]["uid"]}

    def test_preconditions(self, server: Server) -> None:
        server.send("POST", MAPS, config_map("m"))
        for wrong in ({"uid": "other"}, {"resourceVersion": "1"}):
            assert server.call("DELETE", f"{MAPS}/m", {"preconditions": wrong}).status == 409
        assert server.get(f"{MAPS}/m")

    def test_finalizers_hold_an_object_until_the_last_goes(self, server: Server) -> None:
        body = config_map("m")
        body["metadata"]["finalizers"] = ["lab/one", "lab/two"]
        server.send("POST", MAPS, body)
        assert server.send("DELETE", f"{MAPS}/m")["metadata"]["deletionTimestamp"]
        server.send("PATCH", f"{MAPS}/m", {"metadata": {"finalizers": ["lab/two"]}}, MERGE)
        assert server.get(f"{MAPS}/m")
        server.send("PATCH", f"{MAPS}/m", {"metadata": {"finalizers": None}}, MERGE)
        assert server.call("GET", f"{MAPS}/m").status == 404

    @pytest.mark.parametrize("policy", ["Background", "Foreground"])
    def test_dependents_go_with_their_owner(self, server: Server, policy: str) -> None:
        node = NodeClient(server)
        node.register()
        server.send("POST", DEPLOYMENTS, deployment())
        node.run_until(lambda: len(node.pods()) == 2, "two pods on the node")
        server.send("DELETE", f"{DEPLOYMENTS}/web", {"propagationPolicy": policy})
        if policy == "Foreground":
            until(lambda: all(pod["metadata"].get("deletionTimestamp") for pod in node.pods()), "pods terminate")
            assert server.get(f"{DEPLOYMENTS}/web")["metadata"]["finalizers"] == ["foregroundDeletion"]
        node.run_until(lambda: not server.get(PODS)["items"], "the pods are gone")
        until(lambda: not server.get(REPLICA_SETS)["items"], "the ReplicaSet is gone")
        until(lambda: server.call("GET", f"{DEPLOYMENTS}/web").status == 404, "the deployment is gone")

    def test_orphans_stay_and_are_adopted_again(self, server: Server) -> None:
        server.send("POST", DEPLOYMENTS, deployment())
        until(lambda: len(server.get(PODS)["items"]) == 2, "two pods")
        server.send("DELETE", f"{DEPLOYMENTS}/web", {"propagationPolicy": "Orphan"})
        until(lambda: server.call("GET", f"{DEPLOYMENTS}/web").status == 404, "the deployment is gone")
        (orphan,) = server.get(REPLICA_SETS)["items"]
        assert not orphan["metadata"].get("ownerReferences")
        server.send("POST", DEPLOYMENTS, deployment())
        until(lambda: server.get(REPLICA_SETS)["items"][0]["metadata"].get("ownerReferences"), "it is adopted")
        assert names(server.get(REPLICA_SETS)) == [orphan["metadata"]["name"]]

    def test_pods_without_a_node_go_at_once(self, server: Server) -> None:
        server.send("POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
        server.send("DELETE", f"{PODS}/p")
        assert server.call("GET", f"{PODS}/p").status == 404

    def test_a_namespace_takes_its_content_along(self, server: Server) -> None:
        server.send("POST", "/api/v1/namespaces", {"metadata": {"name": "short"}})
        server.send("POST", "/api/v1/namespaces/short/configmaps", config_map("m"))
        held = config_map("held")
        held["metadata"]["finalizers"] = ["lab/hold"]
        server.send("POST", "/api/v1/namespaces/short/configmaps", held)
        assert server.send("DELETE", "/api/v1/namespaces/short")["status"]["phase"] == "Terminating"
        until(lambda: server.call("GET", "/api/v1/namespaces/short/configmaps/m").status == 404, "content goes")
        refused = server.call("POST", "/api/v1/namespaces/short/configmaps", config_map("late"))
        assert (refused.status, refused.body["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
        free = {"metadata": {"finalizers": None}}
        server.send("PATCH", "/api/v1/namespaces/short/configmaps/held", free, MERGE)
        until(lambda: server.call("GET", "/api/v1/namespaces/short").status == 404, "the namespace is gone")

    def test_a_collection_by_label(self, server: Server) -> None:
        server.send("POST", MAPS, config_map("a", {"old": "yes"}))
        server.send("POST", MAPS, config_map("b"))
        deleted = server.send("DELETE", f"{MAPS}?labelSelector=old")
        assert names(deleted) == ["a"]
        assert server.get(f"{MAPS}/b")


class TestWatch:
    """Watches, and how they end."""

    def test_objects_enter_and_leave_a_selection(self, server: Server) -> None:
        version = server.get(MAPS)["metadata"]["resourceVersion"]
        server.send("POST", MAPS, config_map("m", {"on": "no"}))
        for value in ("yes", "no", "yes"):
            server.send("PATCH", f"{MAPS}/m", {"metadata": {"labels": {"on": value}}}, MERGE)
        server.send("PATCH", f"{MAPS}/m", {"data": {"a": "1"}}, MERGE)
        server.send("DELETE", f"{MAPS}/m")
        events = server.watch(f"{MAPS}?watch=1&labelSelector=on%3Dyes&resourceVersion={version}", 5)
        assert [event["type"] for event in events] == ["ADDED", "DELETED", "ADDED", "MODIFIED", "DELETED"]
        versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
        assert versions == sorted(versions)

    def test_without_a_version_the_present_comes_first(self, server: Server) -> None:
        server.send("POST", MAPS, config_map("a"))
        (event,) = server.watch(f"{MAPS}?watch=1&fieldSelector=metadata.name%3Da", 1)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
        assert event["object"]["kind"] == "ConfigMap"

    def test_initial_events_end_with_a_bookmark(self, server: Server) -> None:
        server.send("POST", MAPS, config_map("a", {"only": "this"}))
        query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
        added, mark = server.watch(f"{MAPS}?{query}&labelSelector=only", 2)
        assert (added["type"], mark["type"]) == ("ADDED", "BOOKMARK")
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}

    def test_it_ends_when_its_time_is_up(self, server: Server) -> None:
        version = server.get(MAPS)["metadata"]["resourceVersion"]
        with server.open("GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion={version}") as response:
            assert response.read() == b""

    def test_what_is_no_longer_kept_is_gone(self, server: Server) -> None:
        server.send("POST", MAPS, config_map("m", n="0"))
        for number in range(1, 520):
            server.send("PATCH", f"{MAPS}/m", {"data": {"n": str(number)}}, MERGE)
        (event,) = server.watch(f"{MAPS}?watch=1&resourceVersion=1", 1)
        assert event["type"] == "ERROR"
        assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


class TestEviction:
    """Pod eviction and disruption budgets."""

    BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"

    def test_a_budget_allows_as_many_as_it_says(self, server: Server) -> None:
        node = NodeClient(server)
        node.register()
        spec = {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}
        server.send("POST", self.BUDGETS, {"metadata": {"name": "web"}, "spec": spec})
        server.send("POST", DEPLOYMENTS, deployment(replicas=3))
        allowed = f"{self.BUDGETS}/web"
        node.run_until(lambda: server.get(allowed)["status"].get("disruptionsAllowed") == 1, "one may go")
        first, second, *_ = names(server.get(PODS))
        assert server.call("POST", f"{PODS}/{first}/eviction", {"metadata": {"name": first}}).status == 201
        refused = server.call("POST", f"{PODS}/{second}/eviction", {"metadata": {"name": second}})
        assert (refused.status, refused.body["reason"]) == (429, "TooManyRequests")
        assert refused.body["details"]["causes"][0]["reason"] == "DisruptionBudget"
        until(lambda: server.get(f"{PODS}/{first}")["metadata"].get("deletionTimestamp"), "the first terminates")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/apis/nothing.example/v1/things", None, 404),
        ("GET", "/api/v1/namespaces/default/pods/x/dance", None, 404),
        ("POST", "/api/v1/pods", {"metadata": {"name": "p"}}, 405),
        ("DELETE", "/api/v1/namespaces", None, 405),
        ("POST", MAPS, "{", 400),
        ("POST", MAPS, {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "x"}}, 400),
        ("POST", MAPS, {"metadata": {"name": "x", "namespace": "other"}}, 400),
        ("POST", MAPS, {"metadata": {"name": "x", "resourceVersion": "5"}}, 400),
        ("POST", MAPS, {"metadata": {}}, 422),
        ("POST", "/api/v1/namespaces/nowhere/configmaps", {"metadata": {"name": "x"}}, 404),
        ("PUT", f"{MAPS}/none", {"metadata": {"name": "none"}}, 404),
        ("PUT", f"{MAPS}/one", {"metadata": {"name": "two"}}, 400),
        ("PATCH", f"{DEPLOYMENTS}/none/scale", {"spec": {"replicas": 1}}, 415),
        ("POST", f"{MAPS}?fieldValidation=Maybe", {"metadata": {"name": "x"}}, 422),
        ("POST", f"{MAPS}?dryRun=Some", {"metadata": {"name": "x"}}, 422),
        ("DELETE", f"{MAPS}/x?propagationPolicy=Sideways", None, 400),
    ],
)
def test_refusals(server: Server, method: str, path: str, body: Any, status: int) -> None:
    answer = server.call(method, path, body)
    assert (answer.status, answer.body["kind"], answer.body["code"]) == (status, "Status", status)


@pytest.mark.parametrize("token", ["", "wrong"])
def test_nobody_comes_in_without_a_known_token(server: Server, token: str) -> None:
    for path in ("/version", "/api", "/api/v1/pods", "/apis/apps/v1"):
        assert server.call("GET", path, token=token).status == 401


def test_apply_needs_a_manager_and_only_apply_may_force(server: Server) -> None:
    server.send("POST", MAPS, config_map("m"))
    assert server.call("PATCH", f"{MAPS}/m", config_map("m"), APPLY).status == 422
    assert server.call("PATCH", f"{MAPS}/m?force=true", {"data": {"a": "1"}}, MERGE).status == 422


def test_logs_are_not_part_of_it(server: Server) -> None:
    server.send("POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    answer = server.call("GET", f"{PODS}/p/log")
    assert (answer.status, answer.body["reason"]) == (501, "NotImplemented")


def test_a_replaced_service_keeps_its_addresses(server: Server) -> None:
    path = "/api/v1/namespaces/default/services"
    server.call("DELETE", f"{path}/s")
    body: Json = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    given = server.send("POST", path, body)["spec"]
    body["spec"]["ports"][0]["targetPort"] = 8080
    kept = server.send("PUT", f"{path}/s", body)["spec"]
    assert (kept["clusterIP"], kept["ports"][0]["nodePort"]) == (given["clusterIP"], given["ports"][0]["nodePort"])
    body["spec"]["clusterIP"] = "10.96.99.99"
    assert server.call("PUT", f"{path}/s", body).status == 422


def test_kinds_without_a_controller_say_so(server: Server) -> None:
    path = "/apis/batch/v1/namespaces/default/jobs"
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    answer = server.call("POST", f"{path}?dryRun=All", {"metadata": {"name": "j"}, "spec": {"template": {"spec": pod}}})
    assert answer.status == 201
    assert "no controller of this emulator acts on it" in answer.warnings[0]
