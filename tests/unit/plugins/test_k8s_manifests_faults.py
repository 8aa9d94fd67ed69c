"""k8s_manifests where the API refuses, stalls or goes away, where files are wrong, and where a run is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.unit.plugins.both_ways import run_action
from tests.unit.plugins.manifests_support import (
    OTHERS,
    SERVICE,
    SPACE,
    Json,
    Region,
    door,
    refusal,
    region,
    tree,
)

SECRETS = {"/api/v1/{}/secrets": OTHERS["/api/v1/{}/secrets"]}


@pytest.fixture(scope="module")
def east(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Region]:
    """Only looked at: no test changes anything there."""
    with region(tmp_path_factory.mktemp("east")) as one:
        one.space()
        one.fill(OTHERS)
        one.fill(SERVICE)
        yield one


@pytest.fixture(scope="module")
def backup(east: Region, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("backup") / "shop"
    result = do(east.connection, "exported", target)
    assert result["outcome"] == "passed"
    return target


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Region]:
    """A target that no test changes, and so each can look whether it did."""
    with region(tmp_path_factory.mktemp("still")) as one:
        one.space()
        one.fill(SECRETS)
        yield one


@pytest.fixture
def west(tmp_path: Path) -> t.Iterator[Region]:
    with region(tmp_path / "west") as one:
        one.space()
        one.fill(SECRETS)
        yield one


def do(connection: Json, state: str, directory: Path, check: bool = False, **options: t.Any) -> Json:
    given = {"kubernetes": connection, "state": state, "directory": str(directory), "wait": False, **options}
    if state == "exported":
        given.setdefault("namespaces", [SPACE])
    return run_action("k8s_manifests", given, check)


def written(directory: Path, *files: tuple[str, t.Any]) -> Path:
    for path, content in files:
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, (str, bytes)) else yaml.safe_dump(content)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
    return directory


def config(name: str = "one", **more: t.Any) -> Json:
    metadata = {"name": name, "namespace": SPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}, **more}


def not_allowed(path: str) -> tuple[int, Json]:
    return refusal(403, "Forbidden", f'{path} is forbidden: User "operator" cannot do that')


# --- exports ---


def test_what_may_not_be_listed_is_named_and_never_silently_absent(east: Region, tmp_path: Path) -> None:
    def judge(_method: str, path: str, _count: int) -> tuple[int, Json] | None:
        return not_allowed("configmaps") if "/configmaps" in path else None

    target = tmp_path / "export"
    with door(east.server.url, judge) as front:
        result = do(east.connected(front.url), "exported", target)
        assert not any("/secrets" in one for one in front.asked)
    assert (result["failed"], result["outcome"], len(result["unverified"])) == (True, "unverified", 1)
    assert result["unverified"][0].startswith("ConfigMap in shop: ")
    assert 'User "operator" cannot' in result["unverified"][0]
    assert (target / "shop/Deployment.apps/api.yaml").is_file()
    assert json.loads((target / "export.json").read_text())["unverified"] == ["ConfigMap in shop"]
    validated = do(east.connection, "validated", target, required=False)
    assert (validated["outcome"], validated["unverified"]) == ("unverified", ["not in the export: ConfigMap in shop"])


def test_a_kind_that_is_not_served_is_named(east: Region, tmp_path: Path) -> None:
    kinds = ["Deployment.apps", "Certificate.cert-manager.io", "Lease.coordination.k8s.io", "Widget.apps"]
    result = do(east.connection, "exported", tmp_path / "export", kinds=kinds, required=False)
    assert result["outcome"] == "unverified"
    assert [one.split(":")[0] for one in result["unverified"]] == ["Certificate.cert-manager.io", "Widget.apps"]
    assert result["counts"] == {"Lease.coordination.k8s.io": 0, "Deployment.apps": 1}


def test_custom_resources_are_exported_by_group_and_kind(tmp_path: Path, east: Region) -> None:
    """The lab's API serves none: it answers for them here."""
    group = "shop.example.com"
    widget = {
        "metadata": {"name": "w", "namespace": SPACE, "uid": "1"},
        "spec": {"size": 3, "none": None},
        "status": {},
    }
    answers: dict[str, Json] = {
        f"/apis/{group}/v2": {
            "resources": [{"name": "widgets", "kind": "Widget", "namespaced": True, "verbs": ["list"]}]
        },
        f"/apis/{group}/v2/namespaces/{SPACE}/widgets": {"metadata": {}, "items": [widget]},
    }
    groups = {"name": group, "versions": [{"groupVersion": f"{group}/v1"}, {"groupVersion": f"{group}/v2"}],
              "preferredVersion": {"groupVersion": f"{group}/v2"}}  # fmt: skip
    answers["/apis"] = {"groups": [groups]}

    def judge(_method: str, path: str, _count: int) -> tuple[int, Json] | None:
        found = answers.get(path.partition("?")[0])
        return (200, found) if found else None

    with door(east.server.url, judge) as front:
        do(east.connected(front.url), "exported", tmp_path / "export", kinds=[f"Widget.{group}"])
    manifest = yaml.safe_load((tmp_path / f"export/shop/Widget.{group}/w.yaml").read_text())
    assert manifest == {
        "apiVersion": f"{group}/v2", "kind": "Widget", "metadata": {"name": "w", "namespace": SPACE},
        "spec": {"size": 3, "none": None},
    }  # fmt: skip


