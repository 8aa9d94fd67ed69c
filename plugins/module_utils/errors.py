# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Errors that services raise: they name the object, the cause and the remedy, and never exit.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t


class RecoveryError(Exception):
    """A step could not do what it was asked.

    `facts` are JSON-safe return values that the module reports beside `msg`, so that a
    failure carries the same keys as a success as far as they are known.
    """

    def __init__(self, message: str, **facts: t.Any) -> None:
        super().__init__(message)
        self.facts = facts


class Unreachable(RecoveryError):
    """The other side did not answer: nothing is known about its state."""


class Refused(RecoveryError):
    """A precondition does not hold; nothing was changed."""


class TimedOut(RecoveryError):
    """A condition did not come true in time."""


class MissingLibrary(RecoveryError):
    """A Python package that the service needs is not installed where it runs."""


def failed(verb: str, what: str, cause: object, remedy: str = "") -> str:
    """Return the collection's one form of error text: what failed, on what, why, what to do."""
    why = str(cause).strip().rstrip(".")
    text = f"Failed to {verb} {what}: {why}" + ("" if why.endswith(("?", "!")) else ".")
    return f"{text} {remedy}".strip()


def require(library: t.Any, name: str) -> None:
    """Raise MissingLibrary when an optional import came out empty."""
    if library is None:
        remedy = f"Install it with: pip install {name}"
        raise MissingLibrary(failed("import", f"the Python package {name}", "it is not installed", remedy))
