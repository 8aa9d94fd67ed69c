"""k8s_workload against the lab's Kubernetes API with a played node, as a module and as an action."""

from __future__ import annotations

import threading
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.kubernetes_api import KubernetesApi
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.workloads_change import Order, carry_out
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.workloads_model import Key, Observed, Wanted

from tests.unit.lab.kubernetes_server import until
from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.cluster_support import (
    BETTER,
    GOOD,
    MERGE,
    NAMESPACE,
    Cluster,
    kubeconfig,
    running_cluster,
)

KEYS = {"changed", "workloads", "problems", "unverified", "waits", "observed", "evidence", "diff"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster")) as one:
        yield one


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    shared.reset()
    return shared


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


def one(name: str = "api", **options: t.Any) -> dict[str, t.Any]:
    return {"namespace": NAMESPACE, "name": name, **options}


def do(
    both: BothWays, cluster: Cluster, *workloads: dict[str, t.Any], check: bool = False, **options: t.Any
) -> dict[str, t.Any]:
    given = {"kubernetes": cluster.connection, "workloads": list(workloads), "wait_timeout": 60, **options}
    result = both("k8s_workload", given, check)
    if "workloads" in result:
        assert set(result) >= KEYS
    return result


# replicas before, replicas asked for, allow_scale_down, replicas after
SCALES = [
    pytest.param((1, 3, False, 3), id="grows"),
    pytest.param((0, 2, False, 2), id="from-nothing"),
    pytest.param((2, 2, False, 2), id="same"),
    pytest.param((3, 1, False, 3), id="keeps-what-it-has"),
    pytest.param((3, 1, True, 1), id="shrinks-when-allowed"),
    pytest.param((2, 0, True, 0), id="to-nothing-when-allowed"),
]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
@pytest.mark.parametrize("scale", SCALES)
def test_scaled(both: BothWays, cluster: Cluster, kind: str, scale: tuple[int, int, bool, int]) -> None:
    before, asked, down, after = scale
    cluster.create("api", before, kind=kind)
    check = do(both, cluster, one(kind=kind, replicas=asked), check=True, allow_scale_down=down)
    result = do(both, cluster, one(kind=kind, replicas=asked), allow_scale_down=down)
    for told in (check, result):
        assert not told.get("failed"), told
        assert told["changed"] == (before != after)
        assert told["workloads"][0]["before"]["replicas"] == before
        assert told["workloads"][0]["after"]["replicas"] == after
        assert (told["diff"]["before"] == told["diff"]["after"]) == (before == after)
    assert (check["observed"], check["waits"]) == (False, [])
    assert result["observed"] is True
    assert [wait["name"] for wait in result["waits"]] == ["pods_ready"]
    assert result["workloads"][0]["ready"] == after == len(cluster.pods("api"))
    again = do(both, cluster, one(kind=kind, replicas=asked), allow_scale_down=down)
    assert again["changed"] is False


def test_check_mode_changes_nothing(both: BothWays, cluster: Cluster) -> None:
    cluster.create("api", 1, image=GOOD)
    version = cluster.version("api")
    assert do(both, cluster, one(replicas=2), check=True)["changed"]
    assert do(both, cluster, one(), state="restarted", check=True)["changed"]
    assert do(both, cluster, one(images={"api": BETTER}), state="rolled_back", check=True)["changed"]
    assert cluster.version("api") == version


def test_many_at_once_in_one_wait(both: BothWays, cluster: Cluster) -> None:
    names = [f"api-{number}" for number in range(5)]
    for name in names:
        cluster.create(name, 0)
    result = do(both, cluster, *(one(name, replicas=2) for name in names))
    assert [told["ready"] for told in result["workloads"]] == [2] * 5
    assert len(result["waits"]) == 1


def test_an_order_need_not_be_awaited(both: BothWays, cluster: Cluster) -> None:
    cluster.create("api", 0)
    cluster.node.runs_pods.clear()
    result = do(both, cluster, one(replicas=2), wait=False)
    assert (result["changed"], result["observed"], result["waits"]) == (True, False, [])
    cluster.node.runs_pods.set()
    result = do(both, cluster, one(replicas=2))
    assert (result["changed"], result["observed"]) == (False, True)


def test_it_waits_for_pods_to_end(both: BothWays, cluster: Cluster) -> None:
    cluster.create("api", 2)
    do(both, cluster, one(), state="ready")
    cluster.node.confirms_ends.clear()
    result = do(both, cluster, one(replicas=0), allow_scale_down=True, wait_timeout=0.5)
    assert result["failed"]
    assert "2 pods are still ending" in result["msg"]
    cluster.node.confirms_ends.set()
    assert not do(both, cluster, one(replicas=0), allow_scale_down=True).get("failed")
    assert cluster.pods("api") == []


def test_enough_pods_may_be_enough(both: BothWays, cluster: Cluster) -> None:
    cluster.create("api", 0, cpu="1500m")
    result = do(both, cluster, one(replicas=3, minimum_ready=2))
    assert not result.get("failed"), result
    assert result["workloads"][0]["ready"] == 2


# replicas that somebody else sets after ours were decided, replicas asked for, and what has to come of it
CONFLICTS = [
    pytest.param(None, 3, (3, True), id="another-field"),
    pytest.param(2, 3, (3, True), id="fewer-than-asked-for"),
    pytest.param(3, 3, (3, False), id="as-asked-for"),
    pytest.param(9, 3, (9, False), id="more-than-asked-for"),
]


@pytest.mark.parametrize(("theirs", "ours", "outcome"), CONFLICTS)
def test_a_conflict_is_decided_anew(cluster: Cluster, theirs: int | None, ours: int, outcome: tuple[int, bool]) -> None:
    cluster.create("api", 1)
    api = KubernetesApi(cluster.connection)
    wanted = Wanted(Key(NAMESPACE, "Deployment", "api"), replicas=ours)
    stale = Observed(api.get(wanted.key.path))
    change = {"metadata": {"annotations": {"by": "them"}}} if theirs is None else {"spec": {"replicas": theirs}}
    cluster.server.send("PATCH", cluster.path("api"), change, MERGE)
    done = carry_out(api, wanted, stale, Order("scaled"))
    assert (done.replicas, done.changed) == outcome
    assert cluster.get("api")["spec"]["replicas"] == outcome[0]


# Part of the image -> what the error says.
HOPELESS = [
    pytest.param("registry.test/missing-image:1", "ImagePullBackOff (container api: Back-off", id="no-such-image"),
    pytest.param(
        "registry.test/bad-config:1", 'CreateContainerConfigError (container api: secret "api-keys"', id="config"
    ),
]


@pytest.mark.parametrize(("image", "reason"), HOPELESS)
def test_what_cannot_succeed_ends_the_wait(cluster: Cluster, image: str, reason: str) -> None:
    """One way is enough: each takes the seconds that a hopeless status has to last."""
    cluster.create("api", 0, image=image)
    given = {"kubernetes": cluster.connection, "workloads": [one(replicas=2)], "wait_timeout": 600}
    result = run_action("k8s_workload", given)
    assert result["failed"]
    assert reason in result["msg"]
    assert "does not pass by itself" in result["msg"]
    assert result["waits"][0]["seconds"] < 600
    assert result["changed"] is True
    assert result["workloads"][0]["problems"][0].startswith("2 pods: ")


MAY_PASS = [
    pytest.param("registry.test/slow-registry:1", {}, "ImagePullBackOff", id="registry-is-slow"),
    pytest.param("registry.test/crashing:1", {}, "CrashLoopBackOff (container api: exit code 3", id="crashes"),
    pytest.param(GOOD, {"cpu": "64"}, "FailedScheduling", id="no-room"),
]


@pytest.mark.parametrize(("image", "spec", "reason"), MAY_PASS)
def test_what_may_pass_is_told_when_the_time_is_up(
    both: BothWays, cluster: Cluster, image: str, spec: dict[str, t.Any], reason: str
) -> None:
    cluster.create("api", 0, image=image, **spec)
    result = do(both, cluster, one(replicas=1), wait_timeout=0.8)
    assert result["failed"]
    assert result["msg"].startswith("Timed out after 0.8 s waiting for 1 of 1 workloads. Deployment shop/api: 0 of 1")
    assert reason in result["msg"]
    assert set(result) >= KEYS
    assert result["changed"] is True


def test_rolled_back_from_an_image_that_does_not_run(both: BothWays, cluster: Cluster) -> None:
    """The pods of the bad image are hopeless, and no reason to give up on the good one."""
    cluster.create("api", 2, image="registry.test/missing-image:1")
    until(lambda: len(cluster.pods("api")) == 2, "the bad pods exist")
    wanted = one(images={"api": GOOD}, replicas=3)
    check = do(both, cluster, wanted, state="rolled_back", check=True)
    result = do(both, cluster, wanted, state="rolled_back")
    assert not result.get("failed"), result
    assert check["changed"] is result["changed"] is True
    assert check["diff"] == result["diff"]
    told = result["workloads"][0]
    assert (told["before"], told["after"]) == (
        {"replicas": 2, "images": {"api": "registry.test/missing-image:1"}},
        {"replicas": 3, "images": {"api": GOOD}},
    )
    running = [pod for pod in cluster.pods("api") if not pod["metadata"].get("deletionTimestamp")]
    assert {pod["spec"]["containers"][0]["image"] for pod in running} == {GOOD}
    assert do(both, cluster, wanted, state="rolled_back")["changed"] is False


def test_what_was_serves_to_go_back(both: BothWays, cluster: Cluster) -> None:
    cluster.create("api", 1, image="registry.test/api:stable")
    do(both, cluster, one(), state="ready")
    previous = do(both, cluster, one(), state="inspected")["workloads"][0]["previous"]
    assert previous["images"] == {"api": "registry.test/api@sha256:" + "c" * 64}
    do(both, cluster, one(images={"api": BETTER}), state="rolled_back")
    do(both, cluster, previous, state="rolled_back")
    assert cluster.get("api")["spec"]["template"]["spec"]["containers"][0]["image"] == previous["images"]["api"]


def test_restarted_once(both: BothWays, cluster: Cluster) -> None:
    cluster.create("api", 2)
    do(both, cluster, one(), state="ready")
    old = {pod["metadata"]["uid"] for pod in cluster.pods("api")}
    since = "2026-01-01T00:00:00Z"
    result = do(both, cluster, one(), state="restarted", restarted_since=since)
    assert (result["changed"], result["observed"]) == (True, True)
    assert result["diff"]["before"] != result["diff"]["after"]
    fresh = {pod["metadata"]["uid"] for pod in cluster.pods("api") if not pod["metadata"].get("deletionTimestamp")}
    assert len(fresh) == 2
    assert not fresh & old
    assert do(both, cluster, one(), state="restarted", restarted_since=since)["changed"] is False
    assert do(both, cluster, one(), state="restarted", restarted_since="2100-01-01T00:00:00Z")["changed"] is True


MISSING = [
    pytest.param(one("gone", replicas=2), "missing Deployment shop/gone", id="workload"),
    pytest.param({**one(replicas=2), "namespace": "nowhere"}, "missing namespace nowhere", id="namespace"),
    pytest.param(one(replicas=2, secrets=["keys", "there"]), "missing secret shop/keys", id="secret"),
    pytest.param(one(replicas=2, configmaps=["settings"]), "missing configmap shop/settings", id="configmap"),
    pytest.param(one(kind="StatefulSet", replicas=2), "missing StatefulSet shop/api", id="other-kind"),
]


@pytest.mark.parametrize(("wanted", "problem"), MISSING)
def test_what_is_missing_is_named_before_anything_is_changed(
    both: BothWays, cluster: Cluster, wanted: dict[str, t.Any], problem: str
) -> None:
    cluster.create("api", 1)
    cluster.create("other", 1)
    cluster.secret("there")
    version = cluster.version("other")
    for check in (False, True):
        result = do(both, cluster, one("other", replicas=3), wanted, check=check)
        assert result["failed"]
        assert problem in result["msg"]
        assert "Nothing was changed" in result["msg"]
        assert result["changed"] is False
        assert "shop/there" not in result["msg"]
    assert cluster.version("other") == version
    inspected = do(both, cluster, one("other"), wanted, state="inspected")
    assert not inspected.get("failed")
    assert inspected["outcome"] == "failed"
    assert len(inspected["problems"]) == 1
    assert inspected["problems"][0].endswith(problem)


def test_inspected_changes_nothing_and_tells_what_is_there(both: BothWays, cluster: Cluster) -> None:
    cluster.create("api", 2)
    cluster.secret("keys")
    cluster.secret("settings", "ConfigMap")
    do(both, cluster, one(), state="ready")
    version = cluster.version("api")
    wanted = one(replicas=5, secrets=["keys"], configmaps=["settings"])
    result = do(both, cluster, wanted, state="inspected", check_capacity=True)
    assert (result["outcome"], result["changed"], result["problems"]) == ("passed", False, [])
    told = result["workloads"][0]
    assert (told["exists"], told["before"]["replicas"], told["ready"]) == (True, 2, 2)
    assert told["before"] == told["after"]
    assert cluster.version("api") == version


ROOM = [
    pytest.param("500m", 8, "", id="fits"),
    pytest.param("1", 5, "capacity for 1 of 5 new pods (each cpu 1, pods 1) on 1 usable nodes", id="cpu"),
    pytest.param("1m", 21, "capacity for 1 of 21 new pods", id="pods"),
    pytest.param("5", 1, "capacity for 1 of 1 new pods", id="one-too-big"),
]


@pytest.mark.parametrize(("cpu", "replicas", "problem"), ROOM)
def test_capacity(both: BothWays, cluster: Cluster, cpu: str, replicas: int, problem: str) -> None:
    until(lambda: not cluster.server.get("/api/v1/pods")["items"], "the node is empty")
    cluster.create("api", 0, cpu=cpu)
    result = do(both, cluster, one(replicas=replicas), state="inspected", check_capacity=True)
    assert result["outcome"] == ("failed" if problem else "passed")
    assert problem in " ".join(result["problems"])


def test_capacity_of_a_cordoned_node_is_none(both: BothWays, cluster: Cluster) -> None:
    cluster.create("api", 0, cpu="1m")
    node = f"/api/v1/nodes/{cluster.node.node}"
    cluster.server.send("PATCH", node, {"spec": {"unschedulable": True}}, MERGE)
    try:
        result = do(both, cluster, one(replicas=1), state="scaled", check_capacity=True)
    finally:
        cluster.server.send("PATCH", node, {"spec": {"unschedulable": None}}, MERGE)
    assert result["failed"]
    assert "on 0 usable nodes" in result["msg"]
    assert cluster.get("api")["spec"]["replicas"] == 0


REFUSALS = [
    pytest.param({"workloads": []}, "none is listed", id="none"),
    pytest.param({"workloads": [one()]}, "Deployment shop/api: state scaled needs replicas", id="replicas"),
    pytest.param({"workloads": [one(replicas=-1)]}, "replicas cannot be -1", id="negative"),
    pytest.param({"workloads": [one(replicas=1), one(replicas=2)]}, "shop/api: listed more than once", id="twice"),
    pytest.param({"workloads": [one()], "state": "rolled_back"}, "needs images", id="images"),
    pytest.param(
        {"workloads": [one(images={"api": "registry.test/api:1"})], "state": "rolled_back"}, "names no digest", id="tag"
    ),
    pytest.param(
        {"workloads": [one(images={"web": GOOD})], "state": "rolled_back"}, "no container web, it has api", id="name"
    ),
    pytest.param({"workloads": [one(replicas=1, images={"api": GOOD})]}, "state scaled changes no images", id="state"),
    pytest.param(
        {"workloads": [one()], "state": "restarted", "restarted_since": "noon"}, "restarted_since 'noon'", id="time"
    ),
]


@pytest.mark.parametrize(("options", "message"), REFUSALS)
def test_nonsense_is_refused_by_name(both: BothWays, cluster: Cluster, options: dict[str, t.Any], message: str) -> None:
    cluster.create("api", 1)
    result = both("k8s_workload", {"kubernetes": cluster.connection, **options})
    assert result["failed"]
    assert message in result["msg"]
    assert cluster.version("api") == 1


def test_a_paused_rollout_is_refused(both: BothWays, cluster: Cluster) -> None:
    cluster.create("api", 1, paused=True)
    result = do(both, cluster, one(), state="restarted")
    assert result["failed"]
    assert "its rollout is paused" in result["msg"]


def test_a_workload_that_is_deleted_meanwhile_ends_the_wait(both: BothWays, cluster: Cluster) -> None:
    cluster.node.runs_pods.clear()
    cluster.create("api", 0)

    def delete() -> None:
        until(lambda: cluster.pods("api"), "the wait has begun")
        cluster.server.call("DELETE", cluster.path("api"))

    deleter = threading.Thread(target=delete)
    deleter.start()
    result = do(both, cluster, one(replicas=1))
    deleter.join()
    assert result["failed"]
    assert "Deployment shop/api: it was deleted meanwhile" in result["msg"]


def broken_kubeconfigs(cluster: Cluster, directory: Path) -> dict[str, tuple[dict[str, t.Any], str]]:
    def written(name: str, content: t.Any) -> str:
        path = directory / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return str(path)

    return {
        "token": ({"kubeconfig": written("token", kubeconfig(cluster.server.url, "wrong"))}, "Renew the credentials"),
        "closed": ({"kubeconfig": written("closed", kubeconfig("http://127.0.0.1:9", "x"))}, "Connection refused"),
        "missing": ({"kubeconfig": str(directory / "none")}, "no such file"),
        "empty": ({"kubeconfig": written("empty", "")}, "Name a kubeconfig"),
        "no-yaml": ({"kubeconfig": written("no-yaml", "a: [")}, "Name a kubeconfig"),
        "context": ({"kubeconfig": str(cluster.kubeconfig), "context": "mars"}, "context mars"),
    }


@pytest.mark.parametrize("case", ["token", "closed", "missing", "empty", "no-yaml", "context"])
def test_a_connection_that_does_not_work_is_named(both: BothWays, cluster: Cluster, tmp_path: Path, case: str) -> None:
    connection, message = broken_kubeconfigs(cluster, tmp_path)[case]
    for state in ("scaled", "inspected"):
        given = {"kubernetes": connection, "workloads": [one(replicas=1)], "state": state}
        result = both("k8s_workload", given)
        assert result["failed"]
        assert message in result["msg"]
        assert "Traceback" not in result["msg"]


def test_a_wait_outlives_a_restart_of_the_api(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as own:
        own.reset()
        own.create("api", 0)
        own.node.stop()  # it would not survive the restart

        def restart() -> None:
            until(lambda: own.pods("api"), "the wait has begun")
            own.server.stop()
            own.server.start()
            own.node.over.clear()
            until(lambda: own.get("api")["status"].get("replicas"), "the API is back")
            for pod in own.pods("api"):
                own.node._report(pod)

        restarter = threading.Thread(target=restart)
        restarter.start()
        given = {"kubernetes": own.connection, "workloads": [one(replicas=2)], "wait_timeout": 60}
        result = run_action("k8s_workload", given)
        restarter.join()
        assert not result.get("failed"), result
        assert result["workloads"][0]["ready"] == 2
