"""What the tests of checksum_manifest share: a tree, keys, and the module both ways."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.plugins.both_ways import BothWays

Result = dict[str, Any]
Call = Callable[..., Result]
KEYS = {
    *("changed", "state", "what", "manifest", "manifest_digest", "signed_by", "algorithm", "subject", "created"),
    *("count", "bytes", "outcome", "counts", "hashed_bytes", "seconds", "differences", "problems", "notes"),
    *("kept_files", "evidence", "diff"),
}
SUBJECT = {"service": "lab", "component": "models"}
FILES = {"a": b"alpha", "b": b"betas", "dir/c d": b"gamma", "dir/\udcff\n": b"delta", "empty": b""}
MODULE_UTILS = "ansible_collections.terragon.disaster_recovery.plugins.module_utils"


def make_keys(directory: Path) -> dict[str, str]:
    """Return the files of our private `key`, and of the public keys `ours` and `theirs`."""
    for name in ("ours", "theirs"):
        private = str(directory / f"{name}.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
        subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", f"{private}.pub"], check=True)
    return {"key": str(directory / "ours.pem"), **{n: str(directory / f"{n}.pem.pub") for n in ("ours", "theirs")}}


def make_tree(tree: Path) -> Path:
    """Write FILES into a directory and return it."""
    for name, content in FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tree


def caller(way: BothWays, tree: Path, tmp_path: Path) -> Call:
    """Return what calls the module for the tree, and fails the test when a key of the result is missing."""

    def called(state: str, check: bool = False, **more: Any) -> Result:
        shared = {"path": str(tree), "manifest": str(tmp_path / "m.json"), "subject": SUBJECT, "state": state}
        given = {name: value for name, value in {**shared, **more}.items() if value is not None}
        before = snapshot(tmp_path) if check else {}
        result = way("checksum_manifest", given, check)
        assert set(result) >= KEYS, sorted(KEYS - set(result))
        if check:
            assert snapshot(tmp_path) == before, "check mode wrote"
        return result

    return called


def snapshot(directory: Path) -> dict[str, tuple[float, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_ino) for path in directory.rglob("*") if path.is_file()}


def swap(tree: Path) -> None:
    (tree / "a").write_bytes(FILES["b"])
    (tree / "b").write_bytes(FILES["a"])


def link(tree: Path) -> None:
    (tree / "a").rename(tree.parent / "elsewhere")
    (tree / "a").symlink_to("../elsewhere")


def pipe(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
