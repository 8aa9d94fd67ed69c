"""The choice of the next moment, by itself: every outcome of every search, counted in what it costs."""

from __future__ import annotations

import math

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.bisect_journal import Journal, fingerprint
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.bisect_plan import Chooser
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.bisect_probes import Answer
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.bisect_search import Span, narrow, newest_good


def cost(candidates: int, first_bad: int, restore: float, step: float) -> tuple[float, int]:
    """Seconds and questions of one search; the last candidate is known to be bad."""
    spent, asked, position = 0.0, 0, -1

    def ask(index: int) -> bool:
        nonlocal spent, asked, position
        spent += step + (restore if index < position else 0.0)
        asked, position = asked + 1, index
        return index < first_bad

    found = narrow(Span(-1, candidates - 1), ask, lambda: Chooser(restore, step), lambda: True)
    assert (found.good, found.bad) == (first_bad - 1, first_bad)
    return spent, asked


@pytest.mark.parametrize("candidates", [1, 2, 3, 7, 64, 97, 200])
@pytest.mark.parametrize("restore", [0.0, 0.5, 3.0, 100.0])
def test_every_first_bad_one_is_found(candidates: int, restore: float) -> None:
    for first_bad in range(candidates):
        cost(candidates, first_bad, restore, 1.0)


def test_with_free_restores_it_halves() -> None:
    assert Chooser(0.0, 1.0).share == pytest.approx(0.5)
    assert max(cost(1000, first_bad, 0.0, 1.0)[1] for first_bad in range(0, 1000, 7)) <= 12


def test_the_dearer_a_restore_the_smaller_the_steps() -> None:
    shares = [Chooser(restore, 1.0).share for restore in (0, 1, 5, 20, 100, 1000)]
    assert shares == sorted(shares, reverse=True) and shares[-1] > 0
    assert Chooser(1e9, 1.0).ahead(20) == 1  # better to walk than to go back


@pytest.mark.parametrize("restore", [2.0, 10.0, 60.0])
def test_it_is_cheaper_than_halving_and_than_any_number_of_even_passes(restore: float) -> None:
    candidates, places = 20000, range(0, 20000, 997)
    ours = [cost(candidates, first_bad, restore, 1.0)[0] for first_bad in places]
    halving = [_halved(candidates, first_bad, restore) for first_bad in places]
    assert sum(ours) < sum(halving)
    passes = min(p * restore + p * candidates ** (1 / p) for p in range(1, 16))
    assert max(ours) < passes


def _halved(candidates: int, first_bad: int, restore: float) -> float:
    good, bad, spent, position = -1, candidates - 1, 0.0, -1
    while bad - good > 1:
        index = (good + bad) // 2
        spent += 1.0 + (restore if index < position else 0.0)
        position = index
        good, bad = (index, bad) if index < first_bad else (good, index)
    return spent


@pytest.mark.parametrize(("restore", "candidates"), [(0.0, 1000), (4.0, 90), (10.0, 81000)])
def test_the_time_that_it_predicts_is_what_it_takes(restore: float, candidates: int) -> None:
    places = range(0, candidates, max(1, candidates // 200))
    mean = sum(cost(candidates, place, restore, 1.0)[0] for place in places) / len(places)
    assert Chooser(restore, 1.0).seconds(candidates) == pytest.approx(mean, rel=0.15)


def test_it_ends_when_it_is_told() -> None:
    left = iter([True, True, False])
    found = narrow(Span(-1, 99), lambda index: index < 50, lambda: Chooser(1.0, 1.0), lambda: next(left))
    assert found.left > 1 and found.good < 50 <= found.bad


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_the_newest_good_backup(count: int) -> None:
    for first_bad in range(count):
        asked: list[int] = []

        def ask(index: int, asked: list[int] = asked, first_bad: int = first_bad) -> bool:
            asked.append(index)
            return index < first_bad

        assert newest_good(count, ask) == (first_bad - 1 if first_bad else None)
        assert len(asked) <= math.ceil(math.log2(count + 1))


def test_answers_are_kept_for_the_same_question_only(tmp_path) -> None:  # type: ignore[no-untyped-def]
    one, other = fingerprint([{"query": "a"}]), fingerprint([{"query": "b"}])
    journal = Journal(one)
    journal.begin(tmp_path)
    journal.note("0/1", Answer(True))
    journal.note("0/2", Answer(False, ("why",)))
    with (tmp_path / "answers.jsonl").open("a") as file:
        file.write('["0/3", tr')  # killed here
    again, foreign = Journal(one), Journal(other)
    again.adopt(tmp_path)
    foreign.adopt(tmp_path)
    assert again.answers == journal.answers and foreign.answers == {}
