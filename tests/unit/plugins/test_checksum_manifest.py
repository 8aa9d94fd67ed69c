"""checksum_manifest over local trees, as a module and in process: the same cases, the same results."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.checksum_support import FILES, Call, caller, link, make_tree, pipe, swap


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


@pytest.fixture(params=["module", "action"])
def call(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], tree: Path, tmp_path: Path) -> Call:
    return caller(BothWays(request.param, capsys), tree, tmp_path)


def test_create_then_again_then_verify(call: Call, tmp_path: Path) -> None:
    predicted, made, again = call("created", check=True), call("created"), call("created")
    assert (predicted["changed"], made["changed"], again["changed"]) == (True, True, False)
    same = ("count", "bytes", "subject", "algorithm", "diff", "outcome", "differences")
    assert [predicted[name] for name in same] == [made[name] for name in same]
    assert (predicted["manifest_digest"], made["diff"]["before"]) == (None, {"signed": False, "files": []})
    body = (tmp_path / "m.json").read_bytes()
    assert made["manifest_digest"] == again["manifest_digest"] == hashlib.sha256(body).hexdigest()
    assert (made["count"], made["bytes"], made["hashed_bytes"], made["outcome"]) == (5, 20, 20, None)
    listed = json.loads(body)["files"]
    assert [one["path"] for one in listed] == ["a", "b", "dir/c d", "dir/%FF%0A", "empty"]
    assert [one["digest"] for one in listed] == [hashlib.sha256(content).hexdigest() for content in FILES.values()]
    for check in (False, True):
        proved = call("verified", check=check)
        assert (proved["outcome"], proved["changed"], proved["problems"]) == ("passed", False, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.json", "tree"]


def test_blake3(call: Call, tree: Path) -> None:
    assert call("created", algorithm="blake3")["algorithm"] == "blake3"
    assert call("verified")["outcome"] == "passed"
    assert "it is made by blake3" in call("created")["msg"]
    (tree / "a").write_bytes(b"ALPHA")
    assert call("verified")["counts"]["changed"] == 1


DAMAGE: list[tuple[str, Callable[[Path], Any], list[tuple[str, str]]]] = [
    ("missing", lambda tree: (tree / "b").unlink(), [("missing", "b")]),
    (
        "missing directory",
        lambda tree: shutil.rmtree(tree / "dir"),
        [("missing", "dir/c d"), ("missing", "dir/%FF%0A")],
    ),
    ("extra", lambda tree: (tree / "new").touch(), [("extra", "new")]),
    ("flipped", lambda tree: (tree / "dir/\udcff\n").write_bytes(b"delua"), [("changed", "dir/%FF%0A")]),
    ("truncated", lambda tree: (tree / "a").write_bytes(b"alph"), [("truncated", "a")]),
    ("emptied", lambda tree: (tree / "a").write_bytes(b""), [("truncated", "a")]),
    ("grown", lambda tree: (tree / "empty").write_bytes(b"\0"), [("grown", "empty")]),
    ("swapped", swap, [("swapped", "a"), ("swapped", "b")]),
    ("renamed", lambda tree: (tree / "b").rename(tree / "c"), [("missing", "b"), ("extra", "c")]),
    ("link in its place", link, [("changed", "a")]),
    ("pipe", pipe, [("extra", "pipe")]),
    ("all gone", lambda tree: [shutil.rmtree(tree), tree.mkdir()], [("missing", name) for name in "ab"]),
]


@pytest.mark.parametrize(("damage", "named"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_each_damage_is_named(
    damage: Callable[[Path], Any], named: list[tuple[str, str]], call: Call, tree: Path
) -> None:
    call("created")
    damage(tree)
    result = call("verified")
    assert (result["failed"], result["outcome"], result["changed"]) == (True, "failed", False)
    found = [(one["kind"], one["path"]) for one in result["differences"]]
    assert found[: len(named)] == named
    assert sum(result["counts"].values()) == len(found) == len(result["problems"])
    for kind, path in named:
        assert any(problem.startswith(f"{path} is {kind}") for problem in result["problems"])
    assert f"{named[0][1]} is {named[0][0]}" in result["msg"]
    told = call("verified", required=False)
    assert (told.get("failed", False), told["outcome"], told["differences"]) == (False, "failed", result["differences"])


def test_a_changed_tree_does_not_replace_its_manifest_unasked(call: Call, tree: Path, tmp_path: Path) -> None:
    call("created")
    before = (tmp_path / "m.json").read_bytes()
    (tree / "a").write_bytes(b"ALPHA")
    refused = call("created")
    assert refused["failed"]
    assert "a is changed. Find out why; set replace" in refused["msg"]
    assert [one["path"] for one in refused["differences"]] == ["a"]
    assert (tmp_path / "m.json").read_bytes() == before
    predicted, replaced = call("created", check=True, replace=True), call("created", replace=True)
    assert predicted["changed"] and replaced["changed"]
    assert predicted["diff"] == replaced["diff"]
    assert replaced["diff"]["after"]["files"][0]["digest"] == hashlib.sha256(b"ALPHA").hexdigest()
    assert not call("created", replace=True)["changed"]
    assert call("verified")["outcome"] == "passed"
