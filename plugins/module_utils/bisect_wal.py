# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The commit records of the archived WAL, in order: segments are fetched one after the other, two are on the disk.

PRIVATE to the collection.
"""

from __future__ import annotations

import array
import bisect
import datetime as dt
import re
import shutil
import subprocess
import tempfile
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .backrest_command import Backrest, Repository
from .clock import Deadline, from_iso, to_iso
from .divergence_records import commit_of, parse_record
from .errors import RecoveryError
from .postgres_cluster import Cluster, last_words
from .postgres_state import lsn_number
from .standby_timelines import Stretch, lsn_text, segment_name, segment_on

_ERROR_AT = re.compile(r"error in WAL record at ([0-9A-F]+/[0-9A-F]+):\s*(.*)")
_CONTINUED = 0x0001  # XLP_FIRST_IS_CONTRECORD
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: kinds of errors of a segment that is there and cannot be unpacked
_UNREADABLE = ("Damaged", "BackrestFailed")
#: segments before a backup that are looked through for the transaction before it
_BACK = 16


@dataclass(frozen=True)
class Moment:
    """A commit record: where it begins, its transaction (32 bits), when it was written."""

    lsn: int
    xid: int
    time: dt.datetime

    def as_dict(self, timeline: int) -> dict[str, t.Any]:
        """Return JSON-safe members."""
        return {"lsn": lsn_text(self.lsn), "xid": self.xid, "time": to_iso(self.time), "timeline": timeline}


class Commits:
    """Moments in the WAL's order, 20 bytes each."""

    def __init__(self) -> None:
        self._lsns, self._xids, self._times = array.array("Q"), array.array("L"), array.array("q")

    def __len__(self) -> int:
        return len(self._lsns)

    def __getitem__(self, index: int) -> Moment:
        time = _EPOCH + dt.timedelta(microseconds=self._times[index])
        return Moment(self._lsns[index], self._xids[index], time)

    def indexes(self, lsns: t.Iterable[int]) -> list[int]:
        """Return the places of those positions that are among them, in order."""
        places = [(bisect.bisect_left(self._lsns, lsn), lsn) for lsn in sorted(lsns)]
        return [place for place, lsn in places if place < len(self) and self._lsns[place] == lsn]

    def append(self, moment: Moment) -> None:
        """Add one behind all others."""
        self._lsns.append(moment.lsn)
        self._xids.append(moment.xid)
        self._times.append((moment.time - _EPOCH) // dt.timedelta(microseconds=1))


@dataclass(frozen=True)
class End:
    """Where the WAL that is there ends, and why: `segment` is missing (or is not what was written)."""

    lsn: int
    segment: str
    cause: str


class ArchivedWal:
    """The WAL of one repository along one history. `directory` is where two segments at a time are kept.

    `cluster` is a restored one: pgBackRest learns from its control file whose WAL is meant.
    """

    def __init__(
        self, backrest: Backrest, repository: Repository, history: t.Sequence[Stretch], cluster: Cluster,
        directory: Path, deadline: Deadline,
    ) -> None:  # fmt: skip
        self.backrest, self.repository, self.history, self.cluster = backrest, repository, history, cluster
        self.directory, self.deadline = directory, deadline
        self.segment_size = cluster.control().segment_size
        self.segments = 0
        self.end: End | None = None

    def commits(self, start: int) -> t.Iterator[Moment]:
        """Yield the commits from `start` on until the WAL ends, which is then in `end`. Raises RecoveryError."""
        self.end, size = None, self.segment_size
        number, here = start // size, None
        try:
            while True:
                here = here or self._fetch(number)
                if here is None:
                    self.end = self.end or End(number * size, self._name(number), "it is not in the archive")
                    return
                after = self._fetch(number + 1)
                for moment in self._dump(number, after is not None):
                    if moment.lsn >= start:
                        yield moment
                if self.end is not None:
                    return
                here.unlink()
                number, here = number + 1, after
                if here is None:
                    self.end = End(number * size, self._name(number), "it is not in the archive")
                    return
        finally:
            for path in self.directory.iterdir():
                path.unlink()

    def last_before(self, position: int) -> Moment | None:
        """Return the newest commit before a position, where it is in one of the segments just before."""
        size = self.segment_size
        for number in range(position // size, max(0, position // size - _BACK), -1):
            found = None
            for moment in self.commits(number * size):
                if moment.lsn >= min(position, (number + 1) * size):
                    break
                found = moment
            if found is not None:
                return found
        return None

    def timeline_of(self, lsn: int) -> int:
        """Return the timeline that a position is on."""
        return next(one.timeline for one in self.history if one.end is None or lsn < one.end)

    def _name(self, number: int) -> str:
        return segment_on(self.history, number * self.segment_size, self.segment_size)

    def _fetch(self, number: int) -> Path | None:
        """Return the file of a segment; None where the archive has none. One that is damaged ends the WAL, too.

        Whatever timeline it comes from, it gets the name of the first one's: pg_waldump reads along one timeline.
        """
        name = self._name(number)
        path = self.directory / segment_name(1, number * self.segment_size, self.segment_size)
        try:
            self.backrest.run(
                "fetch", f"WAL segment {name} from {self.repository}", "archive-get", self.repository.option,
                "--no-archive-async", f"--pg1-path={self.cluster.data}", name, str(path),
                timeout=max(1.0, self.deadline.remaining),
            )  # fmt: skip
        except RecoveryError as error:
            if error.facts.get("pgbackrest_code") == 1:  # its answer for a file that is not there
                return None
            if error.facts.get("error_kind") in _UNREADABLE:
                self.end = End(number * self.segment_size, name, str(error))
                return None
            raise
        self.segments += 1
        return path

    def _dump(self, number: int, with_next: bool) -> t.Iterator[Moment]:
        """Yield the commits whose records begin in a segment. The next one is there for those that go on in it."""
        size = self.segment_size
        begin, until = number * size, (number + 1) * size
        files = [segment_name(1, position, size) for position in (begin, until)]
        command = [
            self.cluster.program("pg_waldump"), "--rmgr=Transaction", "-p", str(self.directory), "-s",
            lsn_text(begin or 40), *files[: 2 if with_next else 1],
        ]  # fmt: skip
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, **self.cluster.as_owner())
            past = False
            try:
                for line in t.cast("t.IO[bytes]", process.stdout):
                    record = parse_record(line.decode("utf-8", "replace")) if b"COMMIT" in line else None
                    commit = commit_of(record) if record else None
                    if record is None or commit is None:
                        continue
                    past = record.lsn >= until
                    if past:
                        break
                    yield Moment(record.lsn, commit.xid, from_iso(commit.committed_at))
            finally:
                process.kill()
                process.wait()
                t.cast("t.IO[bytes]", process.stdout).close()
            said.seek(0)
            if not past:
                self._judge(number, with_next, said.read().decode("utf-8", "replace"))

    def _judge(self, number: int, with_next: bool, said: str) -> None:
        """Note where the WAL ends in a segment although the next one is there: it is not what the server wrote."""
        found, begin = _ERROR_AT.search(said), number * self.segment_size
        if found and lsn_number(found[1]) < begin + self.segment_size and with_next:
            self.end = End(lsn_number(found[1]), self._name(number), found[2])
        elif "could not find a valid record" in said and not self._continued(number):
            self.end = End(begin, self._name(number), last_words(said))

    def _continued(self, number: int) -> bool:
        """Whether a segment begins in the middle of a record, which may fill all of it."""
        path = self.directory / segment_name(1, number * self.segment_size, self.segment_size)
        with path.open("rb") as file:
            return bool(int.from_bytes(file.read(4)[2:], "little") & _CONTINUED)


def fresh_directory(path: Path, owner: t.Callable[[Path], None]) -> Path:
    """Return an empty directory for segments."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    owner(path)
    return path
