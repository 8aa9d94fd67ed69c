"""An interrupted run goes on where it was, and believes nothing that may have changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import checksums_journal
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums import examine_tree, hash_tree
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_journal import Journal, about
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_service import run
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError, Refused

ROOT = Path(__file__).resolve().parents[3]
ABOUT = about("verify", "tree", "sha256")
COUNT = 8


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' files are seconds old at most."""
    monkeypatch.setattr(checksums_journal, "RACY_SECONDS", 0.0)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(COUNT):
        (tree / f"{number}").write_bytes(bytes([number]) * 1000)
    return tree


@pytest.fixture
def path(tmp_path: Path, tree: Path) -> Path:
    """A journal that holds the whole tree, as a run leaves it that was killed at its end."""
    path = tmp_path / "journal"
    with Journal(path, ABOUT) as journal:
        examine_tree(tree, known=journal)
    return path


def kept(path: Path, tree: Path, what: dict[str, str] = ABOUT) -> int:
    """How many files the journal spares; the sums are right in any case."""
    with Journal(path, what) as journal:
        examined = examine_tree(tree, known=journal)
    assert examined.files == hash_tree(tree)
    return examined.kept_files


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(bytes(1000))
    about = path.stat()
    os.utime(other, ns=(about.st_atime_ns, about.st_mtime_ns))
    other.replace(path)


def rewrite_and_set_back(path: Path) -> None:
    about = path.stat()
    path.write_bytes(bytes([99]) * 1000)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.write_bytes(b"x" * 1000),
        lambda file: file.write_bytes(b"x" * 999),
        lambda file: os.utime(file, (1, 1)),
        replace,
        rewrite_and_set_back,
    ],
    ids=["same size", "other size", "touched", "replaced", "time set back"],
)
def test_a_file_that_changed_is_hashed_again(change: Callable[[Path], None], path: Path, tree: Path) -> None:
    assert kept(path, tree) == COUNT
    time.sleep(0.02)  # a tick of the file system's clock
    change(tree / "3")
    assert kept(path, tree) == COUNT - 1


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def flipped(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[-100] ^= 1
    path.write_bytes(bytes(body))


def zeros(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(100))


@pytest.mark.parametrize(("damage", "spared"), [(torn, COUNT - 1), (flipped, COUNT - 1), (zeros, COUNT)])
def test_a_damaged_line_is_left_out(damage: Callable[[Path], None], spared: int, path: Path, tree: Path) -> None:
    damage(path)
    assert kept(path, tree) == spared
    assert kept(path, tree) == COUNT, "what was hashed again was kept"


@pytest.mark.parametrize(
    "other", [about("create", "tree", "sha256"), about("verify", "tree2", "sha256"), about("verify", "tree", "blake3")]
)
def test_a_journal_of_another_run_is_begun_anew(other: dict[str, str], path: Path, tree: Path) -> None:
    assert kept(path, tree, other) == 0
    assert kept(path, tree) == 0


def test_an_old_journal_is_begun_anew(path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums_journal, "MAX_AGE", -1.0)
    assert kept(path, tree) == 0


def test_a_file_that_was_written_to_just_now_is_not_kept(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksums_journal, "RACY_SECONDS", 3600.0)
    assert kept(tmp_path / "journal", tree) == 0
    assert kept(tmp_path / "journal", tree) == 0


def test_a_journal_that_others_may_write_to_is_refused(path: Path, tree: Path) -> None:
    path.chmod(0o620)
    with pytest.raises(Refused, match=r"Failed to trust journal .*others than this user"), Journal(path, ABOUT):
        pass
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
        with pytest.raises(Refused, match="others than this user"), Journal(path, ABOUT):
            pass


def test_a_journal_that_is_a_link_or_nowhere_is_refused(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    for name in (link, tmp_path / "none" / "journal", tmp_path):
        with pytest.raises(RecoveryError, match="journal"), Journal(name, ABOUT):
            pass


def test_two_runs_at_once_do_not_share_a_journal(path: Path) -> None:
    with (
        Journal(path, ABOUT) as first,
        pytest.raises(Refused, match="another run is hashing the same tree"),
        Journal(path, ABOUT),
    ):
        pass
    with Journal(path, ABOUT):
        first.finish()
    assert not path.exists()


def test_a_full_disk_costs_the_resumption_and_not_the_run(tree: Path, tmp_path: Path) -> None:
    with Journal(tmp_path / "journal", ABOUT) as journal:
        full = os.open("/dev/full", os.O_WRONLY)
        mine = os.dup(journal._file)
        os.dup2(full, journal._file)
        examined = examine_tree(tree, known=journal)
        os.dup2(mine, journal._file)
        os.close(full)
        os.close(mine)
    assert examined.files == hash_tree(tree)
    assert "cannot be written (No space left on device)" in journal.trouble


PROGRAM = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import checksums_journal, checksums_progress
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_service import run
checksums_journal.RACY_SECONDS = checksums_progress.TELL_SECONDS = 0.0
def tell(line):
    if "4 of 8 files" in line:
        print("half", flush=True)
        time.sleep(600)
run(json.loads(sys.argv[2]), False, tell)
"""


@pytest.mark.parametrize("state", ["created", "verified"])
def test_a_killed_run_goes_on_where_it_was(state: str, tree: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    params = {"state": state, "path": str(tree), "manifest": str(manifest), "subject": {}, "facts": {}}
    params |= {"algorithm": "sha256", "replace": False, "public_keys": [], "required": True, "versions": "current"}
    params |= {"prefix": "", "workers": 1}
    if state == "verified":
        run({**params, "state": "created"}, False)
    before = sorted(tmp_path.iterdir())
    argv = [sys.executable, "-c", PROGRAM, str(ROOT / "collections"), json.dumps(params)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "manifest.json.journal"])
    result = run(params, False)
    assert result["kept_files"] == 4
    assert result["hashed_bytes"] == 4 * 1000
    assert (result["count"], result["outcome"]) == (COUNT, None if state == "created" else "passed")
    assert not (tmp_path / "manifest.json.journal").exists()
    assert run({**params, "state": "verified"}, False)["kept_files"] == 0
