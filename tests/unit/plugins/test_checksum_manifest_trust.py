"""checksum_manifest: what cannot be trusted, read or used is named, as a module and in process."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.utils.display import Display
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.signatures import fingerprint

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.checksum_support import (
    FILES,
    MODULE_UTILS,
    SUBJECT,
    Call,
    caller,
    link,
    make_keys,
    make_tree,
    pipe,
    swap,
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree")


@pytest.fixture(params=["module", "action"])
def call(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], tree: Path, tmp_path: Path) -> Call:
    return caller(BothWays(request.param, capsys), tree, tmp_path)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_keys(tmp_path_factory.mktemp("keys"))


def test_signatures(call: Call, tree: Path, tmp_path: Path, keys: dict[str, str]) -> None:
    call("created")
    unsigned = call("verified", public_keys=[keys["ours"]])
    assert (unsigned["failed"], unsigned["outcome"]) == (True, "failed")
    assert "it has no signature" in unsigned["msg"]
    predicted, signed, again = (call("signed", check=check, signing_key=keys["key"]) for check in (True, False, False))
    assert (predicted["changed"], signed["changed"], again["changed"]) == (True, True, False)
    assert predicted["diff"] == signed["diff"]
    assert signed["signed_by"] == fingerprint(keys["ours"])
    proved = call("verified", public_keys=[keys["theirs"], keys["ours"]])
    assert (proved["outcome"], proved["signed_by"]) == ("passed", signed["signed_by"])
    other = call("verified", public_keys=[keys["theirs"]])
    assert (other["failed"], other["outcome"], other["signed_by"]) == (True, "failed", None)
    assert "none of the public keys made it" in other["msg"]
    body = (tmp_path / "m.json").read_bytes()
    (tmp_path / "m.json").write_bytes(body.replace(b'"component":"models"', b'"component":"modelz"'))
    assert "none of the public keys made it" in call("verified", public_keys=[keys["ours"]])["msg"]
    (tmp_path / "m.json").write_bytes(body)
    (tree / "a").write_bytes(b"ALPHA")
    call("created", replace=True, signing_key=keys["key"])
    assert call("verified", public_keys=[keys["ours"]])["outcome"] == "passed"
    (tree / "a").write_bytes(b"alpha")
    call("created", replace=True)
    assert not (tmp_path / "m.json.sig").exists(), "a signature of what was there before"


def test_a_run_killed_between_signature_and_manifest_converges(
    call: Call, tree: Path, tmp_path: Path, keys: dict[str, str]
) -> None:
    call("created", signing_key=keys["key"])
    old = (tmp_path / "m.json").read_bytes()
    (tree / "a").write_bytes(b"ALPHA")
    call("created", signing_key=keys["key"], replace=True)
    (tmp_path / "m.json").write_bytes(old)
    (tmp_path / ".m.json.0123.part").write_bytes(b"half")
    assert call("verified", public_keys=[keys["ours"]])["outcome"] == "failed"
    assert call("created", signing_key=keys["key"], replace=True)["changed"]
    assert call("verified", public_keys=[keys["ours"]])["outcome"] == "passed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.json", "m.json.sig", "tree"]


@pytest.mark.parametrize(
    ("spoil", "outcome", "says"),
    [
        (lambda path: path.unlink(), "unverified", "there is no such manifest"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "failed", "it is truncated or no JSON"),
        (lambda path: path.write_bytes(path.read_bytes() + b" "), "failed", "not in canonical form"),
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":9')),
            "failed",
            "it has version 9",
        ),
        (
            lambda path: path.write_bytes(path.read_bytes().replace(b'"a"', b'"../a"')),
            "failed",
            "leads out of the tree",
        ),
        (lambda path: [path.unlink(), path.mkdir()], "unverified", "Is a directory"),
    ],
    ids=["missing", "truncated", "tampered", "newer", "traversal", "unreadable"],
)
def test_a_bad_manifest_is_named(
    spoil: Callable[[Path], Any], outcome: str, says: str, call: Call, tmp_path: Path
) -> None:
    call("created")
    spoil(tmp_path / "m.json")
    result = call("verified")
    assert (result["failed"], result["outcome"]) == (True, outcome)
    assert says in result["msg"] and str(tmp_path / "m.json") in result["msg"]
    quiet = call("verified", required=False)
    assert (quiet.get("failed", False), quiet["outcome"], quiet["problems"]) == (False, outcome, [result["msg"]])
    if outcome == "failed":
        assert says in call("created")["msg"], "nor is it replaced"


def test_a_manifest_for_another_tree_is_refused(call: Call, tmp_path: Path, keys: dict[str, str]) -> None:
    call("created")
    other = {"service": "shop"}
    body = (tmp_path / "m.json").read_bytes()
    for state, more in (("verified", {}), ("created", {"replace": True}), ("signed", {"signing_key": keys["key"]})):
        result = call(state, subject=other, **more)
        assert result["failed"]
        assert "it is for another tree" in result["msg"]
        assert result["subject"] == SUBJECT
    assert (tmp_path / "m.json").read_bytes() == body
    assert call("verified", subject={})["outcome"] == "passed"


def test_a_tree_that_cannot_be_listed_makes_no_manifest(call: Call, tree: Path, tmp_path: Path) -> None:
    link(tree)
    pipe(tree)
    result = call("created")
    assert result["failed"]
    assert "a: it is a symbolic link to ../elsewhere (out of the tree)" in result["msg"]
    assert len(result["problems"]) == 2
    (tree / "void").mkdir()
    assert "it has no file. Is it the right one?" in call("created", path=str(tree / "void"))["msg"]
    assert "there is no such directory" in call("created", path=str(tree / "none"))["msg"]
    gone = call("verified", path=str(tree / "none"))
    assert not (tmp_path / "m.json").exists()
    assert gone["outcome"] == "unverified"


def test_what_lies_in_the_tree_itself_is_left_out(call: Call, tree: Path, keys: dict[str, str]) -> None:
    inside = str(tree / "dir/manifest.json")
    assert call("created", manifest=inside, signing_key=keys["key"])["count"] == len(FILES)
    assert not call("created", manifest=inside, signing_key=keys["key"])["changed"]
    assert call("verified", manifest=inside, public_keys=[keys["ours"]])["outcome"] == "passed"


def test_two_manifests_are_compared(call: Call, tree: Path, tmp_path: Path, keys: dict[str, str]) -> None:
    other = str(tmp_path / "other.json")
    for name in (None, other):
        call("created", signing_key=keys["key"], **({"manifest": name} if name else {}))
    more = {"path": None, "other_manifest": other, "public_keys": [keys["ours"]]}
    assert call("compared", **more)["outcome"] == "passed"
    swap(tree)
    call("created", manifest=other, replace=True)
    assert "other.json: it has no signature" in call("compared", **more)["msg"]
    differs = call("compared", **{**more, "public_keys": []})
    assert (differs["failed"], differs["counts"]["swapped"]) == (True, 2)
    call("created", manifest=other, replace=True, algorithm="blake3")
    undecided = call("compared", **{**more, "public_keys": []})
    assert (undecided["outcome"], undecided["failed"]) == ("unverified", True)
    assert "one has sha256, the other blake3" in undecided["msg"]


@pytest.fixture
def open_tree() -> Iterator[Path]:
    """A tree that an ordinary user may read, and the rights of such a user from `seteuid` on."""
    with tempfile.TemporaryDirectory(prefix="dr-checksums-", dir="/tmp") as name:
        os.chmod(name, 0o755)
        before = os.geteuid()
        yield Path(name)
        os.seteuid(before)


def test_a_file_that_may_not_be_read_leaves_it_unverified(call: Call, open_tree: Path) -> None:
    tree, manifest = open_tree / "tree", str(open_tree / "m.json")
    for name in ("a", "b", "closed/c", "closed/d/e"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(b"x")
    call("created", path=str(tree), manifest=manifest)
    (tree / "a").chmod(0)
    (tree / "closed").chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
    result = call("verified", path=str(tree), manifest=manifest)
    refused = call("created", path=str(tree), manifest=str(open_tree / "new.json"))
    assert (result["failed"], result["outcome"], result["differences"]) == (True, "unverified", [])
    assert [problem.split(":")[0] for problem in result["problems"]] == ["Failed to hash a", "Failed to hash closed"]
    assert "Run as a user who may read it" in result["msg"]
    assert any("An interrupted run would begin anew" in note for note in result["notes"])
    assert refused["failed"]


def test_a_difference_fails_even_beside_what_could_not_be_read(call: Call, open_tree: Path) -> None:
    tree, manifest = open_tree / "tree", str(open_tree / "m.json")
    tree.mkdir()
    for name in ("a", "b"):
        (tree / name).write_bytes(b"x")
    call("created", path=str(tree), manifest=manifest)
    (tree / "a").chmod(0)
    (tree / "b").write_bytes(b"y")
    if os.geteuid() == 0:
        os.seteuid(65534)
    result = call("verified", path=str(tree), manifest=manifest)
    assert (result["outcome"], len(result["problems"])) == ("failed", 2)


def test_a_file_that_is_being_written_is_named(call: Call, tree: Path) -> None:
    (tree / "busy").write_bytes(bytes(32 << 20))
    call("created")
    stop = threading.Event()

    def write() -> None:
        with (tree / "busy").open("r+b", buffering=0) as file:
            while not stop.wait(0.001):
                file.seek(0)
                file.write(b"\0")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        result = call("verified")
    finally:
        stop.set()
        writer.join()
    assert (result["outcome"], result["differences"]) == ("unverified", [])
    assert "Failed to hash busy: it changed twice while it was read" in result["msg"]
    assert call("verified")["outcome"] == "passed"


def test_a_journal_that_was_asked_for_must_be_usable(call: Call, tmp_path: Path) -> None:
    call("created")
    result = call("verified", journal=str(tmp_path / "none/journal"))
    assert (result["outcome"], "Failed to open journal" in result["msg"]) == ("unverified", True)
    assert call("verified", journal=str(tmp_path / "journal"))["outcome"] == "passed"
    assert not (tmp_path / "journal").exists()


def test_progress_is_shown_by_the_action(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{MODULE_UTILS}.checksums_progress.TELL_SECONDS", 0.0)
    shown: list[str] = []
    monkeypatch.setattr(Display, "display", lambda _self, text, *_more, **_options: shown.append(text))
    run_action("checksum_manifest", {"state": "created", "path": str(tree), "manifest": str(tmp_path / "m.json")})
    assert any(line.startswith(f"checksums of {tree}: ") and " of 5 files, " in line for line in shown)


def test_an_auditor_verifies_with_standard_tools(tree: Path, tmp_path: Path, keys: dict[str, str]) -> None:
    """The commands are those of docs/checksum-manifest.md, read from there."""
    documented = Path(__file__).resolve().parents[3] / "docs/checksum-manifest.md"
    blocks = documented.read_text(encoding="utf-8").split("```")[1::2]
    commands = [block.removeprefix("bash\n") for block in blocks if block.startswith("bash\n")]
    (signature,) = [one for one in commands if "-verify" in one]
    (files,) = [one for one in commands if "jq" in one]
    manifest = tree / "manifest.json"
    given = {"state": "created", "path": str(tree), "manifest": str(manifest), "signing_key": keys["key"]}
    run_action("checksum_manifest", given)
    shutil.copy(keys["ours"], tree / "signing.pub.pem")

    def said(command: str) -> str:
        return subprocess.run(["bash", "-c", command], cwd=tree, capture_output=True, text=True, check=False).stdout

    assert "Signature Verified Successfully" in said(signature)
    assert said(files) == ""
    (tree / "dir/\udcff\n").write_bytes(b"delua")
    (tree / "a").unlink()
    assert said(files) == "a\ndir/%FF%0A\n"
    manifest.write_bytes(manifest.read_bytes().replace(b'"count":5', b'"count":6'))
    assert "Signature Verified Successfully" not in said(signature)
