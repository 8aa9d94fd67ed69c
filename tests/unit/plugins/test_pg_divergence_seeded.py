"""Random transactions before and after the fork: what is saved is exactly what was committed, nothing else.

The truth is the test's own record of what it committed. Each seed has a table of its own and two sessions, which write
different rows, so that none waits for the other; transactions may be open while the standby is promoted.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.divergence import run

from tests.unit.plugins.divergence_support import Parted, Row, by_operation, parted
from tests.unit.servers import PostgresFactory

SEEDS = 8
STEPS = 60


@dataclass
class Line:
    """One row from its insertion to its deletion: `row` now, `updates` of it after the fork."""

    row: Row
    updates: int = 0

    def copy(self) -> Line:
        return Line(dict(self.row), self.updates)


State = dict[int, Line]


@dataclass
class Writer:
    """One session's random transactions, and what they came to. It owns the ids of its parity."""

    connection: Any
    table: str
    parity: int
    dice: random.Random
    committed: State = field(default_factory=dict)
    #: the state at the beginning of the transaction, then at each savepoint
    stack: list[State] = field(default_factory=list)
    now: State = field(default_factory=dict)
    lines: int = 0
    next_id: int = 0
    #: lines inserted and deleted again, after the fork, committed
    forked: bool = False

    def step(self) -> None:
        """One random statement."""
        if not self.stack:
            return self._begin()
        choices = [self._insert, self._copy, self._update, self._update, self._delete, self._savepoint, self._end]
        return self.dice.choice(choices)()

    def finish(self) -> None:
        """Commit what is open."""
        if self.stack:
            self._commit()

    def fork(self) -> None:
        """From here on updates count."""
        self.at_fork = {line: one.copy() for line, one in self.committed.items()}

    def _begin(self) -> None:
        self._run("BEGIN")
        self.now = {line: one.copy() for line, one in self.committed.items()}
        self.stack = [self._copied()]

    def _commit(self) -> None:
        self._run("COMMIT")
        self.committed, self.stack = self.now, []

    def _end(self) -> None:
        if self.dice.random() < 0.6:
            return self._commit()
        self._run("ROLLBACK")
        self.stack = []
        return None

    def _savepoint(self) -> None:
        if len(self.stack) > 1 and self.dice.random() < 0.6:
            if self.dice.random() < 0.5:
                self._run(f"ROLLBACK TO s{len(self.stack) - 1}")
                self.now = self.stack[-1]
                self.stack[-1] = self._copied()
            else:
                self._run(f"RELEASE s{len(self.stack) - 1}")
                self.stack.pop()
            return
        self._run(f"SAVEPOINT s{len(self.stack)}")
        self.stack.append(self._copied())

    def _insert(self) -> None:
        row = self._row()
        self._run(f"INSERT INTO {self.table} VALUES (%(id)s, %(text)s, %(number)s)", row)
        self._keep(row)

    def _copy(self) -> None:
        rows = [self._row() for _ in range(self.dice.randint(2, 30))]
        text = "".join(f"{row['id']}\t{row['text']}\t{row['number']}\n" for row in rows)
        with self.connection.cursor() as cursor:
            cursor.copy_expert(f"COPY {self.table} FROM STDIN", io.StringIO(text))
        for row in rows:
            self._keep(row)

    def _update(self) -> None:
        for line in self._some():
            one = self.now[line]
            one.row = {**one.row, "text": self._text(), "number": self.dice.randint(0, 9)}
            one.updates += 1
            self._run(f"UPDATE {self.table} SET text = %(text)s, number = %(number)s WHERE id = %(id)s", one.row)

    def _delete(self) -> None:
        for line in self._some():
            self._run(f"DELETE FROM {self.table} WHERE id = %(id)s", self.now.pop(line).row)

    def _some(self) -> list[int]:
        return self.dice.sample(sorted(self.now), min(len(self.now), self.dice.randint(1, 4)))

    def _keep(self, row: Row) -> None:
        self.lines += 1
        self.now[self.lines] = Line(row)

    def _row(self) -> Row:
        self.next_id += 2
        return {"id": self.next_id + self.parity, "text": self._text(), "number": self.dice.randint(0, 9)}

    def _text(self) -> str:
        """Short, long, or so long that it is kept out of line."""
        size = self.dice.choice([3, 3, 3, 700, 9000])
        return "".join(self.dice.choices("abcdefghijklmnopqrstuvwxyz", k=size))

    def _copied(self) -> State:
        return {line: one.copy() for line, one in self.now.items()}

    def _run(self, statement: str, values: Row | None = None) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)


