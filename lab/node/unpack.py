"""Unpacks one member of a layer, and nothing outside the image's own directory."""

from __future__ import annotations

import copy
import os
import tarfile
from pathlib import Path


def extract_member(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    """Unpack ``member`` below ``root``. Raises tarfile.TarError or OSError."""
    if hasattr(tarfile, "data_filter"):
        archive.extract(member, root, filter="data")
    else:  # Python before 3.11.4: Debian 12's own, for one
        archive.extract(checked(member, root), root)


def checked(member: tarfile.TarInfo, root: Path) -> tarfile.TarInfo:
    """What ``filter="data"`` makes of a member. Raises tarfile.ExtractError for one that leads outside ``root``."""
    root = root.resolve()
    inside = copy.copy(member)
    inside.name = member.name.lstrip("/")
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise tarfile.ExtractError(f"{member.name} is a device or a pipe")
    _need_inside(root / inside.name, root, member.name)
    if member.issym() or member.islnk():
        if os.path.isabs(member.linkname):
            raise tarfile.ExtractError(f"{member.name} links to {member.linkname}, an absolute path")
        begin = (root / inside.name).parent if member.issym() else root
        _need_inside(begin / member.linkname, root, member.name)
    inside.uid, inside.gid, inside.uname, inside.gname = os.geteuid(), os.getegid(), "", ""
    inside.mode = 0o755 if member.isdir() else member.mode & 0o755 | 0o600
    return inside


def _need_inside(path: Path, root: Path, name: str) -> None:
    if not path.resolve().is_relative_to(root):
        raise tarfile.ExtractError(f"{name} leads outside the image")
