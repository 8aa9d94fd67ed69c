"""Every planted defect of a logical backup is caught and named: by the checksums of its seal, or by its restore."""

from __future__ import annotations

import contextlib
import json
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
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums import hash_tree
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_compare import compare_sums
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_postmaster import Postmaster
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.logical_judge import judge
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.logical_messages import (
    Problem,
    Problems,
    Reader,
    outcome_of,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.logical_restore import (
    Restore,
    restore_logical,
)

from tests.unit.plugins.both_ways import run_action
from tests.unit.plugins.logical_support import NEWER_PROGRAMS, back_up, data_file, make_shop
from tests.unit.servers import PostgresFactory, PostgresServer

GZIP, LZ4, ZSTD = "gzip", "lz4", "zstd"


@dataclass
class Bench:
    """Healthy backups by compression, and a scratch server that takes one restore after the other."""

    healthy: dict[str, Path]
    scratch: dict[str, Any]

    def restore(self, directory: Path, **more: Any) -> list[dict[str, str]]:
        """What a restore into the emptied scratch finds."""
        self.clear()
        given = {
            "jobs": 2,
            "globals": directory / "globals.sql",
            "bin_directory": NEWER_PROGRAMS,
            "timeout": 120.0,
            **more,
        }
        spaces = Path(self.scratch["path"]) / "tablespaces"
        options = {**self.scratch["connection"], "database": "template1"}
        return restore_logical(Restore(directory / "dump", options, tablespaces=spaces, **given)).problems

    def clear(self) -> None:
        """Take away what an earlier restore made."""
        where = {name: self.scratch["connection"][name] for name in ("host", "port", "user")}
        with contextlib.closing(psycopg2.connect(dbname="template1", **where)) as session:
            session.autocommit = True
            cursor = session.cursor()
            cursor.execute("DROP DATABASE IF EXISTS shop")
            cursor.execute(
                "SELECT quote_ident(rolname) FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres'"
            )
            for (role,) in cursor.fetchall():
                cursor.execute(f"DROP ROLE {role}")

    def sql(self, statement: str) -> None:
        """Run one statement in the scratch."""
        where = {name: self.scratch["connection"][name] for name in ("host", "port", "user")}
        with contextlib.closing(psycopg2.connect(dbname="template1", **where)) as session:
            session.autocommit = True
            session.cursor().execute(statement)


@pytest.fixture(scope="module")
def source(postgres_factory: PostgresFactory) -> Iterator[PostgresServer]:
    server = postgres_factory()
    make_shop(server)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def bench(source: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    parent = tmp_path_factory.mktemp("backups")
    healthy = {}
    for compression in (GZIP, LZ4, ZSTD):
        healthy[compression] = parent / compression
        back_up(source, healthy[compression], compression=compression, bin_directory=NEWER_PROGRAMS)
    root = Path(tempfile.mkdtemp(prefix="dr-s-", dir="/tmp"))
    root.chmod(0o711)
    scratch = run_action("pg_scratch", {"directory": str(root), "run": "defects", "memory_mb": 512})
    assert not scratch.get("failed"), scratch
    yield Bench(healthy, scratch)
    Postmaster(Path(scratch["data_directory"])).stop(2.0)
    shutil.rmtree(root)


def truncate_data(dump: Path) -> None:
    file = data_file(dump, "bought")
    os.truncate(file, file.stat().st_size // 2)


def remove_data(dump: Path) -> None:
    data_file(dump, "bought").unlink()


def empty_data(dump: Path) -> None:
    os.truncate(data_file(dump, "bought"), 0)


def flip(file: Path, at: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(len(content) * at)] ^= 0x10
    file.write_bytes(content)


def flip_data(dump: Path) -> None:
    flip(data_file(dump, "bought"), 0.5)


def swap_data(dump: Path) -> None:
    """Two tables with the same columns: their rows change places, and nothing in the dump can tell."""
    one, two = data_file(dump, "item"), data_file(dump, "twin")
    one.rename(dump / "x")
    two.rename(one)
    (dump / "x").rename(two)


def truncate_toc(dump: Path) -> None:
    os.truncate(dump / "toc.dat", (dump / "toc.dat").stat().st_size // 2)


def garble_toc(dump: Path) -> None:
    (dump / "toc.dat").write_bytes(b"\0" * 4096)


def remove_toc(dump: Path) -> None:
    (dump / "toc.dat").unlink()


def tamper_globals(dump: Path) -> None:
    file = dump.parent / "globals.sql"
    file.write_text(file.read_text().replace("CREATE ROLE owner;", "CREATE ROLE owner;\n\\! touch /tmp/dr-owned\n"))


def smuggle_globals(dump: Path) -> None:
    file = dump.parent / "globals.sql"
    evil = "COPY pg_shdescription TO PROGRAM 'touch /tmp/dr-owned';"
    file.write_text(file.read_text().replace("CREATE ROLE owner;", f"CREATE ROLE owner;\n{evil}"))


def cut_globals(dump: Path) -> None:
    file = dump.parent / "globals.sql"
    os.truncate(file, file.stat().st_size * 2 // 3)


def drop_role(dump: Path) -> None:
    file = dump.parent / "globals.sql"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith(("CREATE ROLE owner", "ALTER ROLE owner"))))


def add_file(dump: Path) -> None:
    (dump / "9999.dat").write_text("1\tnot of this dump\n")


def remove_facts(dump: Path) -> None:
    (dump.parent / "facts.json").unlink()


def mark_unfinished(dump: Path) -> None:
    (dump.parent / ".partial").write_text("{}")


def another_database(dump: Path) -> None:
    file = dump.parent / "facts.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "database": "warehouse"}))


def age(dump: Path) -> None:
    file = dump.parent / "facts.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "moment": "2026-01-01T00:00:00Z"}))


@dataclass(frozen=True)
class Defect:
    """`checksums` is the difference that the seal names; `restored` the kind of problem, without any seal."""

    plant: Callable[[Path], None]
    compression: str
    checksums: str
    restored: str | None


#: None: a restore may succeed with other content, so that only the seal's checksums tell
DEFECTS = {
    "truncated data, gzip": Defect(truncate_data, GZIP, "truncated", "damaged_file"),
    "truncated data, lz4": Defect(truncate_data, LZ4, "truncated", "missing_rows"),
    "truncated data, zstd": Defect(truncate_data, ZSTD, "truncated", "missing_rows"),
    "missing data": Defect(remove_data, GZIP, "missing", "missing_file"),
    "missing data, zstd": Defect(remove_data, ZSTD, "missing", "missing_file"),
    "empty data": Defect(empty_data, GZIP, "truncated", "missing_rows"),
    "flipped byte, gzip": Defect(flip_data, GZIP, "changed", "damaged_file"),
    "flipped byte, lz4": Defect(flip_data, LZ4, "changed", None),
    "flipped byte, zstd": Defect(flip_data, ZSTD, "changed", None),
    "swapped data": Defect(swap_data, GZIP, "swapped", "missing_rows"),
    "truncated toc": Defect(truncate_toc, GZIP, "truncated", "damaged_toc"),
    "garbled toc": Defect(garble_toc, GZIP, "", "damaged_toc"),
    "missing toc": Defect(remove_toc, ZSTD, "missing", "damaged_toc"),
    "tampered globals": Defect(tamper_globals, GZIP, "grown", "tampered_globals"),
    "smuggled statement": Defect(smuggle_globals, GZIP, "grown", "tampered_globals"),
    "cut globals": Defect(cut_globals, GZIP, "truncated", "damaged_globals"),
    "missing role": Defect(drop_role, GZIP, "truncated", "missing_role"),
    "extra file": Defect(add_file, GZIP, "extra", None),
    "missing facts": Defect(remove_facts, GZIP, "missing", "incomplete_backup"),
    "unfinished": Defect(mark_unfinished, GZIP, "extra", "incomplete_backup"),
    "another database": Defect(another_database, GZIP, "", "other_database"),
    "stale": Defect(age, GZIP, "", "stale_backup"),
}


@pytest.fixture
def copy(bench: Bench, tmp_path: Path) -> Callable[[str], Path]:
    def make(compression: str) -> Path:
        return Path(shutil.copytree(bench.healthy[compression], tmp_path / "backup"))

    return make


def found_by_restore(bench: Bench, backup: Path) -> list[str]:
    facts, judged = judge(backup, "shop", 86400.0)
    if any(one.kind == "incomplete_backup" for one in judged):
        return [one.kind for one in judged]
    return [*(one.kind for one in judged), *(one["kind"] for one in bench.restore(backup, facts=facts))]


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_caught_and_named(bench: Bench, copy: Callable[[str], Path], name: str) -> None:
    defect = DEFECTS[name]
    backup = copy(defect.compression)
    sealed = hash_tree(backup)
    defect.plant(backup / "dump")
    differences = [one.kind for one in compare_sums(sealed, hash_tree(backup))]
    assert differences and (not defect.checksums or defect.checksums in differences), differences
    if defect.restored is not None:
        kinds = found_by_restore(bench, backup)
        assert defect.restored in kinds, kinds
    assert not Path("/tmp/dr-owned").exists()


@pytest.mark.parametrize("compression", [GZIP, LZ4, ZSTD])
def test_a_healthy_backup_raises_no_alarm(bench: Bench, copy: Callable[[str], Path], compression: str) -> None:
    backup = copy(compression)
    facts, judged = judge(backup, "shop", 86400.0)
    assert judged == [] and bench.restore(backup, facts=facts) == []
    assert compare_sums(hash_tree(bench.healthy[compression]), hash_tree(backup)) == []


def test_a_dump_newer_than_the_tools_is_unverified(bench: Bench) -> None:
    old = "/usr/lib/postgresql/15/bin"
    if not Path(old, "pg_restore").exists():
        pytest.skip("no older PostgreSQL is installed")
    problems = bench.restore(bench.healthy[ZSTD], bin_directory=old)
    assert [one["kind"] for one in problems] == ["newer_than_tool"] and outcome_of(problems) == "unverified"
    assert "17.10" in problems[0]["message"] and "15." in problems[0]["message"] and "17" in problems[0]["remedy"]


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_a_plain_dump_that_was_cut_is_told_from_a_whole_one(
    bench: Bench, source: PostgresServer, tmp_path: Path, cut: bool
) -> None:
    """psql loads the first rows of a table whose COPY was cut, and ends with 0."""
    plain = tmp_path / "shop.sql"
    argv = [str(source.bin / "pg_dump"), "-h", source.host, "-p", str(source.port), "-U", "postgres", "-f", str(plain)]
    environment = {**os.environ, "PGPASSFILE": str(source.passfile)}
    subprocess.run([*argv, "-t", "public.part*", "shop"], env=environment, check=True)
    if cut:
        text = plain.read_text()
        plain.write_text(text[: text.index("\n50\t", text.index("COPY public.part_1"))])
    bench.clear()
    bench.sql("CREATE DATABASE shop")
    options = {**bench.scratch["connection"], "database": "shop"}
    done = restore_logical(Restore(plain, options, create=False))
    kinds = [one["kind"] for one in done.problems]
    assert done.format == "plain" and ("cut_dump" in kinds) == cut, done.problems
    bench.clear()


#: what a tool says, the kind, a word of the remedy
SAID = {
    'ERROR:  extension "postgis" is not available': ("missing_extension", "postgis"),
    'could not open extension control file "/usr/share/postgresql/15/extension/vector.control": No such file': (
        "missing_extension", "vector",
    ),
    'could not access file "$libdir/timescaledb-2.11": No such file or directory': ("missing_library", "timescaledb"),
    "unsupported version (1.16) in file header": ("newer_than_tool", "version that wrote it"),
    'ERROR:  could not extend file "base/5/1234": No space left on device': ("full_disk", "another disk"),
    'invalid locale name: "de_DE.UTF-8"': ("missing_locale", "locale"),
    'unrecognized configuration parameter "transaction_timeout"': ("newer_than_server", "transaction_timeout"),
    'COPY failed for table "item": ERROR:  missing data for column "price"': ("bad_rows", "another copy"),
    'insert or update on table "bought" violates foreign key constraint "x"': ("broken_constraint", "doubled"),
    'tablespace "fast" does not exist': ("missing_tablespace", "globals"),
    "something that nobody has seen": ("other", "message"),
}  # fmt: skip


@pytest.mark.parametrize("message", SAID)
def test_a_message_has_its_kind_and_remedy(message: str) -> None:
    kind, word = SAID[message]
    found = Problem.of("x", message)
    assert found.kind == kind and word in found.remedy


@pytest.mark.parametrize(
    "lines",
    [
        ["pg_restore: error: pg_restore: finished item 3428 TABLE DATA part_1", "could not read from input file: x"],
        ["pg_restore: pg_restore: finished item 3428 TABLE DATA part_1", "error: could not read from input file: x"],
        ["pg_restore: error: could not read from input file: x", "pg_restore: finished item 3428 TABLE DATA part_1"],
    ],
)
def test_lines_that_two_workers_wrote_into_each_other_are_told_apart(lines: list[str]) -> None:
    problems, notes = Problems(), []
    reader = Reader(problems, notes.append)
    for line in ["pg_restore: connecting to database for restore", *lines]:
        reader.line(line)
    reader.end()
    assert [one["kind"] for one in problems.as_list()] == ["damaged_file"]
    assert notes[1:] == ["pg_restore: finished item 3428 TABLE DATA part_1"]
