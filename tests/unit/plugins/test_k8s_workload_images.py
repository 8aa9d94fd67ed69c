"""k8s_workload's look for images, against the lab's registry and registries that want credentials."""

from __future__ import annotations

import base64
import json
import os
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.workloads_registry import (
    Image,
    ImageMissing,
    ImageUnknown,
    Registry,
)

from lab.registry.images import build_image
from lab.registry.server import RegistryServer
from tests.unit.plugins.probe_servers import closed_port
from tests.unit.plugins.scripted_http import Scripted, scripted
from tests.unit.plugins.test_k8s_workload_api import DEPLOYMENT, PODS, deployment, listed, run

MANIFEST = "/v2/team/api/manifests/1.0"
DIGEST = "sha256:" + "d" * 64
FOUND = (200, {"Docker-Content-Digest": DIGEST}, {})
BASIC = "Basic " + base64.b64encode(b"operator:geheim").decode()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[tuple[str, str]]:
    """The lab's registry with one image: where it listens, and the image's digest."""
    source, store = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("store")
    (source / "run").write_text("#!/bin/sh\n")
    digest = build_image(source, "team/api", "1.0", store, ["/run"], env={}, labels={})
    server = RegistryServer(("127.0.0.1", 0), store)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", digest
    server.shutdown()
    server.server_close()


def registry(**options: t.Any) -> Registry:
    return Registry({"timeout": 5.0, "insecure": [], **options})


REFERENCES = [
    pytest.param("nginx", ("registry-1.docker.io", "library/nginx", "latest"), id="short"),
    pytest.param("team/api:1.0", ("registry-1.docker.io", "team/api", "1.0"), id="docker-hub"),
    pytest.param("docker.io/team/api", ("registry-1.docker.io", "team/api", "latest"), id="docker-hub-by-name"),
    pytest.param("localhost/api:2", ("localhost", "api", "2"), id="localhost"),
    pytest.param("127.0.0.1:5000/a/b/c:v1", ("127.0.0.1:5000", "a/b/c", "v1"), id="port"),
    pytest.param(f"r.test/api@{DIGEST}", ("r.test", "api", DIGEST), id="digest"),
    pytest.param(f"r.test/api:1.0@{DIGEST}", ("r.test", "api", DIGEST), id="tag-and-digest"),
]


@pytest.mark.parametrize(("text", "parts"), REFERENCES)
def test_a_reference_is_read_as_runtimes_read_it(text: str, parts: tuple[str, str, str]) -> None:
    image = Image.parse(text)
    assert (image.host, image.repository, image.reference) == parts


@pytest.mark.parametrize("text", ["", "r.test/API", "r.test/api:", "r.test/"])
def test_what_is_no_reference_is_missing(text: str) -> None:
    with pytest.raises(ImageMissing, match="no image reference"):
        Image.parse(text)


def test_the_labs_registry_is_asked(images: tuple[str, str]) -> None:
    at, digest = images
    assert registry().digest(f"{at}/team/api:1.0") == digest
    assert registry().digest(f"{at}/team/api@{digest}") == digest
    for missing in (f"{at}/team/api:2.0", f"{at}/team/other:1.0", f"{at}/team/api@{DIGEST}"):
        with pytest.raises(ImageMissing, match="no such image"):
            registry().digest(missing)


def test_a_registry_that_cannot_be_asked_tells_nothing() -> None:
    with pytest.raises(ImageUnknown, match="Connection refused"):
        registry().digest(f"127.0.0.1:{closed_port()}/team/api:1.0")
    with scripted({f"HEAD {MANIFEST}": [(500, {}, {})]}) as broken, pytest.raises(ImageUnknown, match="answers 500"):
        registry().digest(f"{broken.at}/team/api:1.0")


def docker_config(directory: Path, content: dict[str, t.Any]) -> str:
    path = directory / "config.json"
    path.write_text(json.dumps(content))
    return str(path)


