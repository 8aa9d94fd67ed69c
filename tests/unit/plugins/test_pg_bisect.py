"""The last transaction before the damage: real backups, real WAL, damage of every kind, found without being told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.plugins.bisect_support import Keeper, Story
from tests.unit.servers import PostgresFactory

pytestmark = pytest.mark.skipif(
    shutil.which("pgbackrest") is None, reason="pgbackrest is not installed here: apt-get install pgbackrest"
)
CASES = range(23)


@pytest.fixture(scope="module")
def story(servers_directory: Path, postgres_factory: PostgresFactory) -> Story:
    """One history for all cases."""
    return Story(Keeper(servers_directory / "bisect", postgres_factory), seed=7, transactions=500, backups=4)


@pytest.mark.parametrize("number", CASES)
def test_the_last_transaction_before_the_damage_is_found(story: Story, number: int) -> None:
    case = story.cases[number]
    found = story.keeper.find(case.probe)
    assert (found["outcome"], found["exact"], found["problems"]) == ("found", True, [])
    assert (found["last_good"]["xid"], found["first_bad"]["xid"]) == (case.last_good, case.first_bad), case.name
    assert story.keeper.leftovers() == []
    print(case.name, found["seconds"], found["restores"], found["probes_asked"], found["candidates"])
