"""A commit removes what its incident kept, all of it, and nothing of another incident."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.standby_places import Places

from tests.unit.plugins.role_play import RolePlay, include
from tests.unit.servers import S3Server


def test_what_a_second_rebuild_kept_is_removed_and_no_other_incidents(tmp_path: Path, s3_server: S3Server) -> None:
    data = tmp_path / "main"
    for incident in ("INC-7", "INC-7", "INC-7-2"):
        Places.of(str(data), None, incident).free_kept().mkdir()
    data.mkdir()
    play = RolePlay(tmp_path, s3_server)
    status, said = play.run([include("failover_commit", "kept", lease_guard_data_directory=str(data))])
    assert status == 0, said
    assert sorted(path.name for path in tmp_path.glob("main*")) == ["main", "main.kept-INC-7-2"]