@pytest.mark.parametrize("after", [1, 3, 8, 20])
def test_an_api_that_goes_away_leaves_what_was_there(east: Region, backup: Path, tmp_path: Path, after: int) -> None:
    def judge(_method: str, _path: str, count: int) -> None:
        if count > after:
            raise ConnectionError

    target = tmp_path / "export"
    with door(east.server.url, judge) as front:
        first = do(east.connected(front.url), "exported", target)
    assert (first["failed"], first["outcome"], first["changed"], target.exists()) == (True, "unverified", False, False)
    do(east.connection, "exported", target)
    before = tree(target)
    with door(east.server.url, judge) as front:
        second = do(east.connected(front.url), "exported", target)
    assert (second["outcome"], tree(target), before) == ("unverified", before, tree(backup))
    assert [one.name for one in tmp_path.iterdir() if ".new-" in one.name or ".old-" in one.name] == []


def test_a_list_that_the_api_forgot_is_begun_again(east: Region, backup: Path, tmp_path: Path) -> None:
    forgot = []

    def judge(_method: str, path: str, _count: int) -> tuple[int, Json] | None:
        if "continue=" in path and "services" in path and not forgot:
            forgot.append(path)
            return refusal(410, "Expired", "the provided continue parameter is too old")
        return None

    with door(east.server.url, judge) as front:
        result = do(east.connected(front.url), "exported", tmp_path / "export", page=1)
    assert (forgot != [], result["outcome"]) == (True, "passed")
    assert tree(tmp_path / "export") == tree(backup)


def test_a_list_that_the_api_forgets_ever_again_is_unverified(east: Region, tmp_path: Path) -> None:
    def judge(_method: str, path: str, _count: int) -> tuple[int, Json] | None:
        return refusal(410, "Expired", "too old") if "continue=" in path and "services" in path else None

    with door(east.server.url, judge) as front:
        result = do(east.connected(front.url), "exported", tmp_path / "export", page=1, required=False)
    assert result["unverified"][0].startswith("Service in shop: ")
    assert not (tmp_path / "export/shop/Service/api.yaml").exists()


NOTHING = [
    pytest.param({"namespaces": []}, "neither namespaces nor a selector", id="everything"),
    pytest.param({"kinds": ["Secret", "Service"]}, "secrets are never exported in clear", id="secrets"),
    pytest.param({"kinds": ["deployments"]}, "it is no kind", id="plural"),
    pytest.param({"kinds": []}, "kinds is empty", id="no-kind"),
    pytest.param({"page": 0}, "page cannot be 0", id="no-page"),
    pytest.param({"namespaces": ["shop", "gone"]}, "there is no such namespace", id="no-namespace"),
    pytest.param({"selector": "app=nobody", "kinds": ["Service"]}, "an empty backup restores nothing", id="no-object"),
]


