"""checksum_manifest over a prefix of a real S3, as a module and in process."""

from __future__ import annotations

import hashlib
import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_journal import Journal, about
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_s3 import Prefix, examine_prefix
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import Unreachable

from tests.unit.plugins.both_ways import BothWays
from tests.unit.servers import S3Server
from tests.unit.tcp_proxy import TcpProxy

Result = dict[str, Any]
Call = Callable[..., Result]
FILES = {"a": b"alpha", "b": b"betas", "dir/c d": b"gamma" * 1000, "dir/ü%": b"delta", "empty": b""}


class Bucket:
    """One prefix of a bucket that keeps versions, or does not."""

    def __init__(self, server: S3Server, versioned: bool) -> None:
        self.client = server.client()
        self.name = "checksums-versioned" if versioned else "checksums"
        self.prefix = f"{uuid.uuid4().hex}/"
        self.store = server.store(self.name, prefix=self.prefix, timeout=20.0)
        if versioned:
            self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})
        for name, content in FILES.items():
            self.put(f"models/{name}", content)
        self.put("models-old/x", b"another directory, whose name begins alike")

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=self.prefix + name, Body=content)

    def delete(self, name: str, **which: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=self.prefix + name, **which)

    def version(self, name: str) -> str:
        return str(self.client.head_object(Bucket=self.name, Key=self.prefix + name)["VersionId"])


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    return Bucket(s3_server, versioned=False)


@pytest.fixture
def versioned(s3_server: S3Server) -> Bucket:
    return Bucket(s3_server, versioned=True)


@pytest.fixture(params=["module", "action"])
def way(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def call(way: BothWays, tmp_path: Path) -> Call:
    def called(state: str, of: Bucket, check: bool = False, **more: Any) -> Result:
        given = {"state": state, "store": of.store, "prefix": "models", "manifest": str(tmp_path / "m.json")}
        return way("checksum_manifest", {**given, **more}, check)

    return called


def test_a_prefix_is_a_directory_and_verifies(call: Call, bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("models/dir/", b"")
    made = call("created", bucket)
    assert (made["changed"], made["count"], call("created", bucket)["changed"]) == (True, len(FILES), False)
    listed = json.loads((tmp_path / "m.json").read_bytes())["files"]
    assert {one["path"].replace("%25", "%"): one["digest"] for one in listed} == {
        name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()
    }
    assert not any("version_id" in one for one in listed)
    for prefix in ("models", "models/"):
        assert call("verified", bucket, prefix=prefix)["outcome"] == "passed"
    recorded = call("verified", bucket, versions="recorded")
    assert recorded["outcome"] == "unverified"
    assert "the manifest records no version of it" in recorded["msg"]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda bucket: bucket.delete("models/a"), [("missing", "a")]),
        (lambda bucket: bucket.put("models/new", b""), [("extra", "new")]),
        (lambda bucket: bucket.put("models/a", b"ALPHA"), [("changed", "a")]),
        (lambda bucket: bucket.put("models/a", b"alph"), [("truncated", "a")]),
        (lambda bucket: bucket.put("models/empty", b"x"), [("grown", "empty")]),
        (
            lambda bucket: [bucket.put("models/a", FILES["b"]), bucket.put("models/b", FILES["a"])],
            [("swapped", "a"), ("swapped", "b")],
        ),
    ],
    ids=["missing", "extra", "changed", "truncated", "grown", "swapped"],
)
def test_each_damage_is_named(
    damage: Callable[[Bucket], Any], named: list[tuple[str, str]], call: Call, bucket: Bucket
) -> None:
    call("created", bucket)
    damage(bucket)
    result = call("verified", bucket)
    assert (result["failed"], result["outcome"]) == (True, "failed")
    assert [(one["kind"], one["path"]) for one in result["differences"]] == named


def test_recorded_versions_are_read_whatever_was_written_over_them(call: Call, versioned: Bucket) -> None:
    version = versioned.version("models/a")
    call("created", versioned)
    versioned.put("models/a", b"ALPHA")
    versioned.delete("models/b")
    versioned.put("models/new", b"x")
    now = call("verified", versioned)
    assert [(one["kind"], one["path"]) for one in now["differences"]] == [
        ("changed", "a"),
        ("missing", "b"),
        ("extra", "new"),
    ]
    (changed, *_rest) = now["differences"]
    assert changed["expected"]["version_id"] == version != changed["found"]["version_id"]
    assert call("verified", versioned, versions="recorded")["outcome"] == "passed"
    versioned.delete("models/a", VersionId=version)
    lost = call("verified", versioned, versions="recorded")
    assert [(one["kind"], one["path"]) for one in lost["differences"]] == [("missing", "a")]
    assert "there is no such version any more" in " ".join(lost["notes"])


def test_the_same_content_in_a_new_version_is_the_same_tree(call: Call, versioned: Bucket) -> None:
    call("created", versioned)
    versioned.put("models/a", FILES["a"])
    assert call("verified", versioned)["outcome"] == "passed"
    assert not call("created", versioned)["changed"]
    assert call("created", versioned, replace=True)["changed"]