def wants_basic() -> dict[str, list[t.Any]]:
    return {f"HEAD {MANIFEST}": [(401, {"WWW-Authenticate": 'Basic realm="team"'}, {}), FOUND]}


def with_credentials(server: Scripted, directory: Path, how: str) -> dict[str, t.Any]:
    """Three ways in which Docker keeps credentials."""
    if how == "auth":
        return {"auths": {server.at: {"auth": BASIC.removeprefix("Basic ")}}}
    if how == "password":
        return {"auths": {f"https://{server.at}": {"username": "operator", "password": "geheim"}}}
    helper = directory / "docker-credential-vault"
    helper.write_text('#!/bin/sh\necho "{\\"Username\\": \\"operator\\", \\"Secret\\": \\"geheim\\"}"\n')
    helper.chmod(0o755)
    return {"credHelpers": {server.at: "vault"}}


@pytest.mark.parametrize("how", ["auth", "password", "helper"])
def test_credentials_come_from_dockers_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with scripted(wants_basic()) as server:
        path = docker_config(tmp_path, with_credentials(server, tmp_path, how))
        assert registry(docker_config=path).digest(f"{server.at}/team/api:1.0") == DIGEST
        assert [headers.get("Authorization") for headers in server.headers] == [None, BASIC]


def test_a_token_is_got_where_the_registry_wants_one(tmp_path: Path) -> None:
    with scripted({"GET /token": [(200, {}, {"token": "abc"})]}) as tokens:
        challenge = f'Bearer realm="http://{tokens.at}/token",service="registry",scope="repository:team/api:pull"'
        script = {f"HEAD {MANIFEST}": [(401, {"WWW-Authenticate": challenge}, {}), FOUND]}
        with scripted(script) as server:
            path = docker_config(tmp_path, with_credentials(server, tmp_path, "auth"))
            assert registry(docker_config=path).digest(f"{server.at}/team/api:1.0") == DIGEST
            assert server.headers[-1]["Authorization"] == "Bearer abc"
            assert tokens.headers[-1]["Authorization"] == BASIC


def test_credentials_that_are_refused_tell_nothing_of_the_image(tmp_path: Path) -> None:
    script = {f"HEAD {MANIFEST}": [(401, {"WWW-Authenticate": "Basic"}, {})]}
    with scripted(script) as server:
        path = docker_config(tmp_path, with_credentials(server, tmp_path, "auth"))
        with pytest.raises(ImageUnknown, match="answers 401") as error:
            registry(docker_config=path).digest(f"{server.at}/team/api:1.0")
    assert "geheim" not in str(error.value)


INSPECTED = [
    pytest.param("team/api:1.0", "passed", "", id="there"),
    pytest.param("team/api:9.9", "failed", "missing image", id="missing"),
    pytest.param(None, "unverified", "", id="registry-away"),
]


@pytest.mark.parametrize(("image", "outcome", "problem"), INSPECTED)
def test_inspected_tells_of_images(
    tmp_path: Path, images: tuple[str, str], image: str | None, outcome: str, problem: str
) -> None:
    reference = f"{images[0]}/{image}" if image else f"127.0.0.1:{closed_port()}/team/api:1.0"
    found = deployment(2)
    found["spec"]["template"]["spec"]["containers"][0]["image"] = reference
    with scripted({f"GET {DEPLOYMENT}": [(200, {}, found)], f"GET {PODS}": [listed()]}) as api:
        result = run(api, tmp_path, state="inspected", check_images=True)
        wanted = {"images": {"api": f"{images[0]}/team/api@{DIGEST}"}}
        rollback = run(api, tmp_path, state="rolled_back", check_images=True, workload=wanted)
    assert result["outcome"] == outcome
    assert problem in " ".join(result["problems"])
    assert bool(result["unverified"]) == (outcome == "unverified")
    assert rollback["failed"]
    assert DIGEST in rollback["msg"]
    assert "Nothing was changed" in rollback["msg"]
