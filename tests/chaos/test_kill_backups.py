"""A backup and a validation killed at places drawn by a seed (DR_CHAOS_SEED draws others): each converges.

Every place is tried by ``make chaos``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.chaos.kill.__main__ import line
from tests.chaos.kill.backups_trial import PLAYBOOKS, BackupTrials
from tests.chaos.kill.run import ROOT
from tests.chaos.kill.schedule import seeded
from tests.chaos.kill.trial import Outcome
from tests.chaos.kill.world import World

SEED = int(os.environ.get("DR_CHAOS_SEED", "11"))
COMPONENTS = ("monitoring", "configuration")


@pytest.fixture(scope="module")
def outcomes() -> Iterator[list[Outcome]]:
    """All of them, from one lab."""
    world = World(ROOT / "build/chaos/kill-backups-sample/lab", DR_LAB_BACKUPS="1")
    found: list[Outcome] = []
    try:
        for outcome in seeded(BackupTrials(world, COMPONENTS), PLAYBOOKS, 2, SEED):
            found.append(outcome)
            print(line(len(found), outcome), flush=True)
        yield found
    finally:
        world.stop()


def test_killed_runs_converge(outcomes: list[Outcome]) -> None:
    assert len(outcomes) == 2
    assert [line(number, one) for number, one in enumerate(outcomes, 1) if one.problems] == []


def test_they_were_killed(outcomes: list[Outcome]) -> None:
    """Otherwise the other test would have shown nothing."""
    assert all(one.killed for one in outcomes)
