# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a restore is: which tables are done, at what rate, how long the rest takes.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import time
import typing as t

from .errors import RecoveryError
from .logical_process import Tell
from .logical_toc import Toc
from .sql import Postgres
from .verify_pool import Progress

_ITEM = re.compile(r"pg_restore: (launching|finished) item (\d+) TABLE DATA ")
_SERIAL = re.compile(r'pg_restore: processing data for table "')
_FILLED = """
SELECT count(*) FROM pg_class
WHERE relkind = 'r' AND oid >= 16384 AND pg_relation_size(oid) > 0 AND relnamespace::regnamespace::text !~ '^pg_'
"""


class Meter:
    """Follows the messages of pg_restore. `sizes` are the bytes of the rows in the dump, by table."""

    def __init__(
        self, name: str, toc: Toc | None, chosen: t.Collection[int] | None, sizes: t.Mapping[str, int],
        options: t.Mapping[str, t.Any], file: str | None, tell: Tell,
    ) -> None:  # fmt: skip
        data = [one for one in toc.of("TABLE DATA") if chosen is None or one.number in chosen] if toc else []
        self.tables = {entry.number: entry.name for entry in data}
        self.total = len(self.tables) if toc else len(sizes)
        self.sizes = {one: sizes.get(one, 0) for one in self.tables.values()} if toc else dict(sizes)
        self.seconds: dict[str, float] = {}
        self._name, self._options, self._archive = name, options, toc is not None
        self._progress, self._tell = Progress(file), tell
        self._begun_at: dict[str, float] = {}
        self._first_lines = {name.split("\n", 1)[0]: name for name in self.sizes}  # a name may have several
        self._current: str | None = None
        self._begun = time.monotonic()

    def note(self, line: str) -> None:
        """Take one message of pg_restore."""
        item = _ITEM.match(line)
        if item and int(item[2]) in self.tables:
            table = self.tables[int(item[2])]
            (self._begin if item[1] == "launching" else self._end)(table)
        elif not item and line.startswith("pg_restore: ") and not line.startswith("pg_restore: launching"):
            self._serial(line)

    def _serial(self, line: str) -> None:
        """One worker names a table when it begins; whatever it says next, that table is done."""
        if self._current is not None:
            self._end(self._current)
            self._current = None
        begun = _SERIAL.match(line)
        named = self._first_lines.get(line[begun.end() :].removesuffix('"')) if begun else None
        if named is not None:
            self._current = named
            self._begin(named)

    def _begin(self, table: str) -> None:
        self._begun_at[table] = time.monotonic()

    def _end(self, table: str) -> None:
        if table in self._begun_at:
            self.seconds[table] = round(time.monotonic() - self._begun_at.pop(table), 3)

    def tick(self, size: int) -> None:
        """Tell how far it is; `size` is the database's, in bytes."""
        self.say(self.line(size))

    def say(self, text: str, now: bool = False) -> None:
        """Tell it to the terminal and to the file. Raises RecoveryError when the file cannot be written."""
        self._tell(f"{self._name}: {text}")
        self._progress.tell(f"{self._name}: {text}", now=now)

    def end(self, size: int) -> None:
        """Tell that all of it is done."""
        passed = max(0.001, time.monotonic() - self._begun)
        rate = f"{size / passed / 1e6:.1f} MB/s"
        self.say(f"ends, {self.total} of {self.total} tables, {size / 1e6:.0f} MB, {rate}, {passed:.0f} s", now=True)

    def line(self, size: int) -> str:
        """Return tables, bytes, rate and time left. The time is by the rows' bytes in the dump, without indexes."""
        passed = max(0.001, time.monotonic() - self._begun)
        done, total = self._done(), sum(self.sizes.values())
        loaded = sum(self.sizes.get(table, 0) for table in self.seconds) if self._archive else min(size, total)
        left = f"{passed * (total - loaded) / loaded:.0f} s left" if loaded else "time left unknown"
        return f"{done} of {self.total} tables, {size / 1e6:.0f} MB, {size / passed / 1e6:.1f} MB/s, {left}"

    def _done(self) -> int | str:
        """Return how many tables are done; psql does not say, so the server is asked which have rows."""
        if self._archive:
            return len(self.seconds)
        try:
            with Postgres({**self._options, "database": self._name}) as server:
                return int(server.row(_FILLED)[0])
        except RecoveryError:
            return "?"
