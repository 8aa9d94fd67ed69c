"""Images that are the same everywhere, and the registry that serves them."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.registry.images import ImageError, build_image
from lab.registry.layout import Layout, LayoutError
from tests.unit.lab.node_support import free_port, listens, running_module, wait_until

HOST = "127.79.2.1"
NAME = "lab/web"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "source"
    (directory / "package" / "__pycache__").mkdir(parents=True)
    (directory / "package" / "__pycache__" / "main.pyc").write_bytes(b"compiled")
    (directory / "package" / "main.py").write_text("print('hello')\n")
    script = directory / "run"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    return directory


def build(source: Path, store: Path, tag: str = "1", release: str = "1") -> str:
    return build_image(source, NAME, tag, store, ["python3", "main.py"], env={"A": "b"}, labels={"release": release})


def blob(store: Path, digest: str) -> bytes:
    return Layout.find(store, NAME).blob_path(digest).read_bytes()


def test_same_files_give_the_same_digest_whatever_their_times(source: Path, tmp_path: Path) -> None:
    first = build(source, tmp_path / "one")
    for path in source.rglob("*"):
        path.touch()
    (source / "package" / "__pycache__" / "other.pyc").write_bytes(b"new")
    assert build(source, tmp_path / "two") == first


def test_another_byte_or_label_or_mode_gives_another_digest(source: Path, tmp_path: Path) -> None:
    digests = {build(source, tmp_path / "store"), build(source, tmp_path / "store", release="2")}
    (source / "run").chmod(0o600)
    digests.add(build(source, tmp_path / "store"))
    (source / "package" / "main.py").write_text("print('hullo')\n")
    digests.add(build(source, tmp_path / "store"))
    assert len(digests) == 4


def test_every_digest_in_the_image_is_that_of_its_bytes(source: Path, tmp_path: Path) -> None:
    digest = build(source, tmp_path)
    manifest = json.loads(blob(tmp_path, digest))
    config = json.loads(blob(tmp_path, manifest["config"]["digest"]))
    layer = blob(tmp_path, manifest["layers"][0]["digest"])
    for descriptor in [manifest["config"], *manifest["layers"]]:
        data = blob(tmp_path, descriptor["digest"])
        assert descriptor["digest"] == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert descriptor["size"] == len(data)
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["Entrypoint"] == ["python3", "main.py"]
    assert config["config"]["Env"] == ["A=b"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        assert archive.getnames() == ["package", "package/main.py", "run"]
        assert archive.getmember("run").mode == 0o755


def test_moved_tag_leaves_the_old_manifest_to_be_had_by_digest(source: Path, tmp_path: Path) -> None:
    old, new = build(source, tmp_path), build(source, tmp_path, release="2")
    layout = Layout.find(tmp_path, NAME)
    assert layout.tags() == ["1"]
    assert (layout.resolve("1") or {})["digest"] == new
    assert (layout.resolve(old) or {})["digest"] == old
    build(source, tmp_path)
    assert [d["digest"] for d in layout.manifests()].count(old) == 1


@pytest.mark.parametrize("name", ["../web", "Web", "web/", "", "a//b"])
def test_repository_name_outside_the_grammar_is_refused(source: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(LayoutError):
        build_image(source, name, "1", tmp_path, ["x"], env={}, labels={})


def test_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no directory"):
        build(tmp_path / "nothing", tmp_path)


class Client:
    """Requests to the registry."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()


@pytest.fixture
def registry(source: Path, tmp_path: Path) -> Iterator[Client]:
    for tag in ("1", "2", "3"):
        build(source, tmp_path / "store", tag, release=tag)
    port = free_port(HOST)
    config = {"host": HOST, "port": port, "store": str(tmp_path / "store")}
    with running_module("lab.registry", config, tmp_path) as process:
        wait_until(lambda: listens(HOST, port), "the registry to listen")
        yield Client(port)
        process.terminate()
        assert process.wait(10) == 0


def test_pull_by_tag_and_by_digest(registry: Client) -> None:
    assert registry.ask("/v2/")[0] == 200
    status, headers, data = registry.ask(f"/v2/{NAME}/manifests/2")
    assert (status, headers["Content-Type"]) == (200, "application/vnd.oci.image.manifest.v1+json")
    digest = headers["Docker-Content-Digest"]
    assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert registry.ask(f"/v2/{NAME}/manifests/{digest}")[2] == data
    status, headers, empty = registry.ask(f"/v2/{NAME}/manifests/2", "HEAD")
    assert (status, headers["Content-Length"], empty) == (200, str(len(data)), b"")
    assert headers["Docker-Content-Digest"] == digest
    layer = json.loads(data)["layers"][0]
    status, headers, content = registry.ask(f"/v2/{NAME}/blobs/{layer['digest']}")
    assert (status, len(content), headers["Docker-Content-Digest"]) == (200, layer["size"], layer["digest"])


def test_tags_come_in_pages(registry: Client) -> None:
    assert json.loads(registry.ask(f"/v2/{NAME}/tags/list")[2]) == {"name": NAME, "tags": ["1", "2", "3"]}
    _, headers, data = registry.ask(f"/v2/{NAME}/tags/list?n=2")
    assert json.loads(data)["tags"] == ["1", "2"]
    following = headers["Link"].partition(">")[0].removeprefix("<")
    assert json.loads(registry.ask(following)[2])["tags"] == ["3"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"/v2/{NAME}/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/{NAME}/manifests/sha256:{'0' * 64}", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"/v2/{NAME}/blobs/sha256:{'0' * 64}", 404, "BLOB_UNKNOWN"),
        ("GET", f"/v2/{NAME}/blobs/..", 400, "DIGEST_INVALID"),
        ("GET", "/v2/none/manifests/1", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/../../etc/manifests/passwd", 400, "NAME_INVALID"),
        ("GET", "/v2/none", 404, "NAME_UNKNOWN"),
        ("PUT", f"/v2/{NAME}/manifests/4", 405, "UNSUPPORTED"),
        ("DELETE", f"/v2/{NAME}/manifests/1", 405, "UNSUPPORTED"),
    ],
)
def test_refusals(registry: Client, method: str, path: str, status: int, code: str) -> None:
    answer = registry.ask(path, method)
    assert answer[0] == status
    assert json.loads(answer[2])["errors"][0]["code"] == code


def test_image_built_while_it_serves_is_served(registry: Client, source: Path, tmp_path: Path) -> None:
    digest = build(source, tmp_path / "store", "4", release="4")
    assert registry.ask(f"/v2/{NAME}/manifests/4")[1]["Docker-Content-Digest"] == digest
