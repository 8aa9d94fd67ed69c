"""A primary that goes on after its standby was promoted: what it has alone is to be found."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.unit.servers import PostgresFactory, PostgresServer, eventually

Row = dict[str, Any]


@dataclass
class Parted:
    """`old` and `new` were one system; `directory` is where the module saves."""

    old: PostgresServer
    new: PostgresServer
    directory: Path
    incident: str = "INC-7"
    sessions: list[Any] = field(default_factory=list)

    def options(self, **more: Any) -> dict[str, Any]:
        """The module's options."""
        return {
            "data_directory": str(self.old.data),
            "source": {**self.new.options(), "sslmode": "disable"},
            "directory": str(self.directory),
            "incident": self.incident,
            "region": "east",
            "cluster": "main",
            "timeout": 60,
            **more,
        }

    def part(self) -> None:
        """Let the standby have everything, then promote it: from here on the old primary is alone."""
        self.caught_up()
        self.new.sql("SELECT pg_promote()")
        eventually(lambda: not self.new.sql("SELECT pg_is_in_recovery()")[0][0], "the promotion")

    def caught_up(self) -> None:
        """Wait until the standby has replayed all that the primary wrote."""
        end = self.old.sql("SELECT pg_current_wal_insert_lsn()")[0][0]
        eventually(lambda: self.new.sql(f"SELECT pg_last_wal_replay_lsn() >= '{end}'")[0][0], "the replay")

    def session(self, autocommit: bool = False, database: str = "postgres") -> Any:
        """A connection to the old primary."""
        connection = self.old.connect(database=database)
        connection.autocommit = autocommit
        self.sessions.append(connection)
        return connection

    def stop(self, how: str) -> None:
        """Fence the old primary: in order (fast), at once (immediate), or as a power failure would (kill)."""
        if how == "kill":
            self.old.kill()
        else:
            self.old.stop(how)
        for connection in self.sessions:
            with contextlib.suppress(Exception):
                connection.close()

    @property
    def saved(self) -> Path:
        """Where the files are."""
        return self.directory / self.incident / "east-main"

    def lines(self, name: str) -> list[Row]:
        """The lines of one file of rows."""
        with (self.saved / "rows" / f"{name}.jsonl").open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]


def table_of(result: dict[str, Any], name: str) -> Row:
    """A table's entry in the result."""
    found = [one for one in result["tables"] if one["table"] == name]
    assert len(found) == 1, [one["table"] for one in result["tables"]]
    return found[0]


def kinds_of(result: dict[str, Any]) -> set[str]:
    """The kinds of what is no row."""
    return {one["kind"] for one in result["others"]}


def by_operation(lines: list[Row], operation: str) -> list[Row]:
    return [line for line in lines if line["operation"] == operation]


@contextlib.contextmanager
def parted(factory: PostgresFactory, directory: Path, *prepare: str, settings: str = "") -> Iterator[Parted]:
    """A pair of its own; `prepare` are statements before the standby is made."""
    old = factory(start=False)
    with (old.data / "postgresql.conf").open("a") as file:
        file.write(f"autovacuum = off\nmax_prepared_transactions = 5\n{settings}\n")
    old.start()
    if prepare:
        old.sql(*prepare)
    new = factory.standby_of(old)
    pair = Parted(old, new, directory)
    try:
        yield pair
    finally:
        pair.stop("immediate")
        new.stop()
        for server in (old, new):
            subprocess.run(["rm", "-rf", str(server.data)], check=True)