@pytest.mark.parametrize(("options", "message"), NOTHING)
def test_an_export_of_nothing_is_refused(east: Region, tmp_path: Path, options: Json, message: str) -> None:
    result = do(east.connection, "exported", tmp_path / "export", **options)
    assert result["failed"]
    assert message in result["msg"]


def test_a_directory_that_holds_something_else_is_not_replaced(east: Region, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name in ("mine", "file", "link"):
        result = do(east.connection, "exported", tmp_path / name)
        assert result["failed"], name
    assert (tmp_path / "mine/notes.txt").read_text() == (tmp_path / "file").read_text() == "keep"
    (tmp_path / "empty").mkdir()
    assert do(east.connection, "exported", tmp_path / "empty")["outcome"] == "passed"


def test_a_directory_that_cannot_be_written_is_named(east: Region, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    result = do(east.connection, "exported", tmp_path / "file/below")
    assert result["failed"]
    assert "Name a directory whose parent can be written to" in result["msg"]


EXPORTER = """
import json, sys
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.manifests import SPECIFICATION, run
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
given = ArgumentSpecValidator(SPECIFICATION.argument_spec).validate(json.loads(sys.argv[1]))
run(given.validated_parameters, False)
"""


@pytest.mark.parametrize("there", [False, True], ids=["new", "replacing"])
def test_an_export_that_is_killed_leaves_no_half_one(east: Region, backup: Path, tmp_path: Path, there: bool) -> None:
    """Killed when half of it was asked for; the next one cleans up and is whole."""
    half_way, go_on = threading.Event(), threading.Event()

    def judge(_method: str, path: str, _count: int) -> None:
        if "/services" in path:
            half_way.set()
            go_on.wait(60)

    target = tmp_path / "export"
    if there:
        do(east.connection, "exported", target, kinds=["Service"])
    before = tree(target)
    with door(east.server.url, judge) as front:
        arguments = {"kubernetes": east.connected(front.url, 60), "state": "exported", "directory": str(target),
                     "namespaces": [SPACE]}  # fmt: skip
        process = subprocess.Popen([sys.executable, "-c", EXPORTER, json.dumps(arguments)], env=_environment())
        try:
            assert half_way.wait(60)
            leftovers = [one for one in tmp_path.iterdir() if ".new-" in one.name]
            refused = do(east.connection, "exported", target)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            go_on.set()
    assert "another export writes there" in refused["msg"]
    assert len(leftovers) == 1
    assert tree(target) == before
    result = do(east.connection, "exported", target)
    assert (result["outcome"], tree(target)) == ("passed", tree(backup))
    assert not [one for one in tmp_path.iterdir() if ".new-" in one.name]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(["collections", *sys.path])}


def test_an_export_that_was_killed_while_it_was_put_in_place(east: Region, backup: Path, tmp_path: Path) -> None:
    """Between the two renames there is no directory: the next run brings the former one back first."""
    target = tmp_path / "export"
    do(east.connection, "exported", target)
    away = tmp_path / ".export.old-killed"
    away.mkdir()
    target.rename(away / "was")
    (tmp_path / ".export.new-killed").mkdir()
    unreachable = do({**east.connection, "timeout": 1, "context": "lab"}, "exported", target, check=True)
    assert (unreachable["changed"], tree(target)) == (False, tree(backup))
    assert sorted(one.name for one in tmp_path.iterdir()) == [".export.lock", "export"]


# --- verdicts of the API ---

VERDICTS = [
    pytest.param(not_allowed("deployments"), "unverified", id="not-allowed"),
    pytest.param(refusal(401, "Unauthorized", "Unauthorized"), "unverified", id="not-known"),
    pytest.param(refusal(403, "Forbidden", 'deployments "api" is forbidden: exceeded quota'), "failed", id="quota"),
    pytest.param(refusal(500, "InternalError", "failed calling webhook"), "unverified", id="webhook-gone"),
    pytest.param(
        refusal(400, "BadRequest", "admission webhook x does not support dry run"),
        "unverified",
        id="webhook-no-dry-run",
    ),
    pytest.param(refusal(400, "BadRequest", "admission webhook x denied the request"), "failed", id="webhook-denies"),
    pytest.param(refusal(422, "Invalid", "spec.template is invalid"), "failed", id="invalid"),
]


@pytest.mark.parametrize(("answer", "outcome"), VERDICTS)
def test_a_refusal_is_a_verdict_only_where_it_judges_the_object(
    still: Region, backup: Path, answer: tuple[int, Json], outcome: str
) -> None:
    def judge(method: str, path: str, _count: int) -> tuple[int, Json] | None:
        return answer if method == "PATCH" and "/deployments/" in path else None

    with door(still.server.url, judge) as front:
        result = do(still.connected(front.url), "validated", backup, required=False)
    assert result["outcome"] == outcome, result
    by_kind = {one["kind"]: one for one in result["objects"]}
    assert by_kind["Deployment.apps"]["outcome"] == outcome
    assert answer[1]["message"] in by_kind["Deployment.apps"]["reasons"][0]
    assert by_kind["ConfigMap"]["outcome"] == "passed"
    told = result["problems" if outcome == "failed" else "unverified"]
    assert told[0].startswith("Deployment.apps shop/api: ")


def test_an_api_that_goes_away_during_a_validation_is_unverified(still: Region, backup: Path) -> None:
    def judge(method: str, path: str, _count: int) -> None:
        if method == "PATCH" and "/services/" in path:
            raise ConnectionError

    with door(still.server.url, judge) as front:
        result = do(still.connected(front.url), "validated", backup, required=False)
    assert result["outcome"] == "unverified"
    assert {one["kind"] for one in result["objects"] if one["outcome"] == "unverified"} == {"Service"}
    assert do(still.connected("http://127.0.0.1:9", timeout=1), "validated", backup)["outcome"] == "unverified"


def test_an_api_that_goes_away_while_it_applies_says_what_is_done(west: Region, backup: Path) -> None:
    """The same command again goes on from there."""

    def judge(method: str, path: str, _count: int) -> None:
        if method == "PATCH" and "/deployments/" in path and "dryRun" not in path:
            raise ConnectionError

    with door(west.server.url, judge) as front:
        result = do(west.connected(front.url), "applied", backup)
    assert (result["failed"], result["changed"]) == (True, True)
    assert "Deployment.apps shop/api" in result["msg"]
    assert "were not tried. Mend that and run it again." in result["msg"]
    applied = {one["kind"]: one["applied"] for one in result["objects"]}
    assert (applied["Service"], applied["Deployment.apps"], applied["Ingress.networking.k8s.io"]) == (
        True,
        False,
        False,
    )
    again = do(west.connection, "applied", backup)
    assert (again.get("failed"), again["changed"]) == (None, True)
    assert {one["kind"] for one in again["objects"] if one["applied"]} == {
        "Deployment.apps", "CronJob.batch", "HorizontalPodAutoscaler.autoscaling", "Ingress.networking.k8s.io"
    }  # fmt: skip


def test_two_applies_at_once_end_alike(west: Region, backup: Path) -> None:
    connection = west.connection
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: do(connection, "applied", backup), range(3)))
    assert [one.get("failed") for one in results] == [None] * 3, results
    assert do(west.connection, "applied", backup)["changed"] is False