class Workload:
    """One seed: a table and two writers."""

    def __init__(self, pair: Parted, seed: int) -> None:
        self.pair, self.dice, self.name = pair, random.Random(seed), f"seed_{seed}"
        key = "PRIMARY KEY" if self.dice.random() < 0.5 else ""
        fill = self.dice.choice([20, 100])
        pair.old.sql(f"CREATE TABLE {self.name} (id int {key}, text text, number int) WITH (fillfactor = {fill})")
        self.writers = [Writer(pair.session(True), self.name, parity, self.dice) for parity in (0, 1)]

    def go_on(self) -> None:
        """Random steps of both writers, with a vacuum now and then."""
        for _step in range(STEPS):
            self.dice.choice(self.writers).step()
            if self.dice.random() < 0.05:
                self.pair.old.sql(f"VACUUM {self.name}" if self.dice.random() < 0.5 else f"TABLE {self.name}")

    def expected(self) -> dict[str, list[Any]]:
        """What is to be found, each row of it."""
        found: dict[str, list[Any]] = {"insert": [], "update": [], "delete": []}
        for writer in self.writers:
            before, after = writer.at_fork, writer.committed
            found["insert"] += [one.row for line, one in after.items() if line not in before]
            found["delete"] += [one.row for line, one in before.items() if line not in after]
            for line in before.keys() & after.keys():
                updates = after[line].updates - before[line].updates
                if updates:
                    found["update"].append((after[line].row, before[line].row, updates))
        return {name: sorted(rows, key=str) for name, rows in found.items()}

    def saved(self) -> dict[str, list[Any]]:
        """What was found."""
        path = self.pair.saved / "rows" / f"postgres.public.{self.name}.jsonl"
        lines = self.pair.lines(f"postgres.public.{self.name}") if path.exists() else []
        assert not [line for line in lines if "unresolved" in line or "previous_unavailable" in line]
        found = {
            "insert": [line["row"] for line in by_operation(lines, "insert")],
            "delete": [line["previous"] for line in by_operation(lines, "delete")],
            "update": [(line["row"], line["previous"], line["updates"]) for line in by_operation(lines, "update")],
        }
        assert sum(map(len, found.values())) == len(lines)
        return {name: sorted(rows, key=str) for name, rows in found.items()}


@pytest.mark.parametrize(("how", "first"), [("immediate", 0), ("fast", 100), ("kill", 200)])
def test_saved_is_what_was_committed(how: str, first: int, postgres_factory: PostgresFactory, tmp_path: Path) -> None:
    with parted(postgres_factory, tmp_path, settings="wal_keep_size = 256MB") as pair:
        loads = [Workload(pair, first + number) for number in range(SEEDS)]
        for load in loads:
            load.go_on()
            for writer in load.writers:
                if load.dice.random() < 0.5:  # else its transaction crosses the fork
                    writer.finish()
        pair.part()
        for load in loads:
            for writer in load.writers:
                writer.fork()
            load.go_on()
            load.writers[0].finish()  # the other one's last transaction may never end
        pair.stop(how)
        result = run(pair.options(state="saved", source_databases={}, bin_directory=None), False)
        expected = {load.name: load.expected() for load in loads}
        assert {load.name: load.saved() for load in loads} == expected
        sums = {name: sum(len(rows[name]) for rows in expected.values()) for name in ("insert", "update", "delete")}
        assert all(sums.values()), "the seeds do nothing"
        totals = result["totals"]
        assert (totals["inserted"], totals["updated"], totals["deleted"]) == tuple(sums.values())
        assert totals["unresolved"] == totals["written"] == 0
