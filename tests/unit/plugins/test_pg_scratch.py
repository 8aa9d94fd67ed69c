"""pg_scratch with real servers: isolated, owned by a run, removed with it or after it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_postmaster import Postmaster
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.process_identity import ProcessIdentity

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.logical_support import back_up, make_shop, small_disk
from tests.unit.servers import PostgresFactory, PostgresServer, eventually

KEYS = {
    "changed", "connection", "data_directory", "diff", "evidence", "facts", "in_recovery", "kept", "leaks", "left_out",
    "name", "outcome", "path", "problems", "recovery", "refused", "removed", "restore", "run", "running", "seconds",
    "settings", "state", "version", "waits",
}  # fmt: skip


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def root() -> Iterator[Path]:
    """A scratch directory whose path leaves room for a socket's; what a test leaves is swept."""
    directory = Path(tempfile.mkdtemp(prefix="dr-s-", dir="/tmp"))
    directory.chmod(0o711)
    yield directory
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            Postmaster(path / "data").stop(2.0)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def source(postgres_factory: PostgresFactory) -> Iterator[PostgresServer]:
    """A server with the shop."""
    server = postgres_factory()
    make_shop(server)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def backup(source: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy logical backup of the shop."""
    directory = tmp_path_factory.mktemp("backups") / "shop"
    back_up(source, directory)
    return directory


def given(root: Path, state: str = "present", run: str = "run-1", **more: Any) -> dict[str, Any]:
    return {"state": state, "directory": str(root), "run": run, "memory_mb": 512, "timeout": 120, **more}


def ask(connection: dict[str, Any], query: str, **more: Any) -> list[tuple[Any, ...]]:
    where = {name: connection[name] for name in ("host", "port", "user")}
    opened = contextlib.closing(psycopg2.connect(dbname=connection["database"], **{**where, **more}))
    with opened as session, session.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def test_a_new_cluster_is_isolated_and_goes_without_a_trace(both: BothWays, root: Path) -> None:
    predicted = both("pg_scratch", given(root), check=True)
    assert predicted["changed"] and list(root.iterdir()) == []
    made = both("pg_scratch", given(root))
    assert not made.get("failed"), made
    assert set(made) >= KEYS and set(predicted) >= KEYS and made["changed"]
    path = Path(made["path"])
    assert path.parent == root and path.name.startswith("run-1-")
    assert stat.S_IMODE((path / "socket").stat().st_mode) == 0o700
    said = made["settings"]
    assert (said["listen_addresses"], said["archive_mode"], said["primary_conninfo"]) == ("", "off", "")
    assert ask(made["connection"], "SELECT current_setting('ssl'), current_setting('wal_level')") == [
        ("off", "minimal")
    ]
    assert os.stat(path / "data").st_uid != 0
    again = both("pg_scratch", given(root))
    assert (again["changed"], again["path"], again["settings"]) == (False, made["path"], said)
    gone = both("pg_scratch", given(root, "absent"))
    assert (gone["changed"], gone["removed"]) == (True, [made["path"]]) and list(root.iterdir()) == []
    assert Postmaster(path / "data").processes() == []
    assert both("pg_scratch", given(root, "absent"))["changed"] is False


def test_a_logical_backup_comes_back_whole(both: BothWays, root: Path, backup: Path, source: PostgresServer) -> None:
    made = both("pg_scratch", given(root, logical=str(backup), database="shop", objective_seconds=3600, analyze=True))
    assert not made.get("failed") and made["problems"] == [], made
    assert (made["outcome"], made["restore"]["outcome"], made["restore"]["database"]) == ("passed", "passed", "shop")
    assert made["restore"]["bytes"] > 1_000_000 and made["facts"]["database"] == "shop"
    count = "SELECT (SELECT count(*) FROM shop.item), (SELECT count(*) FROM shop.bought), (SELECT count(*) FROM part)"
    assert ask(made["connection"], count) == [(3000, 6000, 100)]
    assert ask(made["connection"], "SELECT current_setting('work_mem'), convert_from(lo_get(4711), 'UTF8')") == [
        ("5MB", "a large object")
    ]
    roles = "SELECT rolname, pg_catalog.shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname !~ '^pg_'"
    assert sorted(ask(made["connection"], roles)) == sorted(source.sql(roles))
    assert ask(made["connection"], "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL") == [(0,)]
    assert run_action("pg_scratch", given(root, "absent"))["removed"] == [made["path"]]


KILLED = """
import os, sys
sys.path[:0] = sys.argv[1:3]
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import Specification
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.process_identity import ProcessIdentity
from tests.unit.plugins.both_ways import run_action
import json
given = json.loads(sys.argv[3])
given["owner"] = ProcessIdentity.of(os.getpid(), "killed").as_dict()
print(json.dumps(run_action("pg_scratch", given)), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def another_run(arguments: dict[str, Any]) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A run in a process of its own, which lives on when its scratch is there, and is killed at the end."""
    repository = Path(__file__).resolve().parents[3]
    argv = [sys.executable, "-c", KILLED, str(repository), str(repository / "collections"), json.dumps(arguments)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process, json.loads(process.stdout.readline() or "{}")
        finally:
            process.kill()


def test_a_killed_run_leaves_a_server_that_the_next_one_removes(both: BothWays, root: Path) -> None:
    with another_run(given(root, run="killed")) as (process, made):
        assert made["running"], made
        alive = both("pg_scratch", {"state": "swept", "directory": str(root)})
        assert (alive["kept"], alive["removed"], alive["changed"]) == ([made["path"]], [], False)
        mine = both("pg_scratch", given(root, run="mine"))
        assert mine["path"] != made["path"] and not mine.get("failed")
        held = both("pg_scratch", given(root, run="killed"))
        assert held["failed"] and "has it" in held["msg"] and "killed@" in held["msg"]
        held = both("pg_scratch", given(root, "absent", run="killed"))
        assert held["failed"] and Postmaster(Path(made["data_directory"])).pid()
        process.kill()
        process.wait()
    assert Postmaster(Path(made["data_directory"])).pid(), "the server outlives the run"
    predicted = both("pg_scratch", {"state": "swept", "directory": str(root)}, check=True)
    assert predicted["removed"] == [made["path"]] and Postmaster(Path(made["data_directory"])).pid()
    swept = both("pg_scratch", {"state": "swept", "directory": str(root)})
    assert (swept["removed"], swept["kept"], swept["changed"]) == ([made["path"]], [mine["path"]], True)
    assert not Path(made["path"]).exists() and Postmaster(Path(made["data_directory"])).processes() == []
    assert Postmaster(Path(mine["data_directory"])).pid()


def test_the_same_command_after_a_kill_goes_on(root: Path) -> None:
    with another_run(given(root, run="killed")) as (_process, made):
        assert made["running"]
    again = run_action("pg_scratch", given(root, run="killed"))
    assert (again.get("failed"), again["path"], again["running"]) == (None, made["path"], True)


def plant_nothing(path: Path) -> None:
    (path / "x").write_text("precious")


def plant_other(path: Path) -> None:
    (path / "owner.json").write_text(json.dumps({"run": "x", "what": "y"}))


def plant_moved(path: Path) -> None:
    process = ProcessIdentity.of(os.getpid(), "x").as_dict()
    owner = {"run": "x", "what": "y", "created": "2020-01-01T00:00:00Z", "path": "/elsewhere", "boot_id": "another"}
    (path / "owner.json").write_text(json.dumps({**owner, "process": {**process, "started": 1}}))


def plant_link_to_owner(path: Path) -> None:
    plant_moved(path)
    (path / "owner.json").rename(path.parent / "real")
    (path / "owner.json").symlink_to(path.parent / "real")


@pytest.mark.parametrize("plant", [plant_nothing, plant_other, plant_moved, plant_link_to_owner])
def test_what_is_nobodys_scratch_is_left_alone(root: Path, tmp_path: Path, plant: Callable[[Path], None]) -> None:
    foreign = root / "foreign-0123abcd"
    foreign.mkdir()
    plant(foreign)
    before = sorted(path.name for path in foreign.iterdir())
    swept = run_action("pg_scratch", {"state": "swept", "directory": str(root), "max_age_hours": 0})
    assert not swept.get("failed") and swept["removed"] == []
    assert str(foreign) in [one["path"] for one in swept["refused"]]
    assert sorted(path.name for path in foreign.iterdir()) == before


def test_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("precious")
    (root / "linked-0123abcd").symlink_to(tmp_path / "precious")
    with another_run(given(root, "reserved", run="killed")) as (_process, made):
        os.symlink(tmp_path / "precious", Path(made["data_directory"]) / "link")
    swept = run_action("pg_scratch", {"state": "swept", "directory": str(root)})
    assert swept["removed"] == [made["path"]] and swept["refused"][0]["reason"] == "a symbolic link"
    assert (tmp_path / "precious/file").read_text() == "precious"


def test_what_is_left_of_a_beginning_and_of_an_end_goes(root: Path) -> None:
    (root / "run-0123abcd").mkdir(mode=0o700)
    (root / "run-0123abce").mkdir(mode=0o700)
    (root / "run-0123abce/.owner.json.17.new").write_text("{")
    swept = run_action("pg_scratch", {"state": "swept", "directory": str(root)})
    assert len(swept["removed"]) == 2 and list(root.iterdir()) == []


def test_a_leftover_that_stays_is_a_failure(root: Path) -> None:
    with another_run(given(root, "reserved", run="killed")) as (_process, made):
        pass
    with small_disk(Path(made["data_directory"]) / "mounted", 64):
        swept = run_action("pg_scratch", {"state": "swept", "directory": str(root)})
        assert swept["failed"] and swept["leaks"][0]["path"] == made["path"] and "mounted" in swept["msg"]
    assert run_action("pg_scratch", {"state": "swept", "directory": str(root)})["removed"] == [made["path"]]


def test_an_owner_who_cannot_be_asked_is_left_until_it_is_old(root: Path) -> None:
    elsewhere = {**ProcessIdentity.of(os.getpid(), "x").as_dict(), "boot_id": "another machine's", "host": "controller"}
    made = run_action("pg_scratch", given(root, "reserved", owner=elsewhere))
    assert run_action("pg_scratch", {"state": "swept", "directory": str(root)})["kept"] == [made["path"]]
    old = run_action("pg_scratch", {"state": "swept", "directory": str(root), "max_age_hours": 0})
    assert old["removed"] == [made["path"]]


def test_after_a_reboot_everything_is_a_leftover(root: Path) -> None:
    elsewhere = {**ProcessIdentity.of(os.getpid(), "x").as_dict(), "boot_id": "before"}
    made = run_action("pg_scratch", given(root, "reserved", owner=elsewhere))
    file = Path(made["path"]) / "owner.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "boot_id": "before"}))
    assert run_action("pg_scratch", {"state": "swept", "directory": str(root)})["removed"] == [made["path"]]


REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "too little space": ({"needed_bytes": 10**18}, ("MB are needed", "another disk")),
    "no account": ({"user": "nobody-of-that-name"}, ("no account", "user")),
    "root": ({"user": "root"}, ("unprivileged",)),
    "a run that is no name": ({"run": "../elsewhere"}, ("'../elsewhere'",)),
    "programs that are not there": ({"bin_directory": "/usr/share"}, ("found: none",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused(both: BothWays, root: Path, case: str) -> None:
    asked, words = REFUSED[case]
    result = both("pg_scratch", given(root, **asked))
    assert result["failed"] and result["outcome"] == "unverified", result
    assert all(word in result["msg"] for word in words), result["msg"]


@pytest.mark.parametrize("state", ["reserved", "present", "absent", "swept"])
def test_a_directory_that_is_not_there_holds_no_scratch(both: BothWays, root: Path, state: str) -> None:
    result = both("pg_scratch", given(root / "new", state), check=True)
    assert not result.get("failed") and result["changed"] == (state in ("reserved", "present")), result
    if state in ("absent", "swept"):
        assert both("pg_scratch", given(root / "new", state))["changed"] is False
    assert not (root / "new").exists()


def test_a_directory_that_others_may_write_to_is_refused(root: Path) -> None:
    root.chmod(0o777)
    result = run_action("pg_scratch", given(root))
    assert result["failed"] and "0777" in result["msg"] and list(root.iterdir()) == []


def test_a_path_too_long_for_a_socket_is_refused(root: Path) -> None:
    result = run_action("pg_scratch", given(root / ("long" * 20)))
    assert result["failed"] and "107 bytes" in result["msg"] and "shorter" in result["msg"]


def test_a_full_scratch_is_no_verdict_on_the_backup(tmp_path: Path, backup: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="dr-s-", dir="/tmp") as parent,
        small_disk(Path(parent) / "d", 30000) as disk,
    ):
        Path(parent).chmod(0o711)
        refused = run_action("pg_scratch", given(disk, logical=str(backup)))
        assert refused["failed"] and "MB are needed" in refused["msg"] and refused["outcome"] == "unverified"
        result = run_action("pg_scratch", given(disk, logical=str(backup), needed_bytes=1))
        assert result["outcome"] == "unverified", result
        said = [result.get("msg", ""), *(one["message"] for one in result["problems"])]
        assert any("No space left on device" in one for one in said), result
        run_action("pg_scratch", given(disk, "absent"))
        eventually(lambda: list(disk.iterdir()) == [], "an empty disk")
