"""What a fault is: a way to break something, and its way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.components import Component
from lab.layout import Lab


def _nobody(_component: Component, _subject: str) -> bool:
    return False


@dataclass(frozen=True)
class Fault:
    """One way to break something; ``subjects`` are what it can be done to."""

    help: str
    subjects: tuple[str, ...]
    break_it: Callable[[Lab, str], str]
    heal_it: Callable[[Lab, str], str]
    #: whether a component is dead because of it
    hits: Callable[[Component, str], bool] = _nobody
