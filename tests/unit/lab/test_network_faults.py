"""Which rules follow from the network faults in force, over a lab in which nothing runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import shutdown
from lab.border.config import DIRECTIONS
from lab.border.rules import PASS, Rules
from lab.border_routes import WITNESS, WORLD, rules_file
from lab.catalogue import REGIONS
from lab.faults import break_lab, heal_lab
from lab.faults.network import LOSSY, SLOW
from lab.layout import Lab, required
from lab.startup import create

EAST, WEST = REGIONS
PEERS = (*REGIONS, WITNESS, WORLD)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = create(tmp_path / "lab", {}, {})
    yield made
    shutdown.stop_lab(made)


def dropped(lab: Lab, region: str) -> set[tuple[str, str]]:
    """Peers and directions in which a region's border lets nothing pass."""
    rules = Rules.load(rules_file(lab, region))
    return {(peer, way) for peer in PEERS for way in DIRECTIONS if rules.of(peer, way).drop}


ALL_EAST = {(peer, way) for peer in (WEST, WITNESS, WORLD) for way in DIRECTIONS}


@pytest.mark.parametrize(
    ("name", "subject", "east", "west"),
    [
        ("partition", EAST, ALL_EAST, {(EAST, "in"), (EAST, "out")}),
        ("one_way_out", EAST, {one for one in ALL_EAST if one[1] == "out"}, {(EAST, "in")}),
        ("one_way_in", EAST, {one for one in ALL_EAST if one[1] == "in"}, {(EAST, "out")}),
        ("cut_link", f"{EAST}:{WEST}", {(WEST, "in"), (WEST, "out")}, {(EAST, "in"), (EAST, "out")}),
        ("slow_link", EAST, set(), set()),
    ],
)
def test_a_cut_is_known_on_both_sides_and_ends_when_it_heals(
    lab: Lab, name: str, subject: str, east: set[tuple[str, str]], west: set[tuple[str, str]]
) -> None:
    said = break_lab(lab, name, subject)
    assert (dropped(lab, EAST), dropped(lab, WEST)) == (east, west)
    assert f"{EAST} is dead, and finds it so when it returns" in said
    heal_lab(required(lab.directory), name, subject)
    assert (dropped(lab, EAST), dropped(lab, WEST)) == (set(), set())
    assert required(lab.directory).faults == {}


def test_two_faults_add_up_and_heal_one_by_one(lab: Lab) -> None:
    break_lab(lab, "slow_link", EAST)
    break_lab(required(lab.directory), "one_way_out", EAST)
    rules = Rules.load(rules_file(lab, EAST))
    assert (rules.of(WORLD, "out").drop, rules.of(WORLD, "out").delay) == (True, SLOW.delay)
    assert rules.of(WORLD, "in") == SLOW
    heal_lab(required(lab.directory), "slow_link", EAST)
    rules = Rules.load(rules_file(lab, EAST))
    assert (rules.of(WORLD, "out").drop, rules.of(WORLD, "out").delay) == (True, 0.0)
    assert rules.of(WORLD, "in") == PASS


def test_a_lossy_link_has_a_seed(lab: Lab) -> None:
    break_lab(lab, "lossy_link", WEST)
    assert Rules.load(rules_file(lab, WEST)).of(EAST, "in") == LOSSY
    assert LOSSY.seed
