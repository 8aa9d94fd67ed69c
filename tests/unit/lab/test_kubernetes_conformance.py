"""Replay what was recorded from a real Kubernetes 1.36 API server and compare what clients read."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.lab.kubernetes_server import TOKEN, Answer, Server, running

Json = dict[str, Any]
EXCHANGES = [
    json.loads(line)
    for line in Path(__file__).with_name("data").joinpath("kubernetes_exchanges.jsonl").read_text("utf-8").splitlines()
]
PATIENCE_SECONDS = 5.0

# Differences that are meant, by step number: the paths left out of the comparison, and why.
EXCEPTIONS: dict[int, tuple[tuple[str, ...], str]] = {
    1: (
        ("buildDate", "compiler", "gitCommit", "gitTreeState", "gitVersion", "goVersion"),
        "another build of another program",
    ),
    3: (("serverAddressByClientCIDRs[0].serverAddress",), "another address"),
    36: (("object.metadata.name",), "which of two pods was created first"),
}
# Steps whose answer depends on how far the controllers were when it was recorded.
TIMING = "status counts and revision annotations move while the controllers work; the steps that settle compare them"
for step in (43, 48, 59):
    EXCEPTIONS[step] = (("status", "metadata.annotations"), TIMING)
EXCEPTIONS[45] = (("status", "metadata.annotations", "metadata.managedFields"), TIMING)

_TIME = re.compile(r"20(?!26-01-01)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
_REPLICA_SET = re.compile(r'ReplicaSet "web-([a-z0-9]+)"')
_IDENTITY = frozenset({"uid", "resourceVersion", "continue", "storageVersionHash"})


class Replay:
    """Sends the recorded requests in order, with this server's names and versions in place of the recorded ones."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.words: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def send(self, request: Json, recorded: Any) -> Answer:
        path = self._to_ours(request["path"])
        path = re.sub(r"(?<=resourceVersion=)(\d+)", lambda found: self.versions.get(found[1], found[1]), path)
        body = request["body"]
        if body is not None and not isinstance(body, str):
            body = self._versioned(json.loads(self._to_ours(json.dumps(body))))
        if "watch=1" in path:
            lines = len(recorded["lines"]) if "lines" in recorded else 1
            events = self.server.watch(path, lines)
            return Answer(200, "application/json", [], {"lines": events} if "lines" in recorded else events[0])
        token = "" if request["path"] == "/api/v1/pods" else TOKEN
        return self.server.call(request["method"], path, body, request["content_type"], token)

    def _to_ours(self, text: str) -> str:
        for theirs in sorted(self.words, key=len, reverse=True):
            text = text.replace(theirs, self.words[theirs])
        return text

    def _versioned(self, value: Any) -> Any:
        if isinstance(value, dict):
            metadata = value.get("metadata")
            if isinstance(metadata, dict) and "resourceVersion" in metadata:
                metadata["resourceVersion"] = self.versions[metadata["resourceVersion"]]
            return {key: self._versioned(item) for key, item in value.items()}
        return value

    def learn(self, theirs: Any, ours: Any) -> None:
        """Take from a pair of answers which of our names, uids and versions stand for the recorded ones."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            if isinstance(ours.get("resourceVersion"), str) and "resourceVersion" in theirs:
                self.versions[theirs["resourceVersion"]] = ours["resourceVersion"]
            generated = ("name", "uid") if "generateName" in theirs else ("uid", "pod-template-hash")
            for key in generated:
                if isinstance(ours.get(key), str) and isinstance(theirs.get(key), str) and ours[key] != theirs[key]:
                    self.words.setdefault(theirs[key], ours[key])
            for key in theirs.keys() & ours.keys():
                self.learn(theirs[key], ours[key])
        elif isinstance(theirs, list) and isinstance(ours, list):
            for their_item, our_item in zip(theirs, ours, strict=False):
                self.learn(their_item, our_item)
        elif isinstance(theirs, str) and isinstance(ours, str):
            named = [_REPLICA_SET.search(text) for text in (theirs, ours)]
            if named[0] and named[1]:
                self.words.setdefault(named[0][1], named[1][1])

    def comparable(self, body: Any, *, is_ours: bool) -> Any:
        """An answer without what no two servers share."""
        text = json.dumps(body)
        if is_ours:
            for theirs, ours in sorted(self.words.items(), key=lambda pair: -len(pair[1])):
                text = text.replace(ours, theirs)
        text = _TOKEN_VOLUME.sub("kube-api-access-*", _TIME.sub("<time>", text))
        return _plain(json.loads(text))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        result = {key: "<id>" if key in _IDENTITY else _plain(item) for key, item in value.items()}
        if "managedFields" in result:
            result["managedFields"] = {_writer(entry): entry["fieldsV1"] for entry in value["managedFields"]}
        return result
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _writer(entry: Json) -> str:
    return "/".join(entry.get(key, "") for key in ("manager", "operation", "apiVersion", "subresource"))


def _drop(body: Any, path: str) -> None:
    """Remove one path from an answer, where it is there."""
    *parents, last = path.replace("[", ".[").split(".")
    for part in parents:
        body = body[int(part[1:-1])] if part.startswith("[") else body.get(part, {})
    body.pop(last, None)


def _adjust(step: int, theirs: Any, ours: Any) -> tuple[Any, Any]:
    """Apply what is meant to differ."""
    for path in EXCEPTIONS.get(step, ((), ""))[0]:
        _drop(theirs, path)
        _drop(ours, path)
    if step == 4:
        theirs, ours = _served_groups(theirs, ours)
    _without_openshift(theirs)
    _settle_order(theirs)
    _settle_order(ours)
    return theirs, ours


def _served_groups(theirs: Json, ours: Json) -> tuple[Json, Json]:
    """The emulator serves only the groups that drills need, each in one version; those must be described alike."""
    served = {group["name"]: group for group in ours["groups"]}
    assert set(served) == {
        "apps", "authorization.k8s.io", "autoscaling", "batch", "networking.k8s.io", "policy",
        "rbac.authorization.k8s.io", "coordination.k8s.io", "discovery.k8s.io",
    }  # fmt: skip
    kept = [group for group in theirs["groups"] if group["name"] in served]
    for group in kept:
        versions = {entry["version"] for entry in served[group["name"]]["versions"]}
        group["versions"] = [entry for entry in group["versions"] if entry["version"] in versions]
    return {**theirs, "groups": kept}, ours


def _without_openshift(value: Any) -> None:
    """The recorded build adds OpenShift's CA to every pod's token volume; Kubernetes itself does not."""
    if isinstance(value, dict):
        sources = value.get("sources")
        if isinstance(sources, list):
            value["sources"] = [item for item in sources if "openshift" not in json.dumps(item)]
        for item in value.values():
            _without_openshift(item)
    elif isinstance(value, list):
        for item in value:
            _without_openshift(item)


def _sort_revisions(body: Json) -> None:
    """ReplicaSets are listed by name, which ends in a hash of the server's own: compare them by revision."""
    if body.get("kind") == "ReplicaSetList":
        body["items"].sort(key=lambda item: item["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


def _settle_order(value: Any) -> None:
    """Conditions are a set by type; their order says nothing."""
    if isinstance(value, dict):
        if isinstance(value.get("conditions"), list):
            value["conditions"].sort(key=lambda item: str(item.get("type")))
        if isinstance(value.get("groups"), list):
            value["groups"].sort(key=lambda item: str(item.get("name")))
        for item in value.values():
            _settle_order(item)
    elif isinstance(value, list):
        for item in value:
            _settle_order(item)


def _differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = []
        for key in sorted(theirs.keys() | ours.keys()):
            here = f"{path}.{key}"
            if key not in ours:
                found.append(f"{here}: missing, recorded {theirs[key]!r}")
            elif key not in theirs:
                found.append(f"{here}: {ours[key]!r}, not recorded")
            else:
                found += _differences(theirs[key], ours[key], here)
        return found
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        pairs = enumerate(zip(theirs, ours, strict=True))
        return [line for index, (one, two) in pairs for line in _differences(one, two, f"{path}[{index}]")]
    return [] if theirs == ours else [f"{path}: {ours!r}, recorded {theirs!r}"]


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    with running(tmp_path_factory.mktemp("conformance")) as server:
        yield Replay(server)


def _compare(replay: Replay, step: int, exchange: Json) -> list[str]:
    recorded = exchange["response"]
    answer = replay.send(exchange["request"], recorded["body"])
    body = answer.body if not isinstance(answer.body, str) else {"text": answer.body}
    for listing in (recorded["body"], body):
        _sort_revisions(listing)
    replay.learn(recorded["body"], body)
    theirs, ours = _adjust(
        step, replay.comparable(recorded["body"], is_ours=False), replay.comparable(body, is_ours=True)
    )
    found = _differences(theirs, ours)
    if answer.status != recorded["status"]:
        found.append(f"status {answer.status}, recorded {recorded['status']}")
    if answer.content_type.split(";")[0] != recorded["content_type"].split(";")[0]:
        found.append(f"content type {answer.content_type}, recorded {recorded['content_type']}")
    own_warnings = [text for text in answer.warnings if "this emulator" not in text]
    if own_warnings != ([recorded["warning"]] if recorded["warning"] else []):
        found.append(f"warnings {own_warnings}, recorded {recorded['warning']}")
    return found


@pytest.mark.parametrize(
    ("step", "exchange"),
    [pytest.param(number, item, id=f"{number:02}-{item['step']}") for number, item in enumerate(EXCHANGES, 1)],
)
def test_answers_as_recorded(replay: Replay, step: int, exchange: Json) -> None:
    """Reads may be repeated until the controllers are where they were; writes are sent once."""
    ends = time.monotonic() + PATIENCE_SECONDS
    found = _compare(replay, step, exchange)
    is_plain_read = exchange["request"]["method"] == "GET" and "watch=1" not in exchange["request"]["path"]
    while found and is_plain_read and time.monotonic() < ends:
        time.sleep(0.05)
        found = _compare(replay, step, exchange)
    assert not found, "\n".join(found)


def test_every_exchange_is_replayed() -> None:
    assert len(EXCHANGES) == 61
