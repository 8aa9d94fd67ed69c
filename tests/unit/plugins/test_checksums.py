"""Hashing files and trees: right sums, constant memory, each kind of bad file by its name."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import checksums_paths as paths
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums import (
    BadFile,
    FileSum,
    examine_tree,
    hash_file,
    hash_tree,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_compare import compare_sums
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_pool import Pool, Stopped
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_progress import Meter
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError, Refused

ROOT = Path(__file__).resolve().parents[3]
MIB = 1 << 20
NAMES = [
    b"plain",
    b"with space",
    b"line\nfeed",
    b"\xff\xfe",
    b"per%41cent",
    b"back\\slash",
    "ümläut".encode(),
    b"tab\t",
]


def tool(name: str, path: Path) -> str:
    with path.open("rb") as file:
        return subprocess.run([name], stdin=file, capture_output=True, check=True).stdout.split()[0].decode()


@pytest.mark.parametrize(("algorithm", "program"), [("sha256", "sha256sum"), ("blake3", "b3sum")])
@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 7])
def test_a_sum_is_the_one_that_the_standard_tool_prints(
    algorithm: str, program: str, size: int, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(random.Random(size).randbytes(size))
    found = hash_file(path, algorithm)
    assert (found.size, found.digest) == (size, tool(program, path))
    assert hash_file(path, algorithm, threads=2).digest == found.digest


def test_an_unknown_algorithm_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecoveryError, match=r"md5.*Use one of sha256, blake3"):
        hash_tree(tmp_path, "md5")


def test_a_tree_is_hashed_whole_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "empty").mkdir()
    for name in NAMES:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
        (tmp_path / "a" / os.fsdecode(name)).write_bytes(name * 3)
    found = hash_tree(tmp_path, workers=3)
    wanted = {name: name for name in NAMES} | {b"a/" + name: name * 3 for name in NAMES}
    assert [paths.to_bytes(one.path) for one in found] == sorted(wanted)
    for one in found:
        content = wanted[paths.to_bytes(one.path)]
        assert (one.size, one.digest) == (len(content), hashlib.sha256(content).hexdigest())
        assert paths.read(paths.written(one.path)) == one.path
        assert paths.written(one.path).isprintable()


def test_a_tree_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert hash_tree(tmp_path) == [FileSum("file", 0, hashlib.sha256().hexdigest())]
    for name, says in (("file", "it is no directory"), ("none", "there is no such directory")):
        with pytest.raises(Refused, match=says):
            hash_tree(tmp_path / name)


@pytest.fixture
def special(tmp_path: Path) -> Iterator[Path]:
    """A tree with one of each that cannot be hashed."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "good").write_bytes(b"good")
    (tmp_path / "outside").write_bytes(b"outside")
    (tree / "out").symlink_to(tmp_path / "outside")
    (tree / "up").symlink_to("..")
    (tree / "inside").symlink_to("good")
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "pipe\n")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(tree):
        listening.bind("socket")
        yield tree


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("out", "link", "a symbolic link to .*/outside \\(out of the tree\\)"),
        ("up", "link", "a symbolic link to \\.\\. \\(out of the tree\\)"),
        ("inside", "link", "a symbolic link to good \\(inside the tree\\)"),
        ("dangling", "link", "a symbolic link to nowhere \\(inside the tree\\)"),
        ("pipe\n", "special", "pipe%0A: it is a named pipe"),
        ("socket", "special", "it is a socket"),
    ],
)
def test_what_is_no_file_is_refused_by_name_and_not_opened(name: str, kind: str, says: str, special: Path) -> None:
    examined = examine_tree(special)
    assert [one.path for one in examined.files] == ["good"]
    (problem,) = [one for one in examined.problems if one.path == name]
    assert problem.kind == kind
    with pytest.raises(BadFile, match=says):
        raise problem
    with pytest.raises(BadFile, match="symbolic link" if kind == "link" else says):
        hash_file(special / name)
    with pytest.raises(RecoveryError, match=r"Failed to hash tree .*; and 1 more\.") as raised:
        hash_tree(special)
    assert len(raised.value.facts["problems"]) == 6


