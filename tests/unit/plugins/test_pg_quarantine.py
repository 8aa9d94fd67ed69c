"""A damaged cluster is set aside, looked at, exchanged for a recovered one, and taken back: nothing is ever lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import quarantine, standby_files
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_hba import HbaFile

from tests.unit.plugins.both_ways import BothWays
from tests.unit.servers import PostgresFactory, PostgresServer, as_server_user, give_to_server_user


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@dataclass
class Place:
    """A stopped cluster that says "damaged", and beside it a recovered one of the same system that says "recovered"."""

    both: BothWays
    server: PostgresServer
    recovered: Path
    directory: Path

    def call(self, state: str, check: bool = False, **more: Any) -> dict[str, Any]:
        given = {"state": state, "data_directory": str(self.server.data), "incident": "INC-7", **more}
        if state in ("opened", "closed"):
            given["directory"] = str(self.directory)
        if state == "placed":
            given = {"recovered": str(self.recovered), "hba_file": str(self.server.data / "pg_hba.conf"), **given}
        return self.both("pg_quarantine", given, check)

    @property
    def damaged(self) -> Path:
        return self.server.data.with_name("data.damaged-INC-7")

    def opened_hba(self) -> None:
        """Do what the guard does once it holds the lease."""
        HbaFile(self.server.data / "pg_hba.conf").open()

    def says(self) -> str:
        """Start whatever is in the place, ask it, and stop it again."""
        self.opened_hba()
        self.server.start()
        said = str(self.server.sql("SELECT word FROM said")[0][0])
        self.server.stop("fast")
        return said


@pytest.fixture(params=["module", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def place(both: BothWays, postgres_factory: PostgresFactory) -> Iterator[Place]:
    server = postgres_factory()
    server.sql("CREATE TABLE said (word text)")
    server.sql("INSERT INTO said VALUES ('recovered')")
    server.stop("fast")
    recovered = server.directory / "recovery" / "data"
    recovered.parent.mkdir()
    shutil.copytree(server.data, recovered, symlinks=True)
    for path in (recovered.parent, recovered, *recovered.rglob("*")):
        give_to_server_user(path)
    (recovered / "postgresql.conf").write_text("# the backup's\n")
    server.start()
    server.sql("UPDATE said SET word = 'damaged'")
    server.stop("fast")
    directory = Path(tempfile.mkdtemp(prefix="dr-q-", dir="/tmp"))
    directory.chmod(0o711)
    yield Place(both, server, recovered, directory)
    for data in (server.data, server.data.with_name("data.damaged-INC-7")):
        if (data / "postmaster.pid").exists():
            subprocess.run(
                [server.bin / "pg_ctl", "-D", data, "stop", "-m", "immediate"], check=False, **as_server_user()
            )
    shutil.rmtree(directory, ignore_errors=True)


def ok(result: dict[str, Any]) -> dict[str, Any]:
    assert not result.get("failed"), result.get("msg")
    return result


def test_the_whole_way_there_each_step_once(place: Place) -> None:
    before = {path.name for path in place.server.data.iterdir()}
    assert ok(place.call("aside", check=True))["stage"] == "aside" and place.server.data.exists()
    assert ok(place.call("aside"))["changed"] and not place.server.data.exists()
    assert not ok(place.call("aside"))["changed"]

    opened = ok(place.call("opened"))
    assert opened["changed"] and opened["read_only"] and not ok(place.call("opened"))["changed"]
    where = {name: opened["connection"][name] for name in ("host", "port", "user")}
    session = psycopg2.connect(dbname="postgres", **where)
    session.autocommit = True
    cursor = session.cursor()
    cursor.execute("SELECT word FROM said")
    assert cursor.fetchone() == ("damaged",)
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        cursor.execute("UPDATE said SET word = 'more damage'")
    session.close()
    assert "server runs" in place.call("placed")["msg"]
    assert ok(place.call("closed"))["changed"] and not ok(place.call("closed"))["changed"]
    assert {path.name for path in place.damaged.iterdir()} == before and not place.directory.exists()

    assert ok(place.call("placed", check=True))["stage"] == "placed" and place.recovered.exists()
    placed = ok(place.call("placed"))
    assert placed["stage"] == "placed" and placed["kept"] == str(place.damaged) and placed["kept_bytes"] > 1 << 20
    assert "postgresql.conf" in placed["own_files"] and placed["control"]["state"] == "shut down"
    assert "the backup's" not in (place.server.data / "postgresql.conf").read_text()
    assert (place.server.data / "pg_hba.conf").read_text().startswith("# FENCED")
    assert not ok(place.call("placed"))["changed"]
    assert "no server runs" in place.call("removed")["msg"] and place.damaged.exists()

    assert place.says() == "recovered"
    place.server.start()
    assert ok(place.call("removed", check=True))["removed"] == [str(place.damaged)] and place.damaged.exists()
    assert ok(place.call("removed"))["removed"] == [str(place.damaged)] and not place.damaged.exists()
    assert not ok(place.call("removed"))["changed"]


def test_the_way_back_keeps_both(place: Place) -> None:
    ok(place.call("aside"))
    ok(place.call("opened"))
    ok(place.call("closed"))
    ok(place.call("placed"))
    assert "server runs" in running(place, lambda: place.call("returned"))["msg"]
    returned = ok(place.call("returned"))
    assert returned["stage"] == "returned" and returned["kept"].endswith("data.recovered-INC-7")
    assert not ok(place.call("returned"))["changed"]
    assert place.says() == "damaged"
    assert "returned" in place.call("placed")["msg"]  # not twice in one incident


def running(place: Place, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Act while a server runs in the data directory."""
    place.opened_hba()
    place.server.start()
    found = act()
    place.server.stop("fast")
    return found


