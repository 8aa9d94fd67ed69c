# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Answers that a killed run had already got, kept in its scratch directory: the next call does not ask again.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from pathlib import Path

from .bisect_probes import Answer

JOURNAL = "answers.jsonl"


def fingerprint(*parts: t.Any) -> str:
    """Return what answers depend on, as one word."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Journal:
    """One line an answer; the first line says what was asked."""

    def __init__(self, about: str) -> None:
        self.about = about
        self.answers: dict[str, Answer] = {}
        self._path: Path | None = None

    def adopt(self, scratch: Path) -> None:
        """Take over what a scratch of an earlier call knows, where it asked the same. A torn last line is nothing."""
        try:
            lines = (scratch / JOURNAL).read_text(encoding="utf-8").splitlines()
            if not lines or json.loads(lines[0]) != self.about:
                return
            for line in lines[1:]:
                key, good, reasons = json.loads(line)
                self.answers[key] = Answer(bool(good), tuple(reasons))
        except (OSError, ValueError):
            return

    def begin(self, scratch: Path) -> None:
        """Go on in another scratch directory."""
        self._path = scratch / JOURNAL
        known = [_line(key, answer) for key, answer in self.answers.items()]
        self._path.write_text("".join([json.dumps(self.about) + "\n", *known]), encoding="utf-8")

    def note(self, key: str, answer: Answer) -> None:
        """Keep one answer."""
        self.answers[key] = answer
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(key, answer))


def _line(key: str, answer: Answer) -> str:
    return json.dumps([key, answer.good, list(answer.reasons)]) + "\n"