def test_a_device_is_refused() -> None:
    with pytest.raises(BadFile, match="/dev/zero: it is a character device"):
        hash_file("/dev/zero")


@contextlib.contextmanager
def unprivileged() -> Iterator[Path]:
    """A directory that an ordinary user can enter, and the rights of that user."""
    with tempfile.TemporaryDirectory(prefix="dr-checksums-", dir="/tmp") as name:
        os.chmod(name, 0o755)
        before = os.geteuid()
        try:
            yield Path(name)
        finally:
            os.seteuid(before)


def test_what_may_not_be_read_is_named_and_the_rest_is_hashed() -> None:
    with unprivileged() as tree:
        for name in ("good", "bad", "closed/hidden"):
            (tree / name).parent.mkdir(exist_ok=True)
            (tree / name).write_bytes(b"x")
        (tree / "bad").chmod(0)
        (tree / "closed").chmod(0)
        if os.geteuid() == 0:
            os.seteuid(65534)
        examined = examine_tree(tree)
    assert [one.path for one in examined.files] == ["good"]
    problems = {one.path: one for one in examined.problems}
    assert sorted(problems) == ["bad", "closed"]
    assert {one.kind for one in problems.values()} == {"unreadable"}
    assert problems["closed"].covers("closed/hidden")
    assert not problems["bad"].covers("bad/hidden")


def test_a_file_that_changes_while_it_is_hashed_is_hashed_once_more(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * (3 * MIB))
    counted: list[int] = []

    def write_once(count: int) -> None:
        counted.append(count)
        if len(counted) == 1:
            with path.open("ab") as file:
                file.write(b"more")

    found = hash_file(path, counted=write_once)
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sum(counted) == found.size, "what is hashed again is not counted twice"


@pytest.mark.parametrize("how", ["grows", "is written in place", "shrinks"])
def test_a_file_that_keeps_changing_is_named(how: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * (3 * MIB))

    def write(count: int) -> None:
        if count < 0:
            return
        with path.open("r+b") as file:
            file.seek(0, os.SEEK_END if how == "grows" else os.SEEK_SET)
            file.write(b"more")
            if how == "shrinks":
                file.truncate(path.stat().st_size - 10)

    with pytest.raises(BadFile, match=r"file: it changed twice while it was read\. Stop what writes to it") as raised:
        hash_file(path, counted=write)
    assert raised.value.kind == "changing"


def test_memory_does_not_grow_with_the_size_of_a_file(tmp_path: Path) -> None:
    """The address space is limited to less than the file, so reading or mapping it whole fails."""
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, size in (("small", 1 * MIB), ("big", 1 << 30)):
        with (tree / name).open("wb") as file:
            file.truncate(size)
    program = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums import hash_file, hash_tree
