"""When bytes leave a lane: computed, so no clock is needed."""

from __future__ import annotations

import pytest

from lab.border.lane import PACKET_BYTES, RETRANSMIT_SECONDS, Lane
from lab.border.rules import Rule, as_document


def lane(rule: Rule, name: str = "world") -> Lane:
    made = Lane(name, "in")
    made.set(rule)
    return made


def test_without_a_rule_bytes_leave_at_once() -> None:
    assert lane(Rule()).leaves(10.0, 1000, 0.0) == 10.0


def test_a_delay_is_added_and_does_not_pile_up() -> None:
    slow = lane(Rule(delay=0.4))
    first = slow.leaves(10.0, 1000, 0.0)
    assert (first, slow.leaves(10.1, 1000, first)) == (pytest.approx(10.4), pytest.approx(10.5))
    assert slow.connect_seconds() == pytest.approx(0.4)


def test_a_rate_is_shared_by_all_connections() -> None:
    narrow = lane(Rule(rate=1000.0))
    assert narrow.leaves(10.0, 500, 0.0) == pytest.approx(10.5)
    assert narrow.leaves(10.0, 500, 0.0) == pytest.approx(11.0)  # of another connection
    assert narrow.leaves(20.0, 500, 0.0) == pytest.approx(20.5)


def test_what_is_behind_a_lost_packet_waits_for_it() -> None:
    lossy = lane(Rule(loss=0.999999))
    first = lossy.leaves(10.0, 1, 0.0)
    assert first >= 10.0 + RETRANSMIT_SECONDS
    lossy.set(Rule())
    assert lossy.leaves(10.0, 1, first) == first


def test_losses_are_those_of_the_seed() -> None:
    def stalls(seed: int) -> list[float]:
        one = lane(Rule(loss=0.2, seed=seed))
        return [one.leaves(0.0, PACKET_BYTES, 0.0) for _ in range(200)]

    assert stalls(1) == stalls(1)
    assert stalls(1) != stalls(2)
    assert 10 < sum(stall > 0 for stall in stalls(1)) < 80


def test_two_faults_at_once_are_the_worse_of_both() -> None:
    document = as_document(
        "1",
        [("world", "in", Rule(delay=0.4, rate=100.0)), ("world", "in", Rule(drop=True, rate=50.0, loss=0.1, seed=3))],
    )
    assert Rule(**document["peers"]["world"]["in"]) == Rule(True, 0.4, 50.0, 0.1, 3)
