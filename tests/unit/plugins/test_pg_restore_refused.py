"""What pg_restore refuses, and what it makes of damaged dumps: named, with a remedy, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.logical_support import data_file, sql_in
from tests.unit.plugins.restore_support import Place, dump, make_place
from tests.unit.servers import PostgresFactory, eventually


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture(scope="module")
def filled(postgres_factory: PostgresFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    server = postgres_factory(start=False)
    with (server.data / "postgresql.conf").open("a") as file:
        file.write("max_prepared_transactions = 5\n")
    server.start()
    place = make_place(server, tmp_path_factory.mktemp("dumps"))
    server.sql("CREATE DATABASE filled")
    sql_in(server, "filled", "CREATE TABLE theirs (id int)", "INSERT INTO theirs VALUES (1)")
    place.kept.add("filled")
    yield place
    server.stop()


@pytest.fixture
def place(filled: Place) -> Iterator[Place]:
    yield filled
    filled.clear()


def kinds(result: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in result["problems"]}


#: options, words of the message
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "template1": ({"database": "template1"}, ("template1", "beside")),
    "template0": ({"database": "template0"}, ("template0", "beside")),
    "postgres": ({"database": "postgres", "home": "template1"}, ("postgres", "beside")),
    "the session's own": ({"database": "postgres"}, ("postgres.database", "another")),
    "the dump's own": ({"database": "shop"}, ("dump's own", "beside")),
    "the dump's own, typed": ({"database": "shop", "into_existing": "shop"}, ("dump's own", "beside")),
    "not empty": ({"database": "filled"}, ("not empty", "into_existing")),
    "another name typed": ({"database": "filled", "into_existing": "fille"}, ("into_existing", "Type the name")),
    "typed, and not there": ({"database": "new", "into_existing": "new"}, ("does not exist", "correct database")),
    "no name": ({"database": ""}, ("1 to 63 bytes",)),
    "too long a name": ({"database": "ö" * 32}, ("1 to 63 bytes",)),
    "no jobs": ({"jobs": 0}, ("at least one",)),
    "unknown table": ({"tables": ["shop.itme"]}, ("shop.itme", "not in the dump")),
    "table without schema": ({"tables": ["item"]}, ("item", "shop.item")),
    "no tables": ({"tables": []}, ("tables is empty",)),
    "part of a plain dump": ({"src": "plain", "tables": ["shop.item"]}, ("plain dump", "beside")),
    "small disk": ({"needed_bytes": 1 << 60}, ("GB are needed", "Free space")),
    "no dump": ({"src": Path("/nowhere/x")}, ("No such file",)),
    "no progress file": ({"progress_file": "/nowhere/x"}, ("/nowhere/x", "progress_file")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_restore_that_must_not_be_is_refused(both: BothWays, place: Place, name: str) -> None:
    more, words = REFUSED[name]
    options = dict(more)
    before = place.databases()
    home = place.server.options(database=options.pop("home", "postgres"))
    given = place.given(options.pop("src", "custom"), options.pop("database", "new"), **options, postgres=home)
    for check in (True, False):
        if check and name == "no progress file":
            continue
        result = both("pg_restore", given, check=check)
        assert result["failed"] and not result["changed"] and result["outcome"] in ("failed", "unverified")
        assert all(word in result["msg"] for word in words), result["msg"]
        assert place.databases() == before
    assert sql_in(place.server, "filled", "SELECT id FROM theirs") == [(1,)] and place.comment("filled") == ""


def test_without_rights_nothing_is_tried(both: BothWays, place: Place, tmp_path: Path) -> None:
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:weak:a-weak-password\n")
    passfile.chmod(0o600)
    place.server.sql("DROP ROLE IF EXISTS weak", "CREATE ROLE weak LOGIN PASSWORD 'a-weak-password'")
    options = place.server.options(user="weak", passfile=str(passfile))
    refused = both("pg_restore", place.given("custom", "new", postgres=options))
    assert refused["failed"] and 'ALTER ROLE "weak" CREATEDB' in refused["msg"] and "new" not in place.databases()
    place.server.sql("ALTER ROLE weak CREATEDB", "CREATE DATABASE theirs")
    theirs = both("pg_restore", place.given("custom", "theirs", postgres=options))
    assert theirs["failed"] and "belongs to postgres" in theirs["msg"]
    failed = both("pg_restore", place.given("custom", "new", postgres=options))
    assert failed["failed"] and "new" not in place.databases() and not failed["left_behind"]
    options = place.server.options(user="weak", passfile="/nowhere")
    nobody = both("pg_restore", place.given("custom", "new", postgres=options))
    assert nobody["failed"] and nobody["outcome"] == "unverified" and "weak" in nobody["msg"]


def test_an_open_session_and_a_prepared_transaction_are_named(both: BothWays, place: Place) -> None:
    place.server.sql("CREATE DATABASE used")
    given = place.given("custom", "used")
    with contextlib.closing(place.server.connect(database="used")) as session:
        open_ = both("pg_restore", given)
        assert open_["failed"] and "sessions are open" in open_["msg"] and str(session.info.backend_pid) in open_["msg"]
        cursor = session.cursor()
        for statement in ("BEGIN", "CREATE TABLE t (id int)", "PREPARE TRANSACTION 'it''s stuck'"):
            cursor.execute(statement)
    prepared = both("pg_restore", given)
    assert prepared["failed"] and "it's stuck" in prepared["msg"] and "ROLLBACK PREPARED" in prepared["msg"]
    sql_in(place.server, "used", "ROLLBACK PREPARED 'it''s stuck'")
    sessions = "SELECT 1 FROM pg_stat_activity WHERE datname = 'used'"
    eventually(lambda: not place.server.sql(sessions), "the session's end")
    done = both("pg_restore", given)
    assert not done.get("failed") and not done["created"] and done["changed"] and done["jobs"] == 1


def test_into_one_that_exists_it_is_all_or_nothing(both: BothWays, place: Place, tmp_path: Path) -> None:
    server = place.server
    server.sql("CREATE DATABASE used", "COMMENT ON DATABASE used IS 'theirs'")
    sql_in(server, "used", "CREATE SCHEMA other", "CREATE TABLE other.theirs (id int)", "CREATE TABLE part (id int)")
    given = place.given("custom", "used", into_existing="used")
    failed = both("pg_restore", given)
    assert failed["failed"] and kinds(failed) == {"exists"} and not failed["left_behind"], failed["problems"]
    assert sql_in(server, "used", "SELECT 1 FROM pg_namespace WHERE nspname = 'shop'") == []
    assert place.comment("used") == "theirs"
    sql_in(server, "used", "DROP TABLE part")
    done = both("pg_restore", given)
    assert not done.get("failed") and done["changed"] and not done["created"], done
    assert sql_in(server, "used", "SELECT count(*) FROM shop.item, other.theirs") == [(0,)]
    assert place.comment("used").startswith("theirs\n[terragon") and not both("pg_restore", given)["changed"]


def cut(fraction: float) -> Callable[[int], int]:
    return lambda size: int(size * fraction)


#: where an archive is cut, as a function of its size
OFFSETS = {
    "empty": lambda size: 0, "magic": lambda size: 4, "head": lambda size: 60, "toc": lambda size: 1500,
    **{f"{percent} %": cut(percent / 100) for percent in range(5, 100, 10)},
    "last block": lambda size: size - 1024, "last bytes": lambda size: size - 4, "last byte": lambda size: size - 1,
}  # fmt: skip


@pytest.mark.parametrize("where", OFFSETS)
@pytest.mark.parametrize("kind", ["custom", "tar"])
def test_an_archive_that_was_cut_anywhere_leaves_nothing(place: Place, tmp_path: Path, kind: str, where: str) -> None:
    path = tmp_path / "cut"
    content = place.dumps[kind].read_bytes()
    path.write_bytes(content[: OFFSETS[where](len(content))])
    result = run_action("pg_restore", place.given(path, "new"))
    assert result["failed"] and result["outcome"] == "failed" and not result["left_behind"]
    assert kinds(result) & {"damaged_toc", "damaged_file", "bad_rows", "missing_file"}, result["problems"]
    assert "new" not in place.databases() and not result["changed"]
    assert all(one["remedy"] for one in result["problems"])


def patched(path: Path, old: bytes, new: bytes, target: Path) -> Path:
    """A copy with bytes replaced by as many others, in the table of contents where it is a directory."""
    assert len(old) == len(new)
    copied = Path(shutil.copytree(path, target) if path.is_dir() else shutil.copy(path, target))
    file = copied / "toc.dat" if copied.is_dir() else copied
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))
    return copied


def newer_tool(place: Place, target: Path) -> Path:
    """As a pg_dump of version 99 says of itself: the second of two versions in the header."""
    path = Path(shutil.copy(place.dumps["custom"], target))
    content = bytearray(path.read_bytes())
    version = sql_in(place.server, "postgres", "SHOW server_version")[0][0].encode()
    second = content.index(version, content.index(version) + 1)
    content[second : second + 2] = b"99"
    path.write_bytes(content)
    return path


def newer_server(place: Place, target: Path) -> Path:
    path = Path(shutil.copy(place.dumps["custom"], target))
    content = bytearray(path.read_bytes())
    version = sql_in(place.server, "postgres", "SHOW server_version")[0][0].encode()
    first = content.index(version)
    content[first : first + 2] = b"99"
    path.write_bytes(content)
    return path


def missing_data(place: Place, target: Path) -> Path:
    path = Path(shutil.copytree(place.dumps["directory"], target))
    data_file(path, "bought").unlink()
    return path


def plain(place: Place, target: Path, change: Callable[[str], str]) -> Path:
    target.write_text(change(place.dumps["plain"].read_text()))
    return target


def cut_rows(text: str) -> str:
    return text[: text.index("\n50\t", text.index("COPY public.part_1"))] + "\n"


#: damage, kind of the problem, a word of the message or remedy; the outcome if it is not failed
DAMAGED: dict[str, tuple[Callable[[Place, Path], Path], str, str, str]] = {
    "newer pg_dump": (newer_tool, "newer_than_tool", "99", "unverified"),
    "newer server": (newer_server, "newer_than_server", "99", "failed"),
    "missing extension": (
        lambda place, to: patched(place.dumps["directory"], b"pgcrypto", b"pgcrypt0", to),
        "missing_extension", "pgcrypt0", "failed",
    ),
    "missing role": (
        lambda place, to: patched(place.dumps["directory"], b"owner", b"0wner", to), "missing_role", "0wner", "failed",
    ),
    "missing data file": (missing_data, "missing_file", "shop.bought", "failed"),
    "missing large objects": (
        lambda place, to: (shutil.copytree(place.dumps["directory"], to), (to / "blobs.toc").unlink(), to)[2],
        "missing_file", "blobs.toc", "failed",
    ),
    "plain, cut in rows": (lambda place, to: plain(place, to, cut_rows), "cut_dump", "last line", "failed"),
    "plain, cut in rows, with the end of another": (
        lambda place, to: plain(place, to, lambda text: cut_rows(text) + "--\n-- PostgreSQL database dump complete\n"),
        "cut_dump", "part_1", "failed",
    ),
    "plain, cut at its end": (lambda place, to: plain(place, to, lambda text: text[:-200]), "cut_dump", "", "failed"),
    "plain, a bad row": (
        lambda place, to: plain(place, to, lambda text: text.replace("\n1001\titem", "\nx\titem")),
        "bad_rows", "integer", "failed",
    ),
    "plain, connects to the live one": (
        lambda place, to: dump(place.server, to, "--create"), "leads_out", "--create", "failed",
    ),
    "plain, pulls": (
        lambda place, to: plain(place, to, lambda text: text.replace("connect = false", "connect = true")),
        "would_pull", "pulls", "failed",
    ),
    "plain, missing role": (
        lambda place, to: plain(place, to, lambda text: text.replace("OWNER TO owner", "OWNER TO nobody_here")),
        "missing_role", "nobody_here", "failed",
    ),
    "plain, of a newer pg_dump": (
        lambda place, to: plain(place, to, lambda text: text.replace("SET lock_timeout", "SET transaction_timeout")),
        "newer_than_server", "transaction_timeout", "failed",
    ),
    "no dump": (lambda place, to: plain(place, to, lambda text: "hello"), "damaged_toc", "as a dump does", "failed"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_dump_is_named_and_leaves_nothing(place: Place, tmp_path: Path, name: str) -> None:
    damage, kind, word, outcome = DAMAGED[name]
    path = damage(place, tmp_path / "dump")
    before = place.databases()
    result = run_action("pg_restore", place.given(path, "new"))
    assert result["failed"] and result["outcome"] == outcome and kind in kinds(result), result
    told = " ".join(one["message"] + one["remedy"] for one in result["problems"])
    assert word in told and place.databases() == before and not result["changed"] and not result["left_behind"]


def test_a_failed_one_is_kept_when_asked_for_and_begun_again(place: Place, tmp_path: Path) -> None:
    path = plain(place, tmp_path / "bad.sql", lambda text: text.replace("\n1001\titem", "\nx\titem"))
    given = place.given(path, "kept")
    for _turn in range(2):
        kept = run_action("pg_restore", {**given, "keep_failed": True})
        assert kept["failed"] and kept["left_behind"] and kept["changed"] and '"failed"' in place.comment("kept")
    other = run_action("pg_restore", place.given("custom", "kept"))
    assert other["failed"] and "half restored, from another dump" in other["msg"]
    gone = run_action("pg_restore", given)
    assert gone["failed"] and not gone["left_behind"] and "kept" not in place.databases()


def test_a_server_that_is_away_leaves_it_unverified(both: BothWays, place: Place) -> None:
    options = {**place.server.options(), "port": 1}
    result = both("pg_restore", place.given("custom", "new", postgres=options))
    assert result["failed"] and result["outcome"] == "unverified" and str(os.getpid()) not in result["msg"]
    assert "port" in result["msg"]
