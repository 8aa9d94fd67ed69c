# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at many objects of many databases at once, as many as there are cores; and says how far it is.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .clock import to_iso, utc_now
from .errors import RecoveryError, failed
from .sql import SqlFailed
from .verify_rung import Rung
from .verify_session import DAMAGED, Session

#: seconds between two lines of progress
TELL_SECONDS = 5.0
#: after so many tasks in a row that got no answer nobody is asked any more
_GIVE_UP = 3


class Progress:
    """Lines such as `2026-11-23T10:31:00Z structure: 120 of 300 objects, 40 of 95 MB`, appended to a file."""

    def __init__(self, path: str | None) -> None:
        self._path = Path(path) if path else None
        self._told = 0.0

    def tell(self, text: str, now: bool = False) -> None:
        """Write a line, unless the last one is younger than TELL_SECONDS. Raises RecoveryError when it cannot."""
        if self._path is None or (not now and time.monotonic() - self._told < TELL_SECONDS):
            return
        self._told = time.monotonic()
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(f"{to_iso(utc_now())} {text}\n")
        except OSError as error:
            raise RecoveryError(failed("write", str(self._path), error.strerror, "Correct progress_file.")) from error


@dataclass
class Task:
    """One look at one object, by its OID in `catalogue`; `size` in bytes is what it may cost."""

    database: str
    what: str
    oid: int
    size: int
    call: t.Callable[[Session], None]
    catalogue: str = "pg_class"

    def gone(self, session: Session) -> bool:
        """Whether the object was dropped meanwhile, as tables of a live server are."""
        try:
            return not session.rows(f"SELECT 1 FROM {self.catalogue} WHERE oid = %s", (self.oid,))
        except RecoveryError:
            return False


@dataclass
class Pool:
    """Runs tasks, each thread in one session at a time.

    `connect` opens a session that sees the catalogue alone, `open` one with the database's own search_path.
    """

    connect: t.Callable[[str], Session]
    open: t.Callable[[str], Session]
    jobs: int
    progress: Progress

    def run(self, rung: Rung, tasks: t.Iterable[Task], failing: t.Container[str] = DAMAGED) -> None:
        """Do all tasks; what cannot be done is unverified, or failed where its SQLSTATE is in `failing`."""
        work = _Work(rung, failing, sorted(tasks, key=lambda task: (task.database, -task.size)))
        threads = [
            threading.Thread(target=self._serve, args=(work,), daemon=True, name=f"verify {number}")
            for number in range(max(1, min(self.jobs, len(work.tasks))))
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(TELL_SECONDS)
                    self.progress.tell(work.said)
        finally:
            work.stop = True  # interrupted: no thread begins another task
        if work.error is not None:
            raise work.error
        if work.left:
            rung.unverified(f"{work.left} more objects were not checked: the server does not answer")
        self.progress.tell(work.said, now=True)

    def _serve(self, work: _Work) -> None:
        session: Session | None = None
        try:
            for task in work.taken():
                if session is None or session.database != task.database:
                    if session is not None:
                        session.close()
                    session = self.connect(task.database)
                work.do(task, session)
        except Exception as error:  # a defect of ours goes on in the caller's thread
            work.error, work.stop = error, True
        finally:
            if session is not None:
                with contextlib.suppress(Exception):
                    session.close()


class _Work:
    def __init__(self, rung: Rung, failing: t.Container[str], tasks: list[Task]) -> None:
        self.rung, self.failing, self.tasks = rung, failing, tasks
        self.stop = False
        self.error: Exception | None = None
        self._begun = self._done = self._bytes = self._unanswered = 0
        self._total = sum(task.size for task in tasks)
        self._lock = threading.Lock()

    def taken(self) -> t.Iterator[Task]:
        """Each task once, over all threads, until the server is given up."""
        while True:
            with self._lock:
                if self.stop or self._unanswered >= _GIVE_UP or self._begun >= len(self.tasks):
                    return
                task = self.tasks[self._begun]
                self._begun += 1
            yield task

    def do(self, task: Task, session: Session) -> None:
        answered = True
        try:
            task.call(session)
        except RecoveryError as error:
            answered = isinstance(error, SqlFailed)
            if not answered or not task.gone(session):
                self.rung.caught(f"{task.database}: {task.what}", error, self.failing)
        with self._lock:
            self._done += 1
            self._bytes += task.size
            self._unanswered = 0 if answered else self._unanswered + 1

    @property
    def left(self) -> int:
        """Tasks that nobody began."""
        return len(self.tasks) - self._begun

    @property
    def said(self) -> str:
        done, total = self._bytes // 1_000_000, self._total // 1_000_000
        return f"{self.rung.name}: {self._done} of {len(self.tasks)} objects, {done} of {total} MB"