def test_the_manifest_may_live_beside_what_it_lists(call: Call, bucket: Bucket, tmp_path: Path) -> None:
    key = str(tmp_path / "key.pem")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout"], check=True, capture_output=True, text=True)
    there = {"manifest": "models/manifest.json", "manifest_store": bucket.store}
    predicted = call("created", bucket, check=True, signing_key=key, **there)
    made = call("created", bucket, signing_key=key, **there)
    assert (predicted["changed"], predicted["count"], predicted["diff"]) == (True, made["count"], made["diff"])
    assert not call("created", bucket, signing_key=key, **there)["changed"]
    proved = call("verified", bucket, public_keys=[public.stdout], **there)
    assert (proved["outcome"], proved["count"]) == ("passed", len(FILES))
    bucket.delete("models/manifest.json.sig")
    assert "it has no signature" in call("verified", bucket, public_keys=[public.stdout], **there)["msg"]
    bucket.put("models/a", b"ALPHA")
    call("signed", bucket, signing_key=key, **there)
    assert call("created", bucket, replace=True, **there)["changed"]
    assert not bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=f"{bucket.prefix}models/manifest.json.sig")[
        "KeyCount"
    ]


def test_a_tree_and_its_copy_are_compared(call: Call, way: BothWays, bucket: Bucket, tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(content)
    local = {"state": "created", "path": str(tmp_path / "tree"), "manifest": str(tmp_path / "local.json")}
    way("checksum_manifest", local)
    call("created", bucket)
    assert call("compared", bucket, other_manifest=local["manifest"])["outcome"] == "passed"
    assert call("verified", bucket, manifest=local["manifest"])["outcome"] == "passed"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"bucket": "no-such-bucket"}, "the bucket does not exist"),
        ({"endpoint_url": "http://127.0.0.1:9"}, "Could not connect"),
        ({"credentials_file": "/nonexistent"}, "no such file or profile"),
        ({"prefix": "nothing-there/"}, "is missing"),
    ],
)
def test_a_store_that_cannot_be_asked_is_named(
    change: dict[str, str], says: str, call: Call, bucket: Bucket, tmp_path: Path
) -> None:
    call("created", bucket)
    other = {**bucket.store, **change}
    result = call("verified", bucket, store=other)
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["outcome"] == ("failed" if "prefix" in change else "unverified")
    assert says in result["msg"]
    fresh = call("created", bucket, store=other, manifest=str(tmp_path / "new.json"))
    assert fresh["failed"] and not (tmp_path / "new.json").exists()


@pytest.mark.parametrize("name", ["../x", "a//b", "/etc/passwd"])
def test_a_key_that_no_file_can_have_is_named(name: str, call: Call, bucket: Bucket) -> None:
    call("created", bucket)
    store = Prefix(bucket.store, "models")
    # SeaweedFS keeps objects as files and so has no such keys; S3 has
    listing = store.listing()
    store._take({"Key": f"{store.prefix}{name}", "Size": 1, "ETag": "x", "LastModified": "y"}, listing)
    (problem,) = listing.problems
    assert (problem.kind, problem.path) == ("name", name)
    assert "Rename the object" in str(problem)


def test_an_object_that_vanishes_while_the_prefix_is_read_is_missing(
    call: Call, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("created", bucket)
    listing = Prefix.listing

    def then_delete(self: Prefix, *arguments: Any) -> Any:
        found = listing(self, *arguments)
        bucket.delete("models/a")
        return found

    monkeypatch.setattr(Prefix, "listing", then_delete)
    result = call("verified", bucket)
    assert [(one["kind"], one["path"]) for one in result["differences"]] == [("missing", "a")]
    assert "there is no such object any more" in result["notes"][0]


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[TcpProxy]:
    proxy = TcpProxy(s3_server.endpoint_url)
    yield proxy
    proxy.close()


def test_a_store_that_goes_away_half_way_leaves_it_unverified(
    call: Call, bucket: Bucket, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call("created", bucket)
    read, count = Prefix._read, [0]

    def then_cut(self: Prefix, *arguments: Any) -> Any:
        count[0] += 1
        if count[0] == 3:
            proxy.set("refuse")
        return read(self, *arguments)

    monkeypatch.setattr(Prefix, "_read", then_cut)
    store = {**bucket.store, "endpoint_url": proxy.endpoint_url, "timeout": 1.0}
    result = call("verified", bucket, store=store, workers=1)
    assert (result["failed"], result["outcome"], result["differences"]) == (True, "unverified", [])
    assert "(3 attempts)" in result["msg"]
    refused = call("created", bucket, store=store, manifest=str(tmp_path / "new.json"))
    assert refused["failed"] and not (tmp_path / "new.json").exists()


def test_a_store_that_is_gone_is_not_asked_for_every_object(
    bucket: Bucket, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        bucket.put(f"models/many/{number}", b"x")
    store = Prefix({**bucket.store, "endpoint_url": proxy.endpoint_url, "timeout": 1.0}, "models")
    listing = store.listing()
    proxy.set("refuse")
    asked: list[int] = []
    monkeypatch.setattr(store, "listing", lambda *_more: listing)
    store._client.meta.events.register("before-send.s3.GetObject", lambda **_more: asked.append(1))
    with pytest.raises(Unreachable):
        examine_prefix(store)
    assert len(asked) < 30 * 3 // 2


def test_an_interrupted_run_goes_on(call: Call, bucket: Bucket, tmp_path: Path) -> None:
    what = call("created", bucket)["what"]
    with Journal(tmp_path / "m.json.journal", about("verify", what, "sha256")) as journal:
        examine_prefix(Prefix(bucket.store, "models"), known=journal)  # and killed before it answered
    bucket.put("models/a", b"ALPHA")
    result = call("verified", bucket, required=False)
    assert (result["kept_files"], result["hashed_bytes"]) == (len(FILES) - 1, 5)
    assert [(one["kind"], one["path"]) for one in result["differences"]] == [("changed", "a")]
    assert not (tmp_path / "m.json.journal").exists()
