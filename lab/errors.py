"""The lab's one exception."""

from __future__ import annotations


class LabError(Exception):
    """The lab could not do what it was asked; the message names the object, the cause and the remedy."""
