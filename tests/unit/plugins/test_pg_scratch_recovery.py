"""pg_scratch on restored data directories: recovery to a target, both sides of it, and nothing that reaches out."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_postmaster import Postmaster

from tests.unit.plugins.both_ways import run_action
from tests.unit.plugins.test_pg_scratch import ask, given
from tests.unit.servers import PostgresFactory, PostgresServer, as_server_user, eventually, give_to_server_user


@dataclass
class Archived:
    """A base backup, the WAL after it, and moments between its rows."""

    server: PostgresServer
    base: Path
    archive: Path
    before: str
    between_lsn: str
    segment: str

    @property
    def restore_command(self) -> str:
        return f'cp {self.archive}/%f "%p"'


@pytest.fixture(scope="module")
def archived(postgres_factory: PostgresFactory) -> Iterator[Archived]:
    """A server that archives; row 1 is in the backup, rows 2 and 3 come after it, with a moment between them."""
    server = postgres_factory(start=False)
    directory = server.directory
    archive, base = directory / "archive", directory / "base"
    archive.mkdir()
    give_to_server_user(archive)
    with (server.data / "postgresql.conf").open("a") as conf:
        conf.write(f"archive_mode = on\narchive_command = 'cp %p {archive}/%f'\nmax_wal_senders = 7\n")
    server.start()
    server.sql("CREATE TABLE event (id int PRIMARY KEY)", "INSERT INTO event VALUES (1)")
    server.sql("SELECT pg_create_physical_replication_slot('of_the_source')")
    server.run(
        "pg_basebackup", "-D", base, "-X", "none", "-c", "fast", "--no-sync", "--no-manifest",
        "-d", f"{server.dsn('postgres')} passfile={server.passfile}",
    )  # fmt: skip
    server.sql("INSERT INTO event VALUES (2)")
    [(before, lsn)] = server.sql("SELECT clock_timestamp()::text, pg_current_wal_lsn()::text")
    server.sql("SELECT pg_sleep(0.01)", "INSERT INTO event VALUES (3)")
    [(segment,)] = server.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")
    server.sql("SELECT pg_switch_wal()", "CREATE TABLE more (id int)", "SELECT pg_switch_wal()")
    eventually((archive / segment).exists, "the archive")
    yield Archived(server, base, archive, before, lsn, segment)
    server.stop()


@pytest.fixture
def root() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="dr-s-", dir="/tmp"))
    directory.chmod(0o711)
    yield directory
    for path in directory.iterdir():
        Postmaster(path / "data").stop(2.0)
    shutil.rmtree(directory, ignore_errors=True)


def restored(root: Path, archived: Archived) -> Path:
    """Reserve a scratch and restore the base backup into it, as another module would."""
    reserved = run_action("pg_scratch", given(root, "reserved"))
    assert not reserved.get("failed") and not reserved["running"], reserved
    data = Path(reserved["data_directory"])
    assert list(data.iterdir()) == []
    subprocess.run(["cp", "-a", f"{archived.base}/.", str(data)], check=True, **as_server_user())
    return data


def events(result: dict[str, Any]) -> list[int]:
    return [row[0] for row in ask(result["connection"], "SELECT id FROM event ORDER BY id")]


def test_both_sides_of_a_target_and_then_its_promotion(root: Path, archived: Archived) -> None:
    restored(root, archived)
    recovery = {"restore_command": archived.restore_command, "target_time": archived.before}
    paused = run_action("pg_scratch", given(root, recovery=recovery))
    assert not paused.get("failed"), paused
    assert (paused["in_recovery"], paused["recovery"]["paused"], events(paused)) == (True, True, [1, 2])
    assert paused["recovery"]["replayed_at"] is not None and paused["outcome"] == "passed"
    assert [wait["name"] for wait in paused["waits"]] == ["scratch_start", "replay"]
    promoted = run_action("pg_scratch", given(root, recovery=recovery, promote=True))
    assert (promoted["changed"], promoted["in_recovery"], promoted["path"]) == (True, False, paused["path"])
    assert promoted["recovery"]["timeline"] == 2 and events(promoted) == [1, 2]
    assert promoted["settings"]["archive_mode"] == "off"
    assert not list(archived.archive.glob("00000002*")), "the scratch's own WAL got into the archive"
    again = run_action("pg_scratch", given(root, recovery=recovery, promote=True))
    assert (again["changed"], again["in_recovery"]) == (False, False)


def test_what_a_restore_wrote_is_followed_and_nothing_else(root: Path, archived: Archived) -> None:
    """The settings of the source, in both of its files, must not act in the copy."""
    data = restored(root, archived)
    touched = archived.server.directory / "touched"
    with (data / "postgresql.auto.conf").open("a") as auto:
        auto.write(
            f"restore_command = '{archived.restore_command}'\nrecovery_target_lsn = '{archived.between_lsn}'\n"
            f"recovery_target_action = 'promote'\narchive_cleanup_command = 'touch {touched}'\n"
            f"recovery_end_command = 'touch {touched}'\nlisten_addresses = '*'\nport = 1\n"
            f"primary_conninfo = 'host={archived.server.host} port={archived.server.port}'\n"
            f"archive_mode = 'always'\narchive_command = 'touch {touched}'\nexternal_pid_file = '{touched}'\n"
            "shared_preload_libraries = 'pg_cron, no_such_library, auto_explain'\n"
        )
    (data / "standby.signal").touch()
    give_to_server_user(data / "standby.signal")
    made = run_action("pg_scratch", given(root))
    assert not made.get("failed"), made
    assert (made["recovery"]["paused"], events(made)) == (True, [1, 2])
    assert {one["library"] for one in made["left_out"]} == {"pg_cron", "no_such_library"}
    asked = "SELECT name FROM pg_settings WHERE name IN ('archive_cleanup_command', 'recovery_end_command',"
    asked += " 'external_pid_file', 'primary_conninfo', 'listen_addresses') AND setting <> ''"
    assert ask(made["connection"], asked) == []
    assert ask(made["connection"], "SHOW shared_preload_libraries") == [("auto_explain",)]
    run_action("pg_scratch", given(root, promote=True))
    assert not touched.exists()


def test_without_a_target_recovery_goes_to_the_end(root: Path, archived: Archived) -> None:
    restored(root, archived)
    made = run_action("pg_scratch", given(root, recovery={"restore_command": archived.restore_command}))
    assert not made.get("failed"), made
    assert (made["in_recovery"], events(made), made["recovery"]["paused"]) == (False, [1, 2, 3], False)
    assert run_action("pg_scratch", given(root, "absent"))["removed"] == [made["path"]]


#: how recovery is asked for, what the error says
FAILED: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "a target after the last WAL": (
        {"target_time": "2038-01-01 00:00:00+00"}, ("before configured recovery target", "earlier target"), "failed",
    ),
    "a target before the backup": (
        {"target_time": "2020-01-01 00:00:00+00"}, ("the backup is from", "earlier backup"), "failed",
    ),
    "WAL of the backup missing": ({"restore_command": "false"}, ("checkpoint record", "restore_command"), "failed"),
    "a timeline that is not there": ({"timeline": "7"}, ("timeline 7", "Name a timeline"), "failed"),
    "a time without a zone": ({"target_time": "2026-01-01 00:00:00"}, ("names no zone",), "unverified"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILED)
def test_a_recovery_that_cannot_get_there_says_why(root: Path, archived: Archived, case: str) -> None:
    asked, words, outcome = FAILED[case]
    data = restored(root, archived)
    result = run_action("pg_scratch", given(root, recovery={"restore_command": archived.restore_command, **asked}))
    assert result["failed"] and result["outcome"] == outcome, result
    assert all(word in result["msg"] for word in words), result["msg"]
    assert Postmaster(data).processes() == []
    assert run_action("pg_scratch", given(root, "absent"))["removed"] == [str(data.parent)]


def test_a_tablespace_of_the_source_is_never_opened(root: Path, archived: Archived, tmp_path: Path) -> None:
    data = restored(root, archived)
    os.symlink(tmp_path, data / "pg_tblspc/16999")
    result = run_action("pg_scratch", given(root, recovery={"restore_command": archived.restore_command}))
    assert result["failed"] and "pg_tblspc/16999 leads to" in result["msg"] and "tablespace-map" in result["msg"]
    assert result["outcome"] == "unverified" and Postmaster(data).processes() == []


def test_a_missing_segment_is_named(root: Path, archived: Archived) -> None:
    restored(root, archived)
    holey = archived.server.directory / "holey"
    subprocess.run(["cp", "-a", str(archived.archive), str(holey)], check=True)
    (holey / archived.segment).unlink()
    recovery = {"restore_command": f'cp {holey}/%f "%p"', "target_name": "never made"}
    result = run_action("pg_scratch", given(root, recovery=recovery))
    shutil.rmtree(holey)
    assert result["failed"] and "look for missing WAL" in result["msg"], result
