"""k8s_workload against APIs that end watches, forget versions, throttle and forbid."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
import yaml

from tests.unit.plugins.both_ways import run_action
from tests.unit.plugins.cluster_support import NAMESPACE, kubeconfig
from tests.unit.plugins.scripted_http import Answer, Scripted, scripted

DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
DEPLOYMENT = f"{DEPLOYMENTS}/api"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/keys"


def deployment(ready: int, version: str = "10", replicas: int = 2) -> dict[str, t.Any]:
    return {
        "metadata": {"name": "api", "namespace": NAMESPACE, "resourceVersion": version, "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "api"}},
            "template": {"spec": {"containers": [{"name": "api", "image": "registry.test/api:1"}]}},
        },
        "status": {"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready},
    }


def listed(*items: dict[str, t.Any], version: str = "10") -> Answer:
    return 200, {}, {"metadata": {"resourceVersion": version}, "items": list(items)}


def refusal(status: int, reason: str, **headers: str) -> Answer:
    return status, headers, {"kind": "Status", "code": status, "reason": reason, "message": "as scripted"}


def events(*all_of_them: tuple[str, dict[str, t.Any]]) -> Answer:
    return 200, {}, [{"type": kind, "object": item} for kind, item in all_of_them]


READY = ("MODIFIED", deployment(2, "12"))
BOOKMARK = ("BOOKMARK", {"metadata": {"resourceVersion": "11"}})
EXPIRED = ("ERROR", {"code": 410, "reason": "Expired", "message": "too old resource version"})
FORBIDDEN = refusal(403, "Forbidden")

# What lists and watches of the deployments answer, and how often each must have been asked.
WATCHES = [
    pytest.param([listed(deployment(0))], [events(READY)], (1, 1), id="an-event"),
    pytest.param([listed(deployment(0))], [events(), events(BOOKMARK), events(READY)], (1, 3), id="a-watch-that-ends"),
    pytest.param([listed(deployment(0)), listed(deployment(2))], [events(EXPIRED)], (2, 1), id="a-version-forgotten"),
    pytest.param([listed(deployment(0)), listed(deployment(2))], [refusal(410, "Expired")], (2, 1), id="gone-at-once"),
    pytest.param([listed(deployment(0)), listed(deployment(2))], [FORBIDDEN], (2, 1), id="watching-forbidden"),
    pytest.param([refusal(500, "InternalError"), listed(deployment(2))], [events()], (2, 0), id="an-error"),
    pytest.param([listed(deployment(0)), listed(deployment(2))], [refusal(500, "Oops")], (2, 1), id="a-watch-refused"),
]


def run(api: Scripted, directory: Path, **options: t.Any) -> dict[str, t.Any]:
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig(f"http://{api.at}", "token")))
    workload = {"namespace": NAMESPACE, "name": "api", **options.pop("workload", {})}
    connection = {"kubeconfig": str(path), "timeout": options.pop("timeout", 10)}
    return run_action(
        "k8s_workload", {"kubernetes": connection, "workloads": [workload], "wait_timeout": 60, **options}
    )


@pytest.mark.parametrize(("lists", "watches", "asked"), WATCHES)
def test_a_wait_follows_an_api_that(
    tmp_path: Path, lists: list[Answer], watches: list[Answer], asked: tuple[int, int]
) -> None:
    script = {
        f"GET {DEPLOYMENT}": [(200, {}, deployment(0))],
        f"GET {DEPLOYMENTS}": lists,
        f"watch {DEPLOYMENTS}": watches,
        f"GET {PODS}": [listed()],
        f"watch {PODS}": [events()],
    }
    with scripted(script) as api:
        result = run(api, tmp_path, state="ready")
        assert not result.get("failed"), result
        assert (result["workloads"][0]["ready"], result["observed"]) == (2, True)
        assert api.asked[f"GET {DEPLOYMENTS}"] >= asked[0]
        assert api.asked[f"watch {DEPLOYMENTS}"] >= asked[1]
        assert all(headers["Authorization"] == "Bearer token" for headers in api.headers)


def test_a_throttled_request_is_repeated(tmp_path: Path) -> None:
    throttled = refusal(429, "TooManyRequests", **{"Retry-After": "0"})
    script = {f"GET {DEPLOYMENT}": [throttled, throttled, (200, {}, deployment(2))], f"GET {PODS}": [listed()]}
    with scripted(script) as api:
        result = run(api, tmp_path, state="inspected")
    assert (result["outcome"], result["workloads"][0]["ready"]) == ("passed", 2)


def test_an_api_that_stays_throttled_is_an_error_in_time(tmp_path: Path) -> None:
    with scripted({f"GET {DEPLOYMENT}": [refusal(503, "ServiceUnavailable")]}) as api:
        result = run(api, tmp_path, state="inspected", timeout=0.5)
    assert result["failed"]
    assert "503 ServiceUnavailable: as scripted" in result["msg"]


def test_what_may_not_be_read_is_unverified_and_holds_up_no_order(tmp_path: Path) -> None:
    """Many clusters let nobody read secrets: in an emergency that must not stop the scaling."""
    script = {
        f"GET {DEPLOYMENT}": [(200, {}, deployment(2))],
        f"GET {SECRET}": [FORBIDDEN],
        f"GET {PODS}": [listed()],
        "GET /api/v1/nodes": [FORBIDDEN],
        f"PATCH {DEPLOYMENT}/scale": [(200, {}, {"spec": {"replicas": 3}})],
    }
    with scripted(script) as api:
        workload = {"replicas": 3, "secrets": ["keys"]}
        inspected = run(api, tmp_path, state="inspected", workload=workload, check_capacity=True)
        scaled = run(api, tmp_path, state="scaled", workload=workload, wait=False)
    assert (inspected["outcome"], inspected["problems"]) == ("unverified", [])
    assert len(inspected["unverified"]) == 2
    assert "cannot tell secret shop/keys" in inspected["unverified"][0]
    assert (scaled["changed"], scaled.get("failed")) == (True, None)
    assert "cannot tell secret shop/keys" in scaled["unverified"][0]


def test_the_content_of_secrets_is_not_asked_for(tmp_path: Path) -> None:
    script = {
        f"GET {DEPLOYMENT}": [(200, {}, deployment(2))],
        f"GET {SECRET}": [(200, {}, {})],
        f"GET {PODS}": [listed()],
    }
    with scripted(script) as api:
        run(api, tmp_path, state="inspected", workload={"secrets": ["keys"]})
        assert any("as=PartialObjectMetadata" in headers["Accept"] for headers in api.headers)


def test_a_forbidden_change_is_told_with_what_was_changed(tmp_path: Path) -> None:
    script = {f"GET {DEPLOYMENT}": [(200, {}, deployment(2))], f"PATCH {DEPLOYMENT}/scale": [FORBIDDEN]}
    with scripted(script) as api:
        result = run(api, tmp_path, state="scaled", workload={"replicas": 5})
    assert result["failed"]
    assert "403 Forbidden: as scripted. Grant that to the kubeconfig's user." in result["msg"]
    assert result["changed"] is False
    assert result["workloads"][0]["after"]["replicas"] == 2


RECORDS = [
    pytest.param({"state": "inspected"}, ["verified"], id="inspected"),
    pytest.param({"state": "scaled", "workload": {"replicas": 2}, "wait": False}, ["intent", "effect"], id="ordered"),
    pytest.param({"state": "scaled", "workload": {"replicas": 2}}, ["intent", "verified"], id="awaited"),
    pytest.param({"state": "inspected", "workload": {"secrets": ["keys"]}}, ["failed"], id="missing"),
]


@pytest.mark.parametrize(("options", "states"), RECORDS)
def test_the_ledger_tells(tmp_path: Path, options: dict[str, t.Any], states: list[str]) -> None:
    script = {
        f"GET {DEPLOYMENT}": [(200, {}, deployment(2))],
        f"GET {DEPLOYMENTS}": [listed(deployment(2))],
        f"watch {DEPLOYMENTS}": [events()],
        f"GET {PODS}": [listed()],
        f"watch {PODS}": [events()],
    }
    ledger = {"incident": "INC-1", "mode": "drill", "directory": str(tmp_path / "ledger")}
    run_action("incident_ledger", {"state": "declared", **ledger})
    with scripted(script) as api:
        result = run(api, tmp_path, record={"phase": "recover", **ledger}, **dict(options))
    assert not result.get("failed"), result
    lines = (tmp_path / "ledger" / "INC-1" / "ledger.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines]
    assert [event["state"] for event in told if event["step"] == "k8s_workload"] == states
