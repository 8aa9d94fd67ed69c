"""The manifest's format: what is written is read again, and nothing else is."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums import FileSum
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_manifest import (
    BadManifest,
    Manifest,
    OtherTree,
    compare,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger_event import canonical

EMPTY = hashlib.sha256().hexdigest()
SUBJECT = {"service": "lab", "component": "models", "id": "20261123T100000Z-0123abcd"}


def manifest(*names: str, **more: Any) -> Manifest:
    files = [FileSum(name, 0, EMPTY) for name in names or ("a", "b/c")]
    return Manifest(**{"subject": SUBJECT, "facts": {"tool": "x 1.0"}, "files": files, **more})


@pytest.mark.parametrize(
    "names",
    [
        ("a",),
        ("b", "a", "a/b", "a b", "ü", "日本"),
        ("line\nfeed", "tab\t", "back\\slash", "per%41cent", "\udcff\udcfe", "%", "-rf", " lead", "trail "),
    ],
)
def test_what_is_written_is_read_again(names: tuple[str, ...]) -> None:
    made = manifest(*names)
    body = made.to_bytes()
    read = Manifest.parse(body)
    assert {one.path for one in read.files} == set(names)
    assert read.to_bytes() == body
    assert (read.subject, read.facts, read.algorithm, read.created) == (SUBJECT, made.facts, "sha256", made.created)
    assert compare(read, made.files) == []
    raw = json.loads(body)
    assert (raw["version"], raw["count"], raw["bytes"]) == (1, len(names), 0)
    assert all(one["path"].isprintable() for one in raw["files"])


def test_a_version_of_an_object_is_kept() -> None:
    read = Manifest.parse(manifest(files=[FileSum("a", 0, EMPTY, "v1"), FileSum("b", 0, EMPTY)]).to_bytes())
    assert [one.version_id for one in read.files] == ["v1", None]


def changed(**members: Any) -> bytes:
    return canonical({**json.loads(manifest().to_bytes()), **members})


def entry(**members: Any) -> bytes:
    return changed(files=[{"path": "a", "size": 0, "digest": EMPTY, **members}], count=1)


BODY = manifest().to_bytes()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "truncated or no JSON"),
        (BODY[:-1], "truncated or no JSON"),
        (BODY[: len(BODY) // 2], "truncated or no JSON"),
        (b"\xff\xfe\x00", "truncated or no JSON"),
        (b"[]", "not a checksum manifest"),
        (b"null", "not a checksum manifest"),
        (BODY + b"\n", "not in canonical form"),
        (json.dumps(json.loads(BODY), indent=1).encode(), "not in canonical form"),
        (BODY.replace(b'"count":2', b'"count":2,"count":2'), "there twice"),
        (changed(version=2), "has version 2, this collection reads version 1. Use the release"),
        (changed(version=0), "not a checksum manifest"),
        (changed(version=True), "not in canonical form"),
        (changed(more=1), "not a checksum manifest"),
        (changed(algorithm="md5"), "algorithm 'md5' is not known"),
        (changed(subject=[]), "have another type"),
        (changed(created="yesterday"), "no valid time"),
        (changed(created=5), "no valid time"),
        (changed(count=3), "counts 3 files"),
        (changed(bytes=1), "counts 2 files of 1 bytes and lists 2 of 0"),
        (changed(files=json.loads(BODY)["files"][:1]), "counts 2 files"),
        (changed(files=json.loads(BODY)["files"][::-1]), "not in canonical form"),
        (changed(files=[json.loads(BODY)["files"][0]] * 2), "lists a twice"),
        (entry(path="../x"), "leads out of the tree"),
        (entry(path="a/../../x"), "leads out of the tree"),
        (entry(path="/etc/passwd"), "is absolute"),
        (entry(path="a//b"), "empty part"),
        (entry(path="./a"), "one that is a dot"),
        (entry(path=""), "empty part"),
        (entry(path="a%00b"), "contains a NUL"),
        (entry(path="%2E%2E/x"), "not encoded as a manifest"),
        (entry(path="a%2fb"), "not encoded as a manifest"),
        (entry(path="a%"), "not encoded as a manifest"),
        (entry(path="a\n"), "not encoded as a manifest"),
        (entry(path=5), "of another type"),
        (entry(version_id=5), "of another type"),
        (entry(version_id=None), "of another type"),
        (entry(size=-1), "is no size"),
        (entry(size="0"), "is no size"),
        (entry(size=True), "is no size"),
        (entry(size=0.0), "is no size"),
        (entry(digest=EMPTY[:-1]), "is no digest"),
        (entry(digest=EMPTY.upper()), "is no digest"),
        (entry(digest=None), "is no digest"),
        (entry(mode="0644"), "entry of files is not one"),
    ],
)
def test_what_is_no_manifest_is_refused_and_said_why(body: bytes, says: str) -> None:
    with pytest.raises(BadManifest) as raised:
        Manifest.parse(body, "manifest /x/m.json")
    assert says in str(raised.value)
    assert str(raised.value).startswith("Failed to read manifest /x/m.json: ")


def test_any_flipped_bit_of_a_manifest_is_refused_or_another_manifest() -> None:
    """Parsing cannot find each change, a digest is any hex: what it lets pass differs, and so its signature fails."""
    for number in range(len(BODY)):
        spoiled = bytearray(BODY)
        spoiled[number] ^= 1
        try:
            assert Manifest.parse(bytes(spoiled)).to_bytes() == bytes(spoiled)
        except BadManifest:
            continue


@pytest.mark.parametrize(
    "more",
    [
        {"files": [FileSum("../x", 0, EMPTY)]},
        {"files": [FileSum("a", 0, EMPTY)] * 2},
        {"files": [FileSum("a", 0, "short")]},
        {"facts": {"text": "\udcff"}},
        {"facts": {"value": float("nan")}},
        {"facts": {"value": object()}},
        {"algorithm": "md5"},
    ],
    ids=["traversal", "duplicate", "digest", "text", "nan", "object", "algorithm"],
)
def test_a_manifest_that_could_not_be_read_again_is_not_written(more: dict[str, Any]) -> None:
    with pytest.raises(RecoveryError, match="Failed to write manifest"):
        manifest(**more).to_bytes()


def test_a_manifest_for_another_tree_is_named() -> None:
    manifest().require_subject({"service": "lab"})
    with pytest.raises(
        OtherTree, match=r"Failed to use manifest m\.json: it is for another tree: service is 'lab', not"
    ):
        manifest().require_subject({**SUBJECT, "service": "shop"}, "manifest m.json")
    with pytest.raises(OtherTree, match="region is None, not 'us-east-1'"):
        manifest().require_subject({"region": "us-east-1"})