# --- what is missing in the target ---

WIDGET = {"apiVersion": "shop.example.com/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": SPACE}}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.shop.example.com"},
    "spec": {"group": "shop.example.com", "names": {"kind": "Widget", "plural": "widgets"}},
}  # fmt: skip


def test_a_custom_kind_that_the_target_does_not_serve(still: Region, tmp_path: Path) -> None:
    directory = written(tmp_path / "m", ("w.yaml", WIDGET), ("c.yaml", config()))
    before = still.everything()
    result = do(still.connection, "applied", directory)
    assert "serves no Widget.shop.example.com. Install its custom resource definition" in result["msg"]
    assert (result["failed"], still.everything()) == (True, before)
    written(directory, ("d.yaml", DEFINITION))
    result = do(still.connection, "validated", directory, required=False)
    reasons = {one["kind"]: one["reasons"][0] for one in result["objects"] if one["reasons"]}
    assert "its custom resource definition is to be made first" in reasons["Widget.shop.example.com"]


def test_a_version_that_the_target_no_longer_serves(still: Region, tmp_path: Path) -> None:
    old = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a", "namespace": SPACE},
    }
    result = do(still.connection, "validated", written(tmp_path / "m", ("a.yaml", old)))
    assert "Convert it to autoscaling/v2, which the API serves." in result["msg"]