tree = Path(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (768 << 20, 768 << 20))
hash_file(tree / "small", sys.argv[3])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(big, small) = hash_tree(tree, sys.argv[3], workers=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, big.size)
"""
    for algorithm in ("sha256", "blake3"):
        argv = [sys.executable, "-c", program, str(ROOT / "collections"), str(tree), algorithm]
        grown, size = map(int, subprocess.run(argv, capture_output=True, check=True, text=True).stdout.split())
        assert size == 1 << 30
        assert grown < 16 * 1024, f"{algorithm}: {grown} KiB more"


def test_work_stops_when_its_results_are_not_wanted() -> None:
    begun, release = threading.Event(), threading.Event()

    def work(job: int) -> int:
        begun.set()
        release.wait(10)
        if pool.stopping.is_set():
            raise Stopped
        return job

    pool: Pool[int, int] = Pool(work, 2)
    results = pool.results(range(100), lambda: release.set() if begun.is_set() else None, 0.01)
    next(results)
    results.close()
    assert pool.stopping.is_set()
    assert not [one for one in threading.enumerate() if one.name.endswith("(_run)")]


def test_an_unexpected_error_of_a_worker_is_not_lost() -> None:
    def work(job: int) -> int:
        return 1 // job

    pool: Pool[int, int] = Pool(work, 2)
    with pytest.raises(ZeroDivisionError):
        list(pool.results([1, 0, 1], lambda: None, 1.0))


def test_progress_is_told_in_lines_that_say_what_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = "ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_progress.TELL_SECONDS"
    monkeypatch.setattr(module, 0.0)
    (tmp_path / "file").write_bytes(b"x" * MIB)
    told: list[str] = []
    hash_tree(tmp_path, progress=told.append)
    assert told[0].startswith(f"checksums of {tmp_path}: 0.0 of 0.0 GiB (")
    meter = Meter("models", 4 << 30, 10, told.append)
    meter.add(1 << 30)
    meter.keep(1 << 30)
    assert meter.line(2.0) == ("checksums of models: 2.0 of 4.0 GiB (50 %), 1 of 10 files, 512 MiB/s, 4 s left")
    monkeypatch.setattr(module, 3600.0)
    del told[:]
    meter.tell()
    assert told == [], "not before its time"


def sums(**contents: str) -> list[FileSum]:
    return [FileSum(path, len(text), hashlib.sha256(text.encode()).hexdigest()) for path, text in contents.items()]


LISTED = {"a": "one", "b": "two", "c": "six", "d": "three", "e": ""}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({}, []),
        ({"a": None}, [("missing", "a", None)]),
        ({"f": "new"}, [("extra", "f", None)]),
        ({"a": "ONE"}, [("changed", "a", None)]),
        ({"a": "on"}, [("truncated", "a", None)]),
        ({"d": ""}, [("truncated", "d", "e")]),
        ({"a": "one more"}, [("grown", "a", None)]),
        ({"a": "two"}, [("changed", "a", "b")]),
        ({"a": "two", "b": "one"}, [("swapped", "a", "b"), ("swapped", "b", "a")]),
        ({"a": "three", "d": "one"}, [("swapped", "a", "d"), ("swapped", "d", "a")]),
        ({"a": "two", "b": "six", "c": "one"}, [("swapped", "a", "b"), ("swapped", "b", "c"), ("swapped", "c", "a")]),
        ({"a": "two", "b": "six"}, [("changed", "a", "b"), ("changed", "b", "c")]),
        ({"a": "two", "b": "one", "c": "one"}, [("swapped", "a", "b"), ("swapped", "b", "a"), ("changed", "c", "a")]),
        ({"a": None, "f": "one"}, [("missing", "a", "f"), ("extra", "f", None)]),
        ({"a": None, "b": None, "c": None, "d": None, "e": None}, [("missing", name, None) for name in "abcde"]),
    ],
    ids=lambda value: "-".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else "",
)
def test_each_difference_has_its_name(now: dict[str, str | None], expected: list[tuple[str, str, str | None]]) -> None:
    there = {path: text for path, text in {**LISTED, **now}.items() if text is not None}
    found = compare_sums(sums(**LISTED), sums(**there))
    assert [(one.kind, one.path, one.other) for one in found] == expected
    for one in found:
        assert str(one).startswith(f"{one.path} is {one.kind}")
        assert (one.expected is None, one.found is None) == (one.kind == "extra", one.kind == "missing")


def test_equal_contents_in_several_files_are_no_swap() -> None:
    twins = {"a": "same", "b": "same", "c": "other"}
    assert compare_sums(sums(**twins), sums(**twins)) == []
    found = compare_sums(sums(**twins), sums(a="other", b="same", c="same"))
    assert [(one.kind, one.path) for one in found] == [("swapped", "a"), ("swapped", "c")]
