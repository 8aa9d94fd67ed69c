"""Physical backups: a real PostgreSQL, a real pgBackRest, two real stores over TLS, broken in every way we know."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import backrest_config
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_postmaster import Postmaster

from tests.unit.plugins.backrest_support import Archive, Store, pgbackrest, write_private
from tests.unit.plugins.both_ways import BothWays
from tests.unit.servers import PostgresFactory, S3Server, eventually, give_to_server_user

pytestmark = pytest.mark.skipif(
    shutil.which("pgbackrest") is None, reason="pgbackrest is not installed here: apt-get install pgbackrest"
)


@pytest.fixture(params=["module", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    """Calls the module one way, then the other."""
    return BothWays(request.param, capsys)


@pytest.fixture(scope="module")
def archive(
    servers_directory: Path, postgres_factory: PostgresFactory, s3_server_factory: Callable[..., S3Server]
) -> Archive:
    """Archiving is on, and each store has a full backup of a server with a table `kept`."""
    directory = servers_directory / "backrest"
    directory.mkdir(mode=0o755)
    stores = [Store(name, directory / f"store-{name}", s3_server_factory) for name in ("east", "west")]
    made = Archive(directory / "main", postgres_factory, stores)
    assert made.call("created")["changed"]
    made.archive_on()
    made.postgres.sql("CREATE TABLE kept (what text)")
    made.call("taken", type="full")
    return made


@contextlib.contextmanager
def gone(archive: Archive, number: int) -> Iterator[Store]:
    """A store is dead for the block."""
    store = archive.stores[number]
    store.server.kill()
    try:
        yield store
    finally:
        store.server.start()


def refusal(archive: Archive, state: str, **options: Any) -> RecoveryError:
    with pytest.raises(RecoveryError) as raised:
        archive.call(state, **options)
    return raised.value


def labels(result: dict[str, Any], number: int = 0) -> list[str]:
    return [one["label"] for one in result["repositories"][number]["backups"]]


def answered(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in result["repositories"] if one["name"] == name)


class TestLooking:
    def test_every_repository_and_backup_is_listed(self, archive: Archive, both: BothWays) -> None:
        found = both("pg_backrest", archive.options(rpo_seconds=3600))
        assert not found.get("failed"), found["msg"]
        assert (found["changed"], found["outcome"], found["problems"]) == (False, "passed", [])
        for name in ("east", "west"):
            entry = answered(found, name)
            first = entry["backups"][0]
            assert (first["type"], first["error"], entry["cipher"]) == ("full", False, "aes-256-cbc")
            assert first["wal_start"] <= first["wal_stop"] <= entry["archives"][0]["max"]
            assert first["bytes"] > first["repository_bytes"] > 0
            assert from_iso(first["started"]) <= from_iso(first["stopped"])
            assert entry["archives"][0]["timelines"][0]["timeline"] == 1
            assert entry["info"][0]["backup"][0]["label"] == first["label"]
        assert found["archive"]["outcome"] == "passed"

    def test_a_fresh_segment_is_seen_in_every_repository(self, archive: Archive, both: BothWays) -> None:
        before = archive.call()["repositories"][1]["archives"][0]["max"]
        found = both("pg_backrest", archive.options("checked", rpo_seconds=3600))
        assert (found["outcome"], found["changed"]) == ("passed", False)
        assert found["archive"]["checked_seconds"] > 0
        assert all(one["max"] > before for one in found["archive"]["repositories"])

    def test_without_the_server_the_lag_is_unverified(self, archive: Archive, both: BothWays) -> None:
        options = archive.options(rpo_seconds=3600)
        del options["postgres"]
        found = both("pg_backrest", options)
        assert (found["outcome"], found["archive"]["outcome"]) == ("unverified", "unverified")

    def test_a_stanza_that_is_there_stays(self, archive: Archive, both: BothWays) -> None:
        found = both("pg_backrest", archive.options("created"))
        assert (found["changed"], found["diff"]["before"]) == (False, {"stanza": {"east": True, "west": True}})


class TestTaking:
    def test_what_is_not_due_is_not_taken(self, archive: Archive, both: BothWays) -> None:
        before = archive.call()
        found = both("pg_backrest", archive.options("taken", schedule={"full": 604800, "incr": 3600}))
        assert (found["changed"], found["taken"], labels(found)) == (False, [], labels(before))

    def test_what_is_due_is_taken_where_it_is_asked_for(self, archive: Archive, both: BothWays) -> None:
        before = archive.call()
        options = archive.options("taken", schedule={"diff": 0}, copies=["west"])
        predicted = both("pg_backrest", options, check=True)
        assert (predicted["changed"], predicted["taken"]) == (True, [])
        found = both("pg_backrest", options)
        assert found["changed"] and found["diff"] == predicted["diff"]
        (taken,) = found["taken"]
        assert (taken["type"], taken["repository"]) == ("diff", "west")
        assert (labels(found, 0), labels(found, 1)) == (labels(before, 0), [*labels(before, 1), taken["label"]])

    def test_one_that_cannot_be_used_keeps_none_from_the_other(self, archive: Archive) -> None:
        before = archive.call()
        error = refusal(archive, "taken", config=str(altered(archive, {"repo1-path": "/nothing"})), type="incr")
        assert error.facts["error_kind"] == "StanzaMissing" and "repository east" in str(error)
        assert [one["repository"] for one in error.facts["taken"]] == ["west"]
        after = archive.call()
        assert (labels(after, 0), len(labels(after, 1))) == (labels(before, 0), len(labels(before, 1)) + 1)

    def test_a_standby_takes_none(
        self, archive: Archive, both: BothWays, postgres_factory: PostgresFactory, tmp_path: Path
    ) -> None:
        if not archive.standby:
            archive.standby = postgres_factory.standby_of(archive.postgres)
        options = archive.options("taken", type="full")
        options["postgres"] = archive.standby.options("dr_backup", passfile=str(archive.postgres.passfile))
        found = both("pg_backrest", options)
        assert found["failed"] and "it is a standby" in found["msg"]
        assert (
            both("pg_backrest", {**options, "state": "present", "rpo_seconds": 1})["archive"]["outcome"] == "unverified"
        )

    def test_two_at_once_wait_and_say_who(self, archive: Archive, both: BothWays) -> None:
        other = pgbackrest(archive, "--repo=1", "--type=full", "backup")
        lock = archive.directory / "lock" / "main-backup.lock"
        eventually(lambda: held(lock), "the other one's lock")
        other.send_signal(signal.SIGSTOP)
        try:
            found = both("pg_backrest", archive.options("taken", type="incr", lock_timeout=0.1))
            assert (found["failed"], found["error_kind"], found["taken"]) == (True, "Locked", [])
        finally:
            other.kill()
            other.wait()

    def test_killed_in_the_middle_it_is_listed_nowhere_and_begins_again(self, archive: Archive) -> None:
        before = archive.call()
        with more_data(archive):
            other = pgbackrest(archive, "--repo=1", "--type=full", "--log-level-console=detail", "backup")
            assert other.stdout is not None
            for line in other.stdout:
                if "backup file" in line:
                    break
            os.kill(other.pid, signal.SIGKILL)
            other.wait()
        assert labels(archive.call()) == labels(before)
        found = archive.call("taken", type="full", copies=["east"])
        assert labels(found) == [*labels(before), found["taken"][0]["label"]]
        assert archive.call("verified", copies=["east"])["outcome"] == "passed"


def held(lock: Path) -> bool:
    """Whether a process holds a lock file; one that was killed leaves the file behind."""
    with contextlib.suppress(FileNotFoundError), lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def more_data(archive: Archive) -> Iterator[None]:
    """More to back up than one breath."""
    archive.postgres.sql("CREATE TABLE ballast AS SELECT md5(i::text) FROM generate_series(1, 300000) i", "CHECKPOINT")
    try:
        yield
    finally:
        archive.postgres.sql("DROP TABLE ballast")


class TestOneStoreGone:
    def test_the_other_is_listed_used_and_archived_to(self, archive: Archive) -> None:
        archive.row("before")
        with gone(archive, 0):
            moment = archive.row("at the target")
            archive.row("after")
            segment = archive.switch()
            archive.archived(segment, archive.stores[1])
            found = archive.call(query_timeout=4, rpo_seconds=0)
            east, west = answered(found, "east"), answered(found, "west")
            assert (east["outcome"], east["error_kind"]) == ("unverified", "RepositoryUnreachable")
            assert "repository east" in east["reasons"][0]
            assert west["outcome"] == "passed"
            assert found["archive"]["seconds_behind"] is None
            assert (found["archive"]["outcome"], found["outcome"]) == ("failed", "failed")
            self.restore(archive, moment)
        archive.switch()  # a server whose archive_command failed looks again when there is more, or once a minute
        archive.archived(segment)
        eventually(lambda: archive.call("present", rpo_seconds=3600)["outcome"] == "passed", "healing")

    def restore(self, archive: Archive, moment: str) -> None:
        """From the store that is left, to a moment; archiving is off, and the server says so itself."""
        place = archive.empty("west")
        target = {"time": moment, "action": "pause"}
        found = archive.call("restored", directory=str(place), target=target, query_timeout=4)
        told = found["restored"]
        assert (told["repository"], told["directory"]) == ("west", str(place))
        assert told["bytes"] > 0 and told["bytes_per_second"] > 0
        assert told["recovery"]["archive_mode"] == "off"
        assert "--repo=2" in told["recovery"]["restore_command"]
        server = archive.start_restored(place)
        eventually(lambda: server.sql("SELECT pg_get_wal_replay_pause_state()")[0][0] == "paused", "the target")
        assert server.sql("SHOW archive_mode") == [("off",)]
        kept = [row[0] for row in server.sql("SELECT what FROM kept")]
        assert "at the target" in kept and "after" not in kept
        server.stop()


class TestRestoring:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"directory": "live"}, "live data directory"),
            ({"directory": "live/base"}, "live data directory"),
            ({"directory": "full"}, "it is not empty"),
            ({"directory": "relative"}, "it is relative"),
            ({"target": {"time": "2026-11-23 10:00:00"}}, "time without a zone"),
            ({"target": {"time": "2001-01-01T00:00:00Z"}}, "its first backup ended at"),
            ({"target": {"lsn": "0/1"}}, "its first backup ended at"),
            ({"target": {"lsn": "here"}}, "it is no position"),
            ({"target": {"xid": "7", "name": "x"}}, "it names name, xid"),
            ({"label": "20010101-000000F"}, "it has "),
            ({"repository": "north"}, "Name one of them"),
        ],
    )
    def test_what_nobody_can_mean_is_refused(
        self, archive: Archive, both: BothWays, change: dict[str, Any], said: str, tmp_path: Path
    ) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").touch()
        places = {"live": archive.postgres.data, "live/base": archive.postgres.data / "base", "full": tmp_path / "full"}
        given = {"directory": "new", **change}
        directory = given.pop("directory")
        path = directory if directory == "relative" else str(places.get(directory, tmp_path / directory))
        if directory == "relative" and both.way == "module":
            said = "it is relative"
        found = both("pg_backrest", archive.options("restored", directory=path, **given))
        assert found["failed"] and said in found["msg"], found["msg"]
        assert not (tmp_path / "new").exists()

    def test_check_mode_says_what_would_be_and_makes_nothing(self, archive: Archive, both: BothWays) -> None:
        place = archive.empty("predicted")
        found = both("pg_backrest", archive.options("restored", directory=str(place)), check=True)
        assert (found["changed"], found["diff"]["after"]["repository"]) == (True, "east")
        assert not place.exists() and found["restored"] is None

    def test_a_full_disk_is_named(self, archive: Archive, both: BothWays) -> None:
        """The kernel refuses every byte beyond a limit, as lab/faults/disk.py does."""
        limited = archive.directory / "limited"
        limited.write_text('#!/bin/sh\nexec prlimit --fsize=200000 pgbackrest --log-level-file=off "$@"\n')
        limited.chmod(0o755)
        place = archive.empty(f"full-{both.way}")
        options = archive.options("restored", directory=str(place), program=str(limited), repository="west")
        found = both("pg_backrest", options)
        assert (found["failed"], found["error_kind"]) == (True, "NoRoom"), found["msg"]
        assert not (place / "global" / "pg_control").exists()


class TestDamage:
    def test_a_healthy_repository_passes(self, archive: Archive, both: BothWays) -> None:
        found = both("pg_backrest", archive.options("verified"))
        assert (found["outcome"], found["problems"]) == ("passed", [])
        assert all(one["backups"] and one["archives"] for one in found["verified"])

    def test_a_missing_segment_is_named(self, archive: Archive, both: BothWays) -> None:
        segments = [archive.switch() for _ in range(3)]
        archive.archived(segments[-1])
        store = archive.stores[1]
        (key,) = store.keys(segments[1])
        data = store.read(key)
        store.remove(key)
        try:
            found = both("pg_backrest", archive.options("verified", required=False))
        finally:
            store.write(key, data)
        assert found["outcome"] == "failed"
        assert found["problems"] == [f"WAL segment {segments[1]} is missing in west."]

    def test_a_flipped_bit_in_the_wal_is_named(self, archive: Archive) -> None:
        segment = archive.switch()
        archive.archived(segment)
        with archive.stores[0].flipped(segment):
            found = archive.call("verified", required=False)
        assert [one["outcome"] for one in found["verified"]] == ["failed", "passed"]
        assert any(segment in problem for problem in found["problems"])

    def test_a_flipped_bit_in_a_backup_is_named_and_restored_by_nobody(self, archive: Archive) -> None:
        label = labels(archive.call())[0]
        store = archive.stores[0]
        part = max(store.keys(f"{label}/bundle/"), key=lambda key: len(store.read(key)))
        with store.flipped(part):
            found = archive.call("verified", required=False, copies=["east"])
            assert found["outcome"] == "failed" and any(label in problem for problem in found["problems"])
            place = archive.empty("flipped")
            error = refusal(archive, "restored", directory=str(place), repository="east", label=label)
        assert error.facts["error_kind"] == "Damaged", error
        assert not (place / "global" / "pg_control").exists()


class TestWrong:
    def test_the_cipher_pass(self, archive: Archive, both: BothWays) -> None:
        path = archive.directory / f"wrong-{both.way}.conf"
        text = archive.config.read_text().splitlines()
        write_private(
            path, "\n".join("repo1-cipher-pass=" + "x" * 40 if "repo1-cipher-pass" in one else one for one in text)
        )
        give_to_server_user(path)
        found = both("pg_backrest", archive.options("taken", config=str(path), type="incr", copies=["east"]))
        assert (found["failed"], found["error_kind"]) == (True, "WrongCipherPass"), found["msg"]
        assert "east" in found["msg"] and "x" * 40 not in json.dumps(found)

    @pytest.mark.parametrize(
        ("change", "kind", "outcome"),
        [
            ({"repo1-path": "/nothing"}, "StanzaMissing", "failed"),
            ({"repo1-s3-key-secret": "wrong"}, "RepositoryRefused", "unverified"),
            ({"repo1-s3-bucket": "nobodys"}, "RepositoryRefused", "unverified"),
            ({"repo1-storage-ca-file": "/etc/ssl/certs/ca-certificates.crt"}, "RepositoryUnreachable", "unverified"),
            ({"repo1-storage-port": "1"}, "RepositoryUnreachable", "unverified"),
        ],
    )
    def test_a_repository(self, archive: Archive, change: dict[str, str], kind: str, outcome: str) -> None:
        path = altered(archive, change)
        entry = archive.call(config=str(path), query_timeout=4)["repositories"][0]
        assert entry["outcome"] == outcome, entry
        error = refusal(archive, "taken", config=str(path), copies=["east"], type="incr", query_timeout=4)
        assert error.facts["error_kind"] == kind, error
        assert "repository east (repo1)" in str(error)

    def test_another_cluster_gets_no_place_in_the_stanza(
        self, archive: Archive, both: BothWays, postgres_factory: PostgresFactory
    ) -> None:
        other = archive.another_cluster()
        path = altered(archive, {"pg1-path": str(other.data), "pg1-port": str(other.port)})
        options = archive.options("taken", config=str(path), type="full")
        options["postgres"] = other.options("postgres")
        found = both("pg_backrest", options)
        assert (found["failed"], found["error_kind"]) == (True, "OtherSystem"), found["msg"]

    def test_a_server_that_is_newer_than_the_tool(self, archive: Archive, both: BothWays, tmp_path: Path) -> None:
        (tmp_path / "PG_VERSION").write_text("99\n")
        path = altered(archive, {"pg1-path": str(tmp_path)})
        found = both("pg_backrest", archive.options("created", config=str(path)))
        assert (found["failed"], found["error_kind"]) == (True, "NewerServer"), found["msg"]
        assert "99" in found["msg"]

    def test_a_configuration_that_others_may_read(self, archive: Archive, both: BothWays) -> None:
        path = altered(archive, {})
        path.chmod(0o644)
        found = both("pg_backrest", archive.options(config=str(path)))
        assert found["failed"] and "others may read it" in found["msg"]


def altered(archive: Archive, change: dict[str, str]) -> Path:
    """The configuration with other values."""
    path = archive.directory / f"altered-{time.monotonic_ns()}.conf"
    lines = [one if (key := one.partition("=")[0]) not in change else f"{key}={change[key]}"
             for one in archive.config.read_text().splitlines()]  # fmt: skip
    write_private(path, "\n".join(lines) + "\n")
    give_to_server_user(path)
    return path


class TestExpiring:
    def test_only_what_may_go_goes_and_check_mode_says_it(self, archive: Archive) -> None:
        for _missing in range(3 - [one["type"] for one in archive.call()["repositories"][0]["backups"]].count("full")):
            archive.call("taken", type="full", copies=["east"])
        full = [one["label"] for one in archive.call()["repositories"][0]["backups"] if one["type"] == "full"]
        base = {"full_days": 0, "diff_days": None, "archive_days": None, "minimum_full": 1, "keep": []}
        kept = {**base, "keep": [full[0]]}
        assert archive.call("expired", retention=kept, copies=["east"])["expired"] == {"east": []}
        two = {**base, "keep": [full[-2]]}
        predicted = archive.call("expired", True, retention=two, copies=["east"])
        assert set(full[:-2]) <= set(predicted["expired"]["east"])
        assert labels(archive.call())[0] == full[0]
        done = archive.call("expired", retention=two, copies=["east"])
        assert done["expired"] == predicted["expired"] and done["diff"] == predicted["diff"]
        left = [one["label"] for one in done["repositories"][0]["backups"] if one["type"] == "full"]
        assert left == full[-2:]
        assert archive.call("verified", copies=["east"])["outcome"] == "passed"

    def test_a_label_that_is_nowhere_is_refused(self, archive: Archive, both: BothWays) -> None:
        found = both(
            "pg_backrest", archive.options("expired", retention={"full_days": 0, "keep": ["20010101-000000F"]})
        )
        assert found["failed"] and "has no such backup" in found["msg"]


class TestFence:
    def test_a_frozen_store_does_not_keep_a_server_from_being_stopped(self, archive: Archive) -> None:
        """archive_command hangs in the frozen store; a guard's stop ends the server all the same, in order."""
        archive.stores[1].server.pause()
        try:
            archive.row("while frozen")
            segment = archive.switch()
            waiting = archive.postgres.data / "pg_wal" / "archive_status" / f"{segment}.ready"
            eventually(lambda: pushing(archive), "archive_command")
            assert waiting.exists()
            how = Postmaster(archive.postgres.data).stop(60.0, orderly_seconds=5.0)
            assert archive.postgres.pid() is None, how
            assert Postmaster(archive.postgres.data).last_checkpoint().get("cluster state") == "shut down"
        finally:
            archive.stores[1].server.resume()
        archive.postgres.start()
        archive.archived(segment)


