"""A way back is refused, before anything is fenced, where the old primary's data directory is one no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.plugins.role_play import RolePlay, include
from tests.unit.servers import S3Server


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["main/PG_VERSION"], ""),
        ([], "is no data directory"),
        (["main/PG_VERSION", "main/standby.signal"], "was made a standby"),
        (["main/PG_VERSION", ".main.dr-standby.json"], "is being made a standby"),
    ],
    ids=["primary", "nothing", "rebuilt", "being rebuilt"],
)
def test_only_what_is_still_a_primary_is_gone_back_to(
    tmp_path: Path, s3_server: S3Server, files: list[str], says: str
) -> None:
    (tmp_path / "main").mkdir()
    for name in files:
        (tmp_path / name).touch()
    look = include("rollback_assess", "host", dr_region_name="east", lease_guard_data_directory=str(tmp_path / "main"))
    status, said = RolePlay(tmp_path, s3_server).run([look])
    assert (status != 0) == bool(says), said
    assert says in said