def test_a_namespace_that_is_missing(still: Region, tmp_path: Path) -> None:
    one = config()
    one["metadata"]["namespace"] = "elsewhere"
    result = do(still.connection, "applied", written(tmp_path / "m", ("c.yaml", one)))
    assert "there is no namespace elsewhere. Create it, or add its manifest." in result["msg"]


def test_a_secret_that_pods_need_has_to_be_there_first(tmp_path: Path, backup: Path) -> None:
    with region(tmp_path / "west") as west:
        west.space()
        result = do(west.connection, "applied", backup)
        assert "there is no Secret shop/keys, which its pods need. Restore it first." in result["msg"]
        assert west.get("/apis/apps/v1/{}/deployments")["items"] == []

        def judge(_method: str, path: str, _count: int) -> tuple[int, Json] | None:
            return not_allowed("secrets") if "/secrets" in path else None

        with door(west.server.url, judge) as front:
            told = do(west.connected(front.url), "validated", backup, required=False)
        assert told["outcome"] == "unverified"
        assert "the credentials may not read it" in told["unverified"][0]
        assert do(west.connection, "validated", backup, check_references=False)["outcome"] == "passed"


# --- files ---

FILES: list[t.Any] = [
    pytest.param("kind: [", "while parsing", id="broken"),
    pytest.param(b"\xff\xfe\x00", "codec can't decode", id="binary"),
    pytest.param("", "it holds no object", id="empty"),
    pytest.param("# nothing\n---\n---\n", "it holds no object", id="comments"),
    pytest.param("just text", "it is no object", id="text"),
    pytest.param("a: &a [*a]", "it has no apiVersion", id="recursive"),
    pytest.param({"apiVersion": "v1", "metadata": {"name": "x"}}, "it has no kind", id="no-kind"),
    pytest.param({"apiVersion": "v1", "kind": "ConfigMap"}, "it has no metadata.name", id="no-name"),
    pytest.param("apiVersion: v1\nkind: ConfigMap\nkind: Secret\n", "key 'kind' stands twice", id="key-twice"),
    pytest.param("!!python/object/apply:os.getcwd []", "could not determine a constructor", id="python"),
    pytest.param(config(surprise=1), 'unknown field "surprise"', id="unknown-field"),
    pytest.param(config(data={"a": 1}), "cannot unmarshal number", id="wrong-type"),
    pytest.param(config() | {"metadata": {"name": "x"}}, "it names no namespace", id="no-namespace"),
    pytest.param(config() | {"metadata": {"name": "Not/good", "namespace": SPACE}}, "Not/good", id="bad-name"),
    pytest.param(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "namespace": "y"}},
        "in no namespace",
        id="space",
    ),
    pytest.param(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x", "namespace": SPACE}},
        "encrypted backup",
        id="secret",
    ),
]


@pytest.mark.parametrize(("content", "message"), FILES)
def test_a_file_that_is_wrong_is_named_and_nothing_is_applied(
    still: Region, tmp_path: Path, content: t.Any, message: str
) -> None:
    directory = written(tmp_path / "m", ("good.yaml", config("good")), ("wrong.yaml", content))
    before = still.everything()
    for state in ("validated", "applied"):
        result = do(still.connection, state, directory)
        assert (result["failed"], result["outcome"]) == (True, "failed"), result
        assert message in result["msg"]
        assert any("wrong.yaml" in one for one in [*result["problems"], *(o["path"] for o in result["objects"])])
    assert still.everything() == before


