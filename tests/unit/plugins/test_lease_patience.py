"""How long slow stores of a lease are waited for: computed over a clock of the test's own."""

from __future__ import annotations

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease_patience import (
    LONGEST,
    MEMORY,
    NONE,
    SHORTEST,
    Patience,
)


class Clock:
    """Seconds, moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    return Patience(clock)


@pytest.mark.parametrize(("spent", "grace"), [(0.0, SHORTEST), (0.05, 0.1), (3.0, LONGEST)])
def test_the_wait_follows_what_the_majority_took(patience: Patience, spent: float, grace: float) -> None:
    assert patience.grace(spent, ["a"]) == pytest.approx(grace)


def test_a_slow_store_is_remembered_for_a_while(patience: Patience, clock: Clock) -> None:
    patience.failed("a")
    assert patience.grace(1.0, ["a"]) == NONE
    clock.now += MEMORY
    assert patience.grace(1.0, ["a"]) == LONGEST


def test_another_store_is_waited_for_all_the_same(patience: Patience) -> None:
    patience.failed("a")
    assert patience.grace(1.0, ["a", "b"]) == LONGEST


@pytest.mark.parametrize(("seconds", "grace"), [(LONGEST / 2, LONGEST), (LONGEST * 2, NONE)])
def test_an_answer_in_time_is_forgiveness(patience: Patience, seconds: float, grace: float) -> None:
    patience.failed("a")
    patience.answered("a", seconds)
    assert patience.grace(1.0, ["a"]) == grace
