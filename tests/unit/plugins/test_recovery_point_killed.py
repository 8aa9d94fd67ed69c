"""Killed at seeded moments, the same call again: nothing half is listed as good, and it converges."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_model import FileSum
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_names import Place
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_progress import Log, Meter
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_store import (
    checksum,
    was_damaged_on_the_way,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_upload import (
    SourceChanged,
    Upload,
)

from tests.unit.plugins.both_ways import run_action
from tests.unit.plugins.recovery_points_support import Vault, make_tree, read_tree
from tests.unit.servers import S3Server

ROOT = Path(__file__).resolve().parents[3]
MODULES = "ansible_collections.terragon.disaster_recovery.plugins.modules"
DAY = 86400.0
#: requests after which a run is killed: seeded, and around the seal, which a whole run of 110 writes at the end
TAKING = sorted([*random.Random(11).sample(range(2, 97), 4), 98, 100, 103, 105, 108])
#: of 36, of which 16 look and the last two are about uploads
PRUNING = sorted(random.Random(12).sample(range(16, 34), 6))
#: of 47
FETCHING = sorted(random.Random(13).sample(range(1, 46), 4))


@pytest.fixture
def vault(s3_server: S3Server, tmp_path: Path) -> Vault:
    return Vault(s3_server, tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {f"file-{number:03d}".encode(): bytes([number]) * 2000 for number in range(40)}
    return make_tree(tmp_path / "tree", {**files, b"large": random.Random(3).randbytes(18 << 20)})


def kill_while(module: str, options: dict[str, Any], requests: int, directory: Path) -> None:
    """Run a module as a process that kills itself when it is about to make its nth request to a store."""
    program = (
        "import os, runpy, signal, sys\n"
        f"sys.path.insert(0, {str(ROOT / 'collections')!r})\n"
        "import ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store as store\n"
        "asked, left = store.ObjectStore._ask, iter(range(int(sys.argv.pop(1))))\n"
        "def ask(*given, **named):\n"
        "    if next(left, None) is None:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return asked(*given, **named)\n"
        "store.ObjectStore._ask = ask\n"
        f"runpy.run_module({f'{MODULES}.{module}'!r}, run_name='__main__')\n"
    )
    given = directory / "arguments.json"
    given.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**options, "_ansible_remote_tmp": str(directory)}}))
    done = subprocess.run([sys.executable, "-c", program, str(requests), str(given)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, (done.stdout + done.stderr).decode()[-2000:]


def look(vault: Vault) -> dict[str, Any]:
    found = run_action("recovery_point_info", vault.looking())
    assert not found.get("failed"), found
    assert "incomplete_copy" not in {one["kind"] for one in found["findings"]}  # the seal is last to come, first to go
    return found


def restores(vault: Vault, point: dict[str, Any], tree: Path, dest: Path) -> bool:
    """Whether every copy that is listed as complete comes back as it was."""
    for copy in point["copies"]:
        if copy["state"] == "complete":
            target = dest / f"{point['id']}-{copy['store']}"
            fetching = vault.fetching(target, id=point["id"], store=copy["store"], fall_back=False)
            found = run_action("recovery_point", fetching)
            assert not found.get("failed"), found
            if read_tree(target) != read_tree(tree):
                return False
    return True


@pytest.mark.parametrize("requests", TAKING)
def test_taken_again_after_a_kill(vault: Vault, tree: Path, tmp_path: Path, requests: int) -> None:
    kill_while("recovery_point", vault.taking(tree), requests, tmp_path)
    for point in look(vault)["points"]:
        assert restores(vault, point, tree, tmp_path / "half")
    done = run_action("recovery_point", vault.taking(tree))
    assert (done.get("failed"), done["outcome"]) == (None, "passed"), done
    after = look(vault)
    (newest,) = [one for one in after["points"] if one["id"] == done["id"]]
    assert newest["usable"] and {copy["state"] for copy in newest["copies"]} == {"complete"}
    assert restores(vault, newest, tree, tmp_path / "whole")
    assert run_action("recovery_point_prune", vault.pruning(leftover_hours=0))["outcome"] == "passed"
    ids = {point["id"] for point in after["points"]}
    assert all(any(one in key for one in ids) for key in vault.keys(0) + vault.keys(1))


@pytest.mark.parametrize("requests", PRUNING)
def test_pruned_again_after_a_kill(vault: Vault, tree: Path, tmp_path: Path, requests: int) -> None:
    expired = [vault.seal((40 + number) * DAY) for number in range(3)]
    young = [vault.seal(60 + number * 900) for number in range(3)]
    kill_while("recovery_point_prune", vault.pruning(), requests, tmp_path)
    listed = look(vault)
    for point in listed["points"]:
        for copy in point["copies"]:
            keys = set(vault.keys(0 if copy["store"] == "east" else 1))
            whole = {f"shop/configuration/{point['id']}/{name}" for name in ("manifest.json", "files/file")} <= keys
            assert whole == (copy["state"] == "complete")
    assert set(young) <= {point["id"] for point in listed["points"] if point["usable"]}
    again = run_action("recovery_point_prune", vault.pruning(leftover_hours=0))
    assert again["outcome"] == "passed", again
    left = {key.split("/")[2] for key in vault.keys(0) + vault.keys(1)}
    assert left == set(young) and not left & set(expired)


@pytest.mark.parametrize("requests", FETCHING)
def test_fetched_again_after_a_kill(vault: Vault, tree: Path, tmp_path: Path, requests: int) -> None:
    taken = run_action("recovery_point", vault.taking(tree))
    dest = tmp_path / "back"
    kill_while("recovery_point", vault.fetching(dest), requests, tmp_path)
    half = read_tree(dest) if dest.exists() else {}
    whole = read_tree(tree)
    finished = {name: body for name, body in half.items() if b".recovery-point-" not in name}
    assert all(whole[name] == body for name, body in finished.items())  # a name means that it is whole
    found = run_action("recovery_point", vault.fetching(dest))
    assert not found.get("failed"), found
    assert (found["kept_files"], found["kept_files"] + found["fetched_files"]) == (len(finished), taken["count"])
    assert read_tree(dest) == whole


def test_two_fetches_into_one_directory_do_not_meet(vault: Vault, tree: Path, tmp_path: Path) -> None:
    import fcntl
    import os

    run_action("recovery_point", vault.taking(tree))
    (tmp_path / "back").mkdir()
    descriptor = os.open(tmp_path / "back", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    found = run_action("recovery_point", vault.fetching(tmp_path / "back"))
    assert found["failed"] and "another run fetches into it" in found["msg"]
    os.close(descriptor)
    assert not run_action("recovery_point", vault.fetching(tmp_path / "back")).get("failed")


def test_a_full_disk_keeps_what_was_fetched(vault: Vault, tree: Path, tmp_path: Path) -> None:
    """RLIMIT_FSIZE: no file of the process may grow beyond 4 KiB, as a disk that is full says."""
    run_action("recovery_point", vault.taking(tree))
    dest = tmp_path / "back"
    given = tmp_path / "arguments.json"
    options = {**vault.fetching(dest), "_ansible_remote_tmp": str(tmp_path)}
    given.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": options}))
    program = (
        "import resource, runpy, signal, sys\n"
        f"sys.path.insert(0, {str(ROOT / 'collections')!r})\n"
        f"import {MODULES}.recovery_point\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"runpy.run_module({f'{MODULES}.recovery_point'!r}, run_name='__main__')\n"
    )
    environment = {"PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(given)], capture_output=True, check=False, env=environment
    )
    said = json.loads(done.stdout)
    assert said["failed"] and "Make room" in said["msg"] and str(dest) in said["msg"]
    half = read_tree(dest)
    assert b"large" not in half and not any(b".recovery-point-" in name for name in half)
    found = run_action("recovery_point", vault.fetching(dest))
    assert not found.get("failed") and found["kept_files"] == len(half)
    assert read_tree(dest) == read_tree(tree)


class _Writer:
    """Writes into a tree as soon as a store is asked for the first time: after the tree was hashed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
        from ansible_collections.terragon.disaster_recovery.plugins.module_utils import recovery_points_store

        asked = recovery_points_store.PointStore._ask
        pending = [change]

        def ask(store: Any, *given: Any, **named: Any) -> Any:
            if pending:
                pending.pop()()
            return asked(store, *given, **named)

        monkeypatch.setattr(recovery_points_store.PointStore, "_ask", ask)