def test_a_directory_that_is_not_what_it_was(west: Region, backup: Path, tmp_path: Path) -> None:
    """A file that is missing, or is there twice, is named; one edited by hand is applied as it is."""
    directory = tmp_path / "m"
    written(directory, *((path, data) for path, data in tree(backup).items()))
    gone = directory / "shop/Service/api.yaml"
    text = gone.read_text()
    gone.unlink()
    assert (
        "Failed to read manifest shop/Service/api.yaml: the file is missing."
        in do(west.connection, "applied", directory)["msg"]
    )
    gone.write_text(text)
    (directory / "copy.yaml").write_text(text)
    assert "it stands in copy.yaml and in shop/Service/api.yaml" in do(west.connection, "validated", directory)["msg"]
    (directory / "copy.yaml").unlink()
    do(west.connection, "applied", directory)
    edited = directory / "shop/ConfigMap/settings.yaml"
    edited.write_text(edited.read_text().replace("trailing:", "added: by hand\n  trailing:"))
    result = do(west.connection, "applied", directory)
    assert [one["name"] for one in result["objects"] if one["applied"]] == ["settings"]
    assert west.get("/api/v1/{}/configmaps/settings")["data"]["added"] == "by hand"
    assert "by hand" not in json.dumps(result), "a config map's values may be secrets"
    assert list(result["diff"]["after"]["ConfigMap shop/settings"]) == [".data.added"]


def test_files_that_somebody_wrote(west: Region, tmp_path: Path) -> None:
    """Several documents, lists and JSON; nothing is removed that is not in them."""
    items = {"apiVersion": "v1", "kind": "List", "items": [config("three"), config("four")]}
    directory = written(
        tmp_path / "m",
        ("a.yaml", yaml.safe_dump_all([config("one"), config("two")])),
        ("b.json", json.dumps(items)),
        ("README.md", "no manifest"),
    )
    assert do(west.connection, "applied", directory)["counts"] == {"ConfigMap": 4}
    (directory / "b.json").unlink()
    assert do(west.connection, "applied", directory)["changed"] is False
    assert (
        len(
            [one for one in west.get("/api/v1/{}/configmaps")["items"] if one["metadata"]["name"] != "kube-root-ca.crt"]
        )
        == 4
    )


def test_no_directory(still: Region, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no such directory" in do(still.connection, "applied", tmp_path / "none")["msg"]
    assert "there is no manifest" in do(still.connection, "applied", tmp_path / "empty")["msg"]


OVERRIDES = [
    pytest.param({"name": "nobody"}, "no manifest is * */nobody", id="matches-nothing"),
    pytest.param({"kind": "Deployment", "images": {"sidecar": "x:1"}}, "no container sidecar", id="no-container"),
    pytest.param({"kind": "Deployment", "environment": {"NONE": "1"}}, "no variable NONE", id="no-variable"),
    pytest.param({"kind": "Service", "replicas": 2}, "no replicas", id="no-replicas"),
    pytest.param(
        {"kind": "Deployment", "patch": [{"op": "remove", "path": "/spec/none"}]}, "Correct its patch", id="patch"
    ),
    pytest.param(
        {"kind": "Deployment", "patch": [{"op": "jump", "path": "/spec"}]}, "Correct its patch", id="no-patch"
    ),
    pytest.param(
        {"kind": "Deployment", "patch": [{"op": "replace", "path": "/metadata/name", "value": "b"}]},
        "Leave apiVersion, kind, name and namespace",
        id="another-object",
    ),
]


@pytest.mark.parametrize(("rule", "message"), OVERRIDES)
def test_an_override_that_does_not_fit_is_refused(still: Region, backup: Path, rule: Json, message: str) -> None:
    before = still.everything()
    result = do(still.connection, "applied", backup, overrides=[rule])
    assert result["failed"]
    assert message in result["msg"]
    assert still.everything() == before
