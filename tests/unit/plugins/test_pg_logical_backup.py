"""pg_logical_backup on real servers: what it writes, what it refuses, and what is left when it ends too early."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.logical_destination import require_whole

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.logical_support import back_up, make_shop, small_disk, sql_in
from tests.unit.servers import PostgresFactory, PostgresServer, eventually

KEYS = {
    "bytes", "changed", "compression", "database", "database_bytes", "diff", "directory", "evidence", "facts",
    "files", "jobs", "lsn", "moment", "pg_dump_version", "seconds", "server_version", "source", "system_identifier",
    "tables", "waits",
}  # fmt: skip


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture(scope="module")
def pair(postgres_factory: PostgresFactory) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary with the shop, and its standby."""
    primary = postgres_factory()
    make_shop(primary)
    primary.sql("CREATE ROLE backup LOGIN PASSWORD 'backup'", "GRANT pg_read_all_data TO backup")
    sql_in(primary, "shop", "GRANT SELECT ON LARGE OBJECT 4711 TO backup")
    primary.sql("CREATE ROLE weak LOGIN PASSWORD 'weak'")
    primary.add_password("backup", "backup")
    primary.add_password("weak", "weak")
    standby = postgres_factory.standby_of(primary)
    standby.add_password("backup", "backup")
    yield primary, standby
    standby.stop()
    primary.stop()


@pytest.fixture
def primary(pair: tuple[PostgresServer, PostgresServer]) -> PostgresServer:
    return pair[0]


def given(server: PostgresServer, directory: Path, user: str = "backup", **more: Any) -> dict[str, Any]:
    options = server.options(user, database=more.pop("database", "shop"))
    return {"postgres": options, "directory": str(directory), "jobs": 2, **more}


def test_a_backup_holds_rows_roles_and_facts(both: BothWays, primary: PostgresServer, tmp_path: Path) -> None:
    [(before,)] = primary.sql("SELECT now()")
    predicted = both("pg_logical_backup", given(primary, tmp_path / "new"), check=True)
    assert not (tmp_path / "new").exists()
    result = both("pg_logical_backup", given(primary, tmp_path / "new"))
    assert not result.get("failed"), result
    assert set(result) >= KEYS and set(predicted) >= KEYS and predicted["diff"] == result["diff"]
    assert (predicted["bytes"], predicted["tables"]) == (None, result["tables"])
    names = sorted(os.listdir(tmp_path / "new"))
    assert names == ["dump", "facts.json", "globals.sql"]
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    require_whole(tmp_path / "new")
    facts = json.loads((tmp_path / "new/facts.json").read_text())
    assert facts == result["facts"]
    assert (facts["database"], facts["source"], facts["encoding"], facts["bootstrap_role"]) == (
        "shop", "primary", "UTF8", "postgres",
    )  # fmt: skip
    tables = facts["cluster"]["databases"]["shop"]["tables"]
    assert tables["shop.item"]["rows"] == 3000 and "owner" in facts["cluster"]["roles"], facts["cluster_missing"]
    assert before <= from_iso(result["moment"]) and "/" in result["lsn"]
    assert result["bytes"] == sum(file.stat().st_size for file in (tmp_path / "new").rglob("*") if file.is_file())
    everything = b"".join(file.read_bytes() for file in (tmp_path / "new").rglob("*") if file.is_file())
    assert b"SCRAM" not in everything and b"PASSWORD" not in everything and b"CREATE ROLE owner" in everything


