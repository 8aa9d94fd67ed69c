# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of files as text: how any file's name stands in JSON, in messages and on a shell's command line.

A path here is relative, POSIX, and text in which bytes that are not UTF-8 are kept by surrogateescape. Written down,
such bytes, control characters, backslash and percent sign become `%XX`; everything else stays as it is. So a written
path is valid UTF-8 on one line, and no two files share one.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import re

_PLAIN = re.compile(r"[%\\\x00-\x1f\x7f\udc80-\udcff]")
_WRITTEN = re.compile(rb"%([0-9A-F]{2})")


def to_text(name: bytes) -> str:
    """Return the text of a name as the operating system has it, whatever this process's locale is."""
    return name.decode("utf-8", "surrogateescape")


def to_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the name that the operating system has for a path."""
    return os.fspath(path).encode("utf-8", "surrogateescape")


def written(path: str | os.PathLike[str]) -> str:
    """Return how a path is written down and shown."""
    return _PLAIN.sub(lambda found: "".join(f"%{byte:02X}" for byte in to_bytes(found[0])), os.fspath(path))


def read(text: str) -> str:
    """Return the path that was written so. Raises ValueError for a text that no path is written as."""
    path = to_text(_WRITTEN.sub(lambda found: bytes([int(found[1], 16)]), text.encode()))
    if written(path) != text:
        raise ValueError("it is not encoded as a manifest encodes names")
    return path


def why_unsafe(path: str) -> str:
    """Return why no tree can have such a path inside itself; an empty text where it can."""
    if path.startswith("/"):
        return "it is absolute"
    if "\0" in path:
        return "it contains a NUL"
    parts = path.split("/")
    if ".." in parts:
        return "it leads out of the tree"
    if "" in parts or "." in parts:
        return "it has an empty part or one that is a dot"
    return ""