def test_a_data_directory_that_is_gone_is_recovered_from_the_backups_own_configuration(place: Place) -> None:
    conf = (place.server.data / "postgresql.conf").read_text()
    (place.recovered / "postgresql.conf").write_text(conf)
    auto = place.recovered / "postgresql.auto.conf"
    (place.recovered / "postgresql.auto.conf.restored").write_text(
        "work_mem = '5MB'\nrestore_command = 'x'\nrecovery_target_lsn = '0/1'\narchive_mode = 'off'\n"
    )
    shutil.rmtree(place.server.data)
    assert ok(place.call("observed"))["stage"] == "lost"
    assert ok(place.call("aside"))["stage"] == "aside"
    assert "no cluster was left" in place.call("opened")["msg"]
    assert "no cluster" in place.call("returned")["msg"]
    ok(place.call("placed", settings={"work_mem": "6MB", "cluster_name": "it's"}))
    assert auto.exists() is False and place.says() == "recovered"
    said = (place.server.data / "postgresql.auto.conf").read_text()
    assert said == "cluster_name = 'it''s'\nwork_mem = '6MB'\n"
    assert os.stat(place.server.data / "postgresql.auto.conf").st_uid == os.stat(place.server.data).st_uid


@pytest.mark.parametrize("both", ["action"], indirect=True)
def test_a_run_that_is_killed_anywhere_is_made_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every durable effect in turn is the last one: the same calls again come to the same end."""
    real_move, real_settle = standby_files.move, quarantine.settle
    killed = 0

    def dies(real: Callable[..., Any], after: bool) -> Callable[..., Any]:
        def act(*given: Any) -> Any:
            nonlocal killed
            killed += 1
            done = real(*given) if after else None
            if killed <= 8 and killed % 2 == 1:
                raise Killed
            return done if after else real(*given)

        return act

    monkeypatch.setattr(quarantine.files, "move", dies(real_move, after=True))
    monkeypatch.setattr(quarantine, "settle", dies(real_settle, after=True))
    for state in ("aside", "placed", "returned"):
        for _attempt in range(6):
            try:
                ok(place.call(state))
                break
            except Killed:
                continue
        there = [path for path in (place.server.data, place.damaged, place.recovered) if (path / "PG_VERSION").exists()]
        there += list(place.server.directory.glob("data.recovered-*"))
        assert len(there) == 2, there
    monkeypatch.undo()
    assert killed > 4 and ok(place.call("observed"))["stage"] == "returned"
    assert place.says() == "damaged" and not list(place.server.directory.glob("data.config-*"))


def test_refusals_change_nothing(place: Place) -> None:
    assert "plain name" in place.call("aside", incident="../x")["msg"]
    assert "its server runs" in running(place, lambda: place.call("aside"))["msg"] and place.server.data.exists()
    assert "it is untouched" in place.call("placed")["msg"]
    ok(place.call("aside"))
    assert "nothing stands in its place" in place.call("removed")["msg"] and place.damaged.exists()
    (place.recovered / "standby.signal").touch()
    assert "not a primary" in place.call("placed")["msg"]
    (place.recovered / "standby.signal").unlink()
    stranger = PostgresServer(place.server.directory / "stranger").initialise()
    assert "system identifier" in place.call("placed", recovered=str(stranger.data))["msg"]
    assert place.damaged.exists() and place.recovered.exists()