@pytest.mark.parametrize("what", ["small", "large", "grown", "vanished", "added", "link"])
def test_a_source_that_changes_is_named_and_nothing_sealed(
    vault: Vault, tree: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def change() -> None:
        if what == "added":
            (tree / "added").write_bytes(b"1")
        elif what == "vanished":
            (tree / "file-007").unlink()
        elif what == "link":
            (tree / "file-007").unlink()
            (tree / "file-007").symlink_to("/etc/hostname")
        else:
            path = tree / ("large" if what == "large" else "file-007")
            body = bytearray(path.read_bytes())
            body[-1] ^= 1
            path.write_bytes(bytes(body) + (b"1" if what == "grown" else b""))

    _Writer(monkeypatch, change)
    found = run_action("recovery_point", vault.taking(tree))
    name = {"large": "large", "added": "added"}.get(what, "file-007")
    assert found["failed"] and name in found["msg"], found
    assert not any(key.endswith("manifest.json") for key in vault.keys(0) + vault.keys(1))


@pytest.mark.parametrize("name", ["file-007", "large"])
def test_what_is_read_is_hashed_again_before_it_counts(vault: Vault, tree: Path, name: str) -> None:
    size = (tree / name).stat().st_size
    point = Place.of("shop", "configuration").point("20260101T000000Z-0123abcd")
    upload = Upload(vault.store(), point, tree, "sha256", Meter("test", 1, size, Log(None)))
    with pytest.raises(SourceChanged, match=name):
        upload.run([FileSum(name, size, "0" * 64)])
    assert vault.keys() == [] and vault.store().uploads("") == []


def test_a_store_refuses_what_was_damaged_on_the_way(vault: Vault) -> None:
    with pytest.raises(RecoveryError) as raised:
        vault.store().call("write", "x", "put_object", Body=b"damaged", ChecksumSHA256=checksum(b"sent"))
    assert was_damaged_on_the_way(raised.value)
    assert vault.keys() == []


def test_progress_is_told(vault: Vault, tree: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ansible_collections.terragon.disaster_recovery.plugins.module_utils import recovery_points_progress

    monkeypatch.setattr(recovery_points_progress, "TELL_SECONDS", 0.0)
    began = time.time()
    run_action("recovery_point", vault.taking(tree, log=str(tmp_path / "log")))
    lines = (tmp_path / "log").read_text().splitlines()
    assert began and any("41 of 41 files" in line and "to west" in line for line in lines)