def test_the_dump_and_its_facts_are_of_one_snapshot(primary: PostgresServer, tmp_path: Path) -> None:
    """Writers that commit pairs all the time are cut between two pairs."""
    sql_in(primary, "shop", "CREATE TABLE one (n int)", "CREATE TABLE two (n int)")
    program = "WITH a AS (INSERT INTO one VALUES (1)) INSERT INTO two VALUES (1)"
    argv = [str(primary.bin / "pgbench"), "-n", "-T", "600", "-c", "2", "-f", str(tmp_path / "script"), "shop"]
    (tmp_path / "script").write_text(program + ";\n")
    where = ["-h", primary.host, "-p", str(primary.port), "-U", "postgres"]
    with subprocess.Popen(
        [argv[0], *where, *argv[1:]], env={**os.environ, "PGPASSFILE": str(primary.passfile)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as writers:  # fmt: skip
        try:
            eventually(lambda: sql_in(primary, "shop", "SELECT count(*) FROM two")[0][0] > 20, "writes")
            back_up(primary, tmp_path / "new")
            assert writers.poll() is None
        finally:
            writers.kill()
    only = ["-f", "-", "--data-only", "-t", "one", "-t", "two"]
    decoded = subprocess.run(
        [str(primary.bin / "pg_restore"), *only, str(tmp_path / "new/dump")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    blocks = [part.split("\\.")[0].count("\n1") for part in decoded.split("COPY ")[1:]]
    assert len(blocks) == 2 and blocks[0] == blocks[1] > 0
    sql_in(primary, "shop", "DROP TABLE one", "DROP TABLE two")


def test_a_standby_serves_and_tells_how_old_it_is(
    both: BothWays, pair: tuple[PostgresServer, PostgresServer], tmp_path: Path
) -> None:
    primary, standby = pair
    primary.sql("SELECT txid_current()")
    [(lsn,)] = primary.sql("SELECT pg_current_wal_lsn()")
    eventually(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'")[0][0], "replay")
    result = both("pg_logical_backup", given(standby, tmp_path / "new", source="standby"))
    assert not result.get("failed"), result
    assert (result["source"], result["facts"]["source"]) == ("standby", "standby")
    assert result["moment"] is not None and from_iso(result["moment"]) <= primary.sql("SELECT now()")[0][0]
    refused = both("pg_logical_backup", given(primary, tmp_path / "other", source="standby"))
    assert refused["failed"] and "it is a primary" in refused["msg"] and not (tmp_path / "other").exists()


#: what is asked for, what the error says
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a role without privileges": (
        {"user": "weak"},
        ("shop.item (no USAGE on its schema)", "large object 4711 (no SELECT)", 'GRANT pg_read_all_data TO "weak"'),
    ),
    "no such database": ({"database": "nowhere"}, ('database "nowhere" does not exist',)),
    "a compression that this pg_dump does not know": (
        {"compression": "zstd"}, ("compress with zstd", "pg_dump 15", "16 or newer"),
    ),
    "programs that are not there": ({"bin_directory": "/usr/share"}, ("found: none", "bin_directory")),
    "no jobs": ({"jobs": 0}, ("at least one",)),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_before_anything_is_written(
    both: BothWays, primary: PostgresServer, tmp_path: Path, case: str
) -> None:
    asked, words = REFUSED[case]
    for check in (True, False):
        result = both("pg_logical_backup", given(primary, tmp_path / "new", **asked), check=check)
        assert result["failed"] and not (tmp_path / "new").exists(), result
        assert all(word in result["msg"] for word in words), result["msg"]


def test_a_pg_dump_older_than_the_server_is_refused_with_both_versions(
    both: BothWays, primary: PostgresServer, tmp_path: Path
) -> None:
    tool = tmp_path / "old" / "pg_dump"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.2.24'\n")
    tool.chmod(0o755)
    result = both("pg_logical_backup", given(primary, tmp_path / "new", bin_directory=str(tool.parent)))
    assert result["failed"] and "9.2.24" in result["msg"] and "server is 15" in result["msg"], result["msg"]


def test_an_unreachable_server_is_said(both: BothWays, postgres_factory: PostgresFactory, tmp_path: Path) -> None:
    down = postgres_factory(start=False)
    result = both("pg_logical_backup", given(down, tmp_path / "new", "postgres"))
    assert result["failed"] and "Connection refused" in result["msg"] and not (tmp_path / "new").exists()


def test_row_level_security_is_no_silent_gap(primary: PostgresServer, tmp_path: Path) -> None:
    sql_in(primary, "shop", "ALTER TABLE shop.twin ENABLE ROW LEVEL SECURITY")
    try:
        result = run_action("pg_logical_backup", given(primary, tmp_path / "new"))
    finally:
        sql_in(primary, "shop", "ALTER TABLE shop.twin DISABLE ROW LEVEL SECURITY")
    assert result["failed"] and "shop.twin (row-level security hides rows)" in result["msg"]
    assert "BYPASSRLS" in result["msg"]


@pytest.mark.parametrize("what", ["file", "backup", "link", "foreign"])
def test_what_is_not_its_own_is_not_touched(both: BothWays, primary: PostgresServer, tmp_path: Path, what: str) -> None:
    target = tmp_path / "new"
    if what == "file":
        target.write_text("precious")
    elif what == "link":
        (tmp_path / "elsewhere").mkdir()
        target.symlink_to(tmp_path / "elsewhere")
    elif what == "backup":
        back_up(primary, target)
    else:
        target.mkdir()
        (target / ".partial").write_text("{}")
        (target / "precious").write_text("precious")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    result = both("pg_logical_backup", given(primary, target))
    assert result["failed"] and str(target) in result["msg"], result
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_full_disk_leaves_no_backup(primary: PostgresServer, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 96) as disk:
        result = run_action("pg_logical_backup", given(primary, disk / "new"))
        assert result["failed"] and "No space left on device" in result["msg"] and "another disk" in result["msg"]
        with pytest.raises(RecoveryError, match="has not finished"):
            require_whole(disk / "new")
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        assert not run_action("pg_logical_backup", given(primary, disk / "new")).get("failed")
        require_whole(disk / "new")


KILLED = """
import sys
sys.path[:0] = sys.argv[1:3]
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.logical_backup import run
run({"postgres": eval(sys.argv[3]), "directory": sys.argv[4], "jobs": 2, "source": "any", "compression": "auto",
     "lock_timeout": 600.0, "timeout": 600.0}, False)
"""


def test_a_killed_run_is_no_backup_and_the_same_command_makes_one(primary: PostgresServer, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    target = tmp_path / "new"
    locker = primary.connect(database="shop")
    locker.autocommit = False
    with locker.cursor() as cursor:  # pg_dump waits for the lock, in the midst of its run
        cursor.execute("LOCK TABLE shop.item IN ACCESS EXCLUSIVE MODE")
    argv = [sys.executable, "-c", KILLED, str(root), str(root / "collections"),
            repr(primary.options("backup", database="shop")), str(target)]  # fmt: skip
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as run:
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'"
        try:
            eventually(lambda: primary.sql(waiting)[0][0] == 1, "pg_dump to wait")
            busy = run_action("pg_logical_backup", given(primary, target))
            assert busy["failed"] and "another run is at work" in busy["msg"], busy
        finally:
            run.kill()
    with pytest.raises(RecoveryError, match="has not finished"):
        require_whole(target)
    locker.close()
    result = run_action("pg_logical_backup", given(primary, target))
    assert not result.get("failed"), result
    require_whole(target)
