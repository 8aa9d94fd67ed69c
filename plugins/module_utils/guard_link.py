# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pipe pair by which the guard's two processes watch each other.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import os
import select
import typing as t

from .guard_config import now


class Link:
    """One end: messages out, messages in, and what is wrong with the other side. Never blocks on a full pipe."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.heard = now()
        self.last: dict[str, t.Any] = {}
        self.ended = False
        self._rest = b""
        for descriptor in (incoming, outgoing):
            os.set_blocking(descriptor, False)

    def say(self, message: dict[str, t.Any]) -> None:
        """Send; a reader that is frozen misses it."""
        try:
            os.write(self.outgoing, json.dumps(message).encode() + b"\n")
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True

    def wait(self, seconds: float) -> None:
        """Take in what comes for up to `seconds`; returns early only when the other side is gone."""
        end = now() + seconds
        while not self.ended:
            left = end - now()
            readable, _writable, _failed = select.select([self.incoming], [], [], max(0.0, left))
            if readable:
                self._read()
            if left <= 0:
                return

    def problem(self, patience: float) -> str:
        """Say what is wrong with the other side, if anything: it ended, or was silent for `patience` seconds."""
        if self.ended:
            return "has ended"
        silent = now() - self.heard
        return f"was silent for {silent:.1f} s" if silent > patience else ""

    def close(self) -> None:
        """Close this end."""
        for descriptor in (self.incoming, self.outgoing):
            os.close(descriptor)

    def _read(self) -> None:
        try:
            data = os.read(self.incoming, 65536)
        except BlockingIOError:
            return
        if not data:
            self.ended = True
            return
        self.heard = now()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines[-1:]:
            self.last = json.loads(line)
