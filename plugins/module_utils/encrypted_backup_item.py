# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One secret thing as it is backed up: what may be told in clear, and the content, bound together in one envelope.

The envelope is the plaintext of an age file. It names the path it belongs to, so that two files that were exchanged
are found although both decrypt.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from .errors import RecoveryError

Json = dict[str, t.Any]
_VERSION = 1


@dataclass(frozen=True)
class Item:
    """A secret thing.

    `path`: where its file lies, without `.age`: `<source>/<namespace>/<name>`. `version`: what its source counts up
    when the content changes; it tells "unchanged" and holds nothing of the content. `facts`: JSON-safe, in clear.
    `content`: JSON-safe and secret.
    """

    path: str
    kind: str
    version: str
    facts: Json
    content: Json

    def __repr__(self) -> str:
        """Name it; the content stays out of tracebacks and logs."""
        return f"Item({self.path})"

    def envelope(self) -> bytes:
        """Return the plaintext that is encrypted."""
        return canonical(
            {
                "envelope": _VERSION,
                "path": self.path,
                "kind": self.kind,
                "version": self.version,
                "facts": self.facts,
                "content": self.content,
            }
        )

    def secret_bytes(self) -> bytes:
        """Return the content alone, in a form that is equal where the content is."""
        return canonical(self.content)


def parse(plain: bytes) -> Item:
    """Read an envelope back. Raises RecoveryError, which says nothing of what was read."""
    problem = "it decrypts, but is no envelope of this collection"
    try:
        read = json.loads(plain)
        item = Item(*(read[name] for name in ("path", "kind", "version", "facts", "content")))
        texts = all(isinstance(value, str) for value in (item.path, item.kind, item.version))
        if read["envelope"] == _VERSION and texts and isinstance(item.facts, dict) and isinstance(item.content, dict):
            return item
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # not chained: json's error holds the document
    raise RecoveryError(problem)


def canonical(value: t.Any) -> bytes:
    """Return JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def path_of(source: str, *names: str) -> str:
    """Return the path of an item; in a name, what is not a letter, digit or one of `-_.~` becomes %XX."""
    return "/".join((source, *(_plain(name) for name in names)))


def _plain(name: str) -> str:
    text = quote(name, safe="")
    return text.replace(".", "%2E") if text.startswith(".") else text
