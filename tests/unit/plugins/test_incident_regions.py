"""Which regions an incident is about, and that no half-finished move locks everybody out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.plugins.role_play import RolePlay, include
from tests.unit.servers import S3Server

FOUND = [
    include("incident_open", "regions"),
    {"ansible.builtin.debug": {"msg": "from {{ groups.dr_source[0] }} to {{ groups.dr_target[0] }}, found"}},
]


@pytest.fixture
def play(tmp_path: Path, s3_server: S3Server) -> RolePlay:
    return RolePlay(tmp_path, s3_server)


def test_a_failover_finishes_what_a_switchover_left_when_its_source_died(play: RolePlay) -> None:
    """The switchover needs the guard's word, which never comes; a way back needs the region that is dead."""
    play.claim("east")
    play.claim("west", planned=True)
    status, said = play.run(FOUND, dr_kind="failover", dr_failed_region="east")
    assert status == 0 and "from east to west, found" in said, said


@pytest.mark.parametrize(
    ("kind", "extra", "words"),
    [
        ("switchover", {"dr_failed_region": "east"}, "the lease is held by west"),
        ("failback", {"dr_failed_region": "east"}, "the lease is held by west"),
        ("failover", {"dr_target_region": "west"}, "The target equals the failed region (west)"),
    ],
)
def test_nothing_else_begins_from_a_region_that_lost_the_lease(
    play: RolePlay, kind: str, extra: dict[str, str], words: str
) -> None:
    play.claim("east")
    play.claim("west")
    status, said = play.run(FOUND, dr_kind=kind, **extra)
    assert status != 0 and words in said, said


def test_a_failover_from_a_region_that_never_held_the_lease_is_refused(play: RolePlay) -> None:
    play.claim("west")
    status, said = play.run(FOUND, dr_kind="failover", dr_failed_region="east")
    assert status != 0 and "the lease is held by west" in said, said
