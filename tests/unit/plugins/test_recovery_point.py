"""recovery_point against real stores: taken, fetched, recorded."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.recovery_points_support import ODD_NAMES, Vault, make_tree, read_tree
from tests.unit.servers import S3Server


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def vault(s3_server: S3Server, tmp_path: Path) -> Vault:
    return Vault(s3_server, tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {name: name * 3 for name in ODD_NAMES}
    large = random.Random(7).randbytes((20 << 20) + 17)
    return make_tree(tmp_path / "tree", {**files, b"deep/er/large": large, b"empty": b""})


def test_a_point_is_taken_in_both_stores_and_comes_back_as_it_was(both: BothWays, vault: Vault, tree: Path) -> None:
    planned = both("recovery_point", vault.taking(tree), check=True)
    assert (planned["changed"], [copy["state"] for copy in planned["copies"]]) == (True, ["planned", "planned"])
    assert vault.keys(0) == []

    taken = both("recovery_point", vault.taking(tree, facts={"tool": "x"}))
    assert not taken.get("failed"), taken
    assert set(planned) == set(taken)
    assert (taken["outcome"], taken["problems"], taken["changed"]) == ("passed", [], True)
    assert [copy["state"] for copy in taken["copies"]] == ["sealed", "sealed"]
    for number in (0, 1):
        assert f"{taken['key_prefix']}manifest.json" in vault.keys(number)
    manifest = json.loads(vault.store().get(f"{taken['key_prefix']}manifest.json").body)
    assert manifest["subject"] == {"service": "shop", "component": "configuration", "id": taken["id"]}
    assert manifest["facts"] == {"tool": "x"}

    dest = tree.parent / "back"
    foreseen = both("recovery_point", vault.fetching(dest), check=True)
    assert (foreseen["changed"], foreseen["outcome"], dest.exists()) == (True, "unverified", False)
    fetched = both("recovery_point", vault.fetching(dest))
    assert set(foreseen) == set(fetched)
    assert not fetched.get("failed"), fetched
    assert (fetched["outcome"], fetched["store"], fetched["facts"]) == ("passed", "east", {"tool": "x"})
    assert read_tree(dest) == read_tree(tree)
    assert {path.stat().st_mode & 0o777 for path in dest.rglob("*") if path.is_file()} == {0o600}

    again = both("recovery_point", vault.fetching(dest, id=taken["id"], store="west"))
    assert (again["changed"], again["store"], again["kept_files"]) == (False, "west", taken["count"])


def test_the_seal_is_verified_with_plain_openssl(vault: Vault, tree: Path, tmp_path: Path) -> None:
    prefix = run_action("recovery_point", vault.taking(tree))["key_prefix"]
    for name in ("manifest.json", "manifest.json.sig"):
        (tmp_path / name).write_bytes(vault.store(1).get(prefix + name).body)
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", vault.public_key]
    command += ["-in", str(tmp_path / "manifest.json"), "-sigfile", str(tmp_path / "manifest.json.sig")]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_a_copy_that_failed_is_named_and_completed_by_the_same_id(both: BothWays, vault: Vault, tree: Path) -> None:
    broken = {**vault.stores[1], "endpoint_url": "http://127.0.0.1:9"}
    first = both("recovery_point", {**vault.taking(tree), "stores": [vault.stores[0], broken]})
    assert first["failed"] and first["changed"]
    assert [copy["state"] for copy in first["copies"]] == ["sealed", "failed"]
    assert "The copy in west is missing" in first["msg"] and f"id={first['id']}" in first["msg"]

    enough = both("recovery_point", {**vault.taking(tree, copies=1), "stores": [vault.stores[0], broken]})
    assert (enough.get("failed"), enough["outcome"]) == (None, "failed")

    second = both("recovery_point", vault.taking(tree, id=first["id"]))
    assert not second.get("failed"), second
    assert [copy["state"] for copy in second["copies"]] == ["kept", "sealed"]
    assert second["manifest_sha256"] == first["manifest_sha256"]
    third = both("recovery_point", vault.taking(tree, id=first["id"]))
    assert (third["changed"], third["copies"][0]["sent_files"]) == (False, 0)


def test_leftovers_of_the_same_content_are_continued_and_of_another_not(vault: Vault, tree: Path) -> None:
    first = run_action("recovery_point", vault.taking(tree))
    for number in (0, 1):
        for name in ("manifest.json", "manifest.json.sig"):
            vault.remove(number, first["key_prefix"] + name)
    (gone,) = [key for key in vault.keys(1) if key.endswith("large")]
    vault.remove(1, gone)
    second = run_action("recovery_point", vault.taking(tree))
    assert second["id"] == first["id"]
    assert [copy["sent_files"] for copy in second["copies"]] == [0, 1]
    (tree / "plain").write_bytes(b"other")
    assert run_action("recovery_point", vault.taking(tree))["id"] != first["id"]


def test_an_id_with_other_content_is_refused(both: BothWays, vault: Vault, tree: Path) -> None:
    first = run_action("recovery_point", vault.taking(tree))
    (tree / "plain").write_bytes(b"other")
    before = [vault.keys(0), vault.keys(1)]
    found = both("recovery_point", vault.taking(tree, id=first["id"]))
    assert found["failed"] and "other content" in found["msg"]
    for number in (0, 1):
        vault.remove(number, first["key_prefix"] + "manifest.json")
    found = both("recovery_point", vault.taking(tree, id=first["id"]))
    assert found["failed"] and "other content" in found["msg"]
    assert [[*vault.keys(n)] for n in (0, 1)] == [[k for k in b if not k.endswith("manifest.json")] for b in before]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"src": "/nonexistent"}, "no such directory"),
        ({"service": ""}, "Refused service"),
        ({"component": "../x"}, "Refused component"),
        ({"id": "latest"}, "no identifier"),
        ({"signing_key": "/nonexistent.pem"}, "signing key /nonexistent.pem"),
        ({"copies": 3}, "Refused copies"),
        ({"stores": []}, "Refused stores"),
    ],
)
def test_bad_options_change_nothing(
    both: BothWays, vault: Vault, tree: Path, change: dict[str, Any], says: str
) -> None:
    found = both("recovery_point", {**vault.taking(tree), **change})
    assert found["failed"] and says in found["msg"]
    assert found["changed"] is False
    assert vault.keys(0) == []


def test_an_empty_source_and_links_are_refused(both: BothWays, vault: Vault, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    assert "no files" in both("recovery_point", vault.taking(tmp_path / "nothing"))["msg"]
    (tree / "out").symlink_to("/etc/hostname")
    found = both("recovery_point", vault.taking(tree))
    assert found["failed"] and "out: it is a symbolic link" in found["msg"]
    assert vault.keys(0) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"endpoint_url": "http://127.0.0.1:9"}, "Check the store's endpoint"),
        ({"bucket": "no-such-bucket"}, "bucket does not exist"),
        ({"credentials_file": "wrong"}, "credentials and permissions"),
    ],
)
def test_a_store_that_cannot_be_used_says_why(
    both: BothWays, vault: Vault, tree: Path, tmp_path: Path, change: dict[str, str], says: str
) -> None:
    (tmp_path / "wrong").write_text(
        "[default]\naws_access_key_id = AKIATESTTESTTEST0001\naws_secret_access_key = wrong\n"
    )
    if "credentials_file" in change:
        change = {"credentials_file": str(tmp_path / "wrong")}
    stores = [{**vault.stores[0], **change}, vault.stores[1]]
    found = both("recovery_point", {**vault.taking(tree), "stores": stores})
    assert found["failed"] and says in found["msg"] and "The copy in east is missing" in found["msg"]
    assert [copy["state"] for copy in found["copies"]] == ["failed", "sealed"]
    everywhere = both("recovery_point", {**vault.taking(tree), "stores": [{**one, **change} for one in vault.stores]})
    assert everywhere["failed"] and says in everywhere["msg"]


def _flip(vault: Vault, number: int, key: str) -> None:
    body = bytearray(vault.store(number).get(key).body)
    body[len(body) // 2] ^= 1
    vault.put(number, key, bytes(body))


@pytest.mark.parametrize("name", ["plain", "large"])
def test_a_wrong_byte_is_named_and_the_other_copy_used(both: BothWays, vault: Vault, tree: Path, name: str) -> None:
    taken = run_action("recovery_point", vault.taking(tree))
    (key,) = [one for one in vault.keys(0) if one.endswith(name)]
    _flip(vault, 0, key)
    dest = tree.parent / "back"
    alone = both("recovery_point", vault.fetching(dest, fall_back=False))
    assert alone["failed"] and "not as it was sealed" in alone["msg"] and name in alone["msg"]
    assert not any(name in str(path) for path in dest.rglob("*") if path.is_file() and path.name == name)
    found = both("recovery_point", vault.fetching(dest))
    assert not found.get("failed"), found
    assert [(one["store"], Path(one["path"]).name) for one in found["damaged"]] == [("east", name)]
    assert found["problems"] and read_tree(dest) == read_tree(tree)
    assert found["kept_files"] + found["fetched_files"] == taken["count"]
    (key,) = [one for one in vault.keys(1) if one.endswith(name)]
    _flip(vault, 1, key)
    (dest / Path(os.path.relpath(next(tree.rglob(name)), tree))).unlink()
    both_wrong = both("recovery_point", vault.fetching(dest))
    assert both_wrong["failed"] and {one["store"] for one in both_wrong["damaged"]} == {"east", "west"}


@pytest.mark.parametrize("what", ["signature", "manifest", "foreign", "key", "unsigned"])
def test_a_seal_that_cannot_be_believed_is_not_used(
    both: BothWays, vault: Vault, tree: Path, tmp_path: Path, what: str
) -> None:
    prefix = run_action("recovery_point", vault.taking(tree))["key_prefix"]
    says = {"foreign": "of another point", "unsigned": "no signature"}.get(what, "none of the public keys")
    change: dict[str, Any] = {}
    if what in ("signature", "manifest"):
        _flip(vault, 0, prefix + ("manifest.json.sig" if what == "signature" else "manifest.json"))
    elif what == "unsigned":
        vault.remove(0, prefix + "manifest.json.sig")
    elif what == "key":
        change = {"public_keys": [Vault(vault.server, _made(tmp_path / "other")).public_key]}
    else:
        other = prefix.replace("shop/", "mall/")
        for key in vault.keys(0):
            vault.put(0, key.replace(prefix, other), vault.store(0).get(key).body)
        change = {"service": "mall"}
    dest = tmp_path / "back"
    found = both("recovery_point", vault.fetching(dest, fall_back=False, **change))
    assert found["failed"] and says in found["msg"]
    assert not dest.exists()
    if not change:
        assert both("recovery_point", vault.fetching(dest))["store"] == "west"


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def test_a_directory_with_something_else_in_it_is_left_alone(both: BothWays, vault: Vault, tree: Path) -> None:
    run_action("recovery_point", vault.taking(tree))
    dest = make_tree(tree.parent / "back", {b"mine": b"1"})
    found = both("recovery_point", vault.fetching(dest))
    assert found["failed"] and "not of this point: mine" in found["msg"]
    assert read_tree(dest) == {b"mine": b"1"}
    (dest / "mine").unlink()
    (dest / "deep").symlink_to("/tmp")
    found = both("recovery_point", vault.fetching(dest))
    assert found["failed"] and "symbolic link" in found["msg"]


def test_what_a_killed_fetch_left_is_continued(both: BothWays, vault: Vault, tree: Path) -> None:
    taken = run_action("recovery_point", vault.taking(tree))
    dest = make_tree(
        tree.parent / "back", {b"plain": b"plain" * 3, b"sp ace": b"wrong", b"deep/.recovery-point-" + b"0" * 32: b"x"}
    )
    found = both("recovery_point", vault.fetching(dest))
    assert not found.get("failed"), found
    assert (found["kept_files"], found["replaced"]) == (1, ["sp ace"])
    assert found["fetched_files"] == taken["count"] - 1
    assert read_tree(dest) == read_tree(tree)


def test_a_proof_is_added_once_and_completed_where_it_is_missing(both: BothWays, vault: Vault, tree: Path) -> None:
    identifier = run_action("recovery_point", vault.taking(tree))["id"]
    assert both("recovery_point", vault.recording(identifier), check=True)["changed"]
    broken = {**vault.stores[1], "endpoint_url": "http://127.0.0.1:9"}
    first = both("recovery_point", {**vault.recording(identifier), "stores": [vault.stores[0], broken]})
    assert (first.get("failed"), first["outcome"], first["stores"]) == (None, "unverified", ["east"])
    second = both("recovery_point", vault.recording(identifier))
    assert (second["changed"], second["proof"], second["stores"]) == (True, first["proof"], ["east", "west"])
    assert both("recovery_point", vault.recording(identifier))["changed"] is False
    other = both("recovery_point", vault.recording(identifier, proof={"outcome": "failed"}))
    assert other["failed"] and "another proof by run run-1" in other["msg"]
    key = f"shop/configuration/{identifier}/proofs/{first['proof']}"
    document = json.loads(vault.store(1).get(key).body)
    assert document["manifest_sha256"] == first["manifest_sha256"] and document["outcome"] == "passed"
    assert vault.store(0).get(key).body == vault.store(1).get(key).body


def test_a_proof_of_what_is_not_there_is_an_error(both: BothWays, vault: Vault) -> None:
    found = both("recovery_point", vault.recording("20260101T000000Z-0123abcd"))
    assert found["failed"] and "no sealed copy" in found["msg"]
    labelled = both("recovery_point", vault.recording("20260101-000000F_20260102-000000D"))
    assert (labelled.get("failed"), labelled["manifest_sha256"]) == (None, None)
    bad = both("recovery_point", vault.recording("20260101T000000Z-0123abcd", proof={"outcome": "fine"}))
    assert bad["failed"] and "proof.outcome" in bad["msg"]