def pushing(archive: Archive) -> bool:
    """Whether archive_command runs now."""
    done = subprocess.run(["pgrep", "-f", f"config={archive.config}.*archive-push"], capture_output=True, check=False)
    return done.returncode == 0


def test_the_configuration_module_says_no_secret(archive: Archive, both: BothWays, tmp_path: Path) -> None:
    again = both("pg_backrest_config", archive.configuration)
    assert (again["changed"], again["repositories"]) == (False, ["east", "west"])
    path = archive.directory / f"fresh-{both.way}.conf"
    predicted = both("pg_backrest_config", {**archive.configuration, "path": str(path)}, check=True)
    assert predicted["changed"] and not path.exists()
    made = both("pg_backrest_config", {**archive.configuration, "path": str(path)})
    assert made["diff"] == predicted["diff"] and path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == archive.config.read_text()
    secret = (archive.directory / "cipher-pass").read_text().strip()
    told = json.dumps([predicted, made, again])
    assert secret in path.read_text() and secret not in told and archive.stores[0].server.secret_key not in told
    assert "repo1-cipher-pass=(secret, new)" in told


def test_a_repository_keeps_its_cipher_pass(archive: Archive, both: BothWays, tmp_path: Path) -> None:
    write_private(tmp_path / "other", "another pass that is long enough\n")
    repositories = [
        {**one, "cipher_pass_file": str(tmp_path / "other")} for one in archive.configuration["repositories"]
    ]
    found = both("pg_backrest_config", {**archive.configuration, "repositories": repositories})
    assert found["failed"] and "encrypted with another one" in found["msg"]
    assert backrest_config.run(archive.configuration, True)["changed"] is False


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"options": {"repo1-cipher-pass": "x"}}, "in plain sight"),
        ({"repository": {"endpoint_url": "http://127.0.0.1:1"}}, "speaks TLS only"),
        ({"repository": {"cipher_pass_file": "/nowhere"}}, "Put it there"),
        ({"repository": {"profile": "nobody"}}, "no such profile"),
        ({"owner": "nobody-of-that-name"}, "Correct owner"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(
    archive: Archive, both: BothWays, change: dict[str, Any], said: str
) -> None:
    given = {**archive.configuration, **change}
    repositories = [{**one, **given.pop("repository", {})} for one in given["repositories"][:1]]
    found = both("pg_backrest_config", {**given, "repositories": repositories})
    assert found["failed"] and said in found["msg"], found["msg"]


class TestPromoted:
    """Last: the cluster has two primaries from here on."""

    def test_what_nobody_archived_is_handed_in(self, archive: Archive, postgres_factory: PostgresFactory) -> None:
        standby = archive.standby or postgres_factory.standby_of(archive.postgres)
        archive.postgres.sql("ALTER SYSTEM SET archive_command = 'false'", "SELECT pg_reload_conf()")
        standby.sql("ALTER SYSTEM SET wal_keep_size = '64MB'", "SELECT pg_reload_conf()")
        ((since,),) = archive.postgres.sql("SELECT clock_timestamp()")
        failing = f"SELECT last_failed_wal FROM pg_stat_archiver WHERE last_failed_time > '{since}'"
        eventually(lambda: archive.switch() and archive.postgres.sql(failing), "the archiver's new setting")
        archive.row("the last one")
        ((end,),) = archive.postgres.sql("SELECT pg_current_wal_lsn()")
        eventually(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{end}'") == [(True,)], "the standby")
        archive.postgres.stop()
        path = altered(archive, {"pg1-path": str(standby.data), "pg1-port": str(standby.port)})
        server = standby.options("dr_backup", passfile=str(archive.postgres.passfile))
        given: dict[str, Any] = {"config": str(path), "postgres": server, "required": False}
        assert archive.call("archived", **given)["archived"] == []  # it is a standby
        standby.sql("SELECT pg_promote()")
        predicted = archive.call("archived", True, **given)
        done = archive.call("archived", **given)
        segments = done["archived"]
        assert segments
        assert predicted["archived"] == segments, done["problems"]
        assert (predicted["changed"], done["changed"], archive.call("archived", **given)["changed"]) == (
            True,
            True,
            False,
        )
        assert all(store.keys(segment) for store in archive.stores for segment in segments)
