"""pg_restore killed in the middle: the same command ends what works on, drops its own half, and begins again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.both_ways import run_action
from tests.unit.plugins.logical_support import sql_in
from tests.unit.plugins.restore_support import Place, dump
from tests.unit.processes import eventually, kill
from tests.unit.servers import PostgresFactory, give_to_server_user

ROOT = Path(__file__).resolve().parents[3]
RUN = (
    "import json, sys; sys.path.insert(0, 'collections')\n"
    "from ansible_collections.terragon.disaster_recovery.plugins.module_utils.restore import run\n"
    "run(json.loads(sys.argv[1]), False)"
)
DEFAULTS: dict[str, Any] = {
    "into_existing": None, "tables": None, "jobs": 2, "globals": None, "no_tablespaces": False, "analyze": False,
    "needed_bytes": None, "keep_failed": False, "bin_directory": None, "progress_file": None,
}  # fmt: skip
#: an index that is built only where no gate stands: one for all databases, or one for this database
GATE = """
CREATE FUNCTION gate(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
DECLARE own text := (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database());
BEGIN
  WHILE (pg_catalog.pg_stat_file('{gates}/all', true)).size IS NOT NULL
     OR (pg_catalog.pg_stat_file('{gates}/' || own, true)).size IS NOT NULL
  LOOP PERFORM pg_catalog.pg_sleep(0.05); END LOOP;
  RETURN $1;
END $$"""
AT_WORK = "SELECT 1 FROM pg_stat_activity WHERE datname = 'half' AND wait_event = 'PgSleep'"


@pytest.fixture
def gated(postgres_factory: PostgresFactory, tmp_path: Path) -> Iterator[tuple[Place, Path]]:
    """Dumps of a database whose restore stops at a gate."""
    server = postgres_factory()
    gates = server.directory / "gates"
    gates.mkdir()
    give_to_server_user(gates)
    server.sql("CREATE DATABASE gated")
    statements = (GATE.format(gates=gates), "CREATE TABLE t (id int)", "INSERT INTO t SELECT generate_series(1, 100)")
    sql_in(server, "gated", *statements, "CREATE INDEX late ON t (gate(id))")
    kinds = {"plain": "p", "custom": "c"}
    dumps = {name: dump(server, tmp_path / name, "-F", kind, database="gated") for name, kind in kinds.items()}
    (gates / "all").touch()
    yield Place(server, dumps), gates
    server.stop()


@pytest.mark.parametrize("kind", ["custom", "plain"])
def test_killed_in_the_middle_it_begins_again(gated: tuple[Place, Path], kind: str) -> None:
    place, gates = gated
    given = place.given(kind, "half", jobs=2)
    argv = [sys.executable, "-c", RUN, json.dumps({**DEFAULTS, **given, "postgres": place.server.options()})]
    process = subprocess.Popen(argv, cwd=ROOT)
    left: list[int] = []
    try:
        eventually(lambda: place.server.sql(AT_WORK), "the restore at work")
        busy = run_action("pg_restore", given)
        assert busy["failed"] and "another run is at work" in busy["msg"] and busy["outcome"] == "unverified"
        left = children(process.pid)
        kill(process)
        assert left and all(Path(f"/proc/{pid}").exists() for pid in left)  # the tool works on
        [(oid,)] = place.server.sql("SELECT oid FROM pg_database WHERE datname = 'half'")
        (gates / str(oid)).touch()
        (gates / "all").unlink()
        other = run_action("pg_restore", place.given("plain" if kind == "custom" else "custom", "half"))
        assert other["failed"] and "half restored, from another dump" in other["msg"]
        assert '"restoring"' in place.comment("half")
        predicted = run_action("pg_restore", given, check=True)
        assert predicted["changed"] and predicted["created"] and not predicted.get("failed")
        done = run_action("pg_restore", given)
        assert not done.get("failed") and done["created"] and done["outcome"] == "passed", done
        eventually(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in left), "the end of what was left")
        [(again,)] = place.server.sql("SELECT oid FROM pg_database WHERE datname = 'half'")
        assert again != oid and sql_in(place.server, "half", "SELECT count(*) FROM t") == [(100,)]
        assert not run_action("pg_restore", given)["changed"]
    finally:
        kill(process)
        for pid in left:
            if Path(f"/proc/{pid}/exe").exists():
                os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """The programs that it runs."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
