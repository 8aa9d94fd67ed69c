# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a stopped cluster a standby: follow in place, rewind, or copy beside and swap. Any step may be the last one
that a killed run did: what it left is finished or undone by the next one.

While pg_rewind works, the cluster is not at its path, so that nothing can start it half way.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import replace
from pathlib import Path

from . import standby_files as files
from . import standby_journal as journal
from .errors import RecoveryError, Refused, failed
from .guard_hba import HbaFile
from .postgres_cluster import Cluster
from .standby_journal import Entry, Journal
from .standby_places import Places
from .standby_program import LongProgram, Tell, end_leftovers
from .standby_settings import SIGNAL, StandbySettings
from .standby_source import Source

_REWOUND = re.compile(r"(\d+)/\d+ kB \(100%\) copied")


class Rebuild:
    """Effects on one data directory. `connection` is libpq's string to the source, `slot` the replication slot."""

    def __init__(
        self,
        places: Places,
        source: Source,
        settings: StandbySettings,
        diary: Journal,
        connection: str,
        slot: str,
        timeout: float,
        bin_directory: str | None,
        tell: Tell | None,
        need_lease: t.Callable[[], None],
    ) -> None:
        self.places = places
        self.source = source
        self.settings = settings
        self.journal = diary
        self.connection = connection
        self.slot = slot
        self.timeout = timeout
        self.bin_directory = bin_directory
        self.tell = tell
        #: raises Refused once the region to follow has lost the lease: hours may have passed since it was looked at
        self.need_lease = need_lease
        self.bytes_copied = 0
        self.slots_removed: list[str] = []

    def follow(self) -> None:
        """Let the cluster go on where its own WAL ends."""
        self._become_standby(self.places.data)

    def dry_run(self, cluster: Cluster) -> str:
        """Return why pg_rewind would not work on a cleanly stopped cluster; empty when it would."""
        try:
            self._run_rewind(cluster, "--dry-run")
        except RecoveryError as error:
            return str(error).rstrip(".")
        return ""

    def rewind(self, cluster: Cluster, entry: Entry) -> None:
        """Give the cluster the source's blocks in place of what it wrote itself after the fork."""
        work = Path(entry.workplace)
        files.set_aside(cluster.data, Path(entry.saved))
        entry = self.journal.write(replace(entry, stage=journal.PREPARED))
        self._need_unchanged(entry)
        files.move(cluster.data, work)
        files.take_out(work, Path(entry.saved))
        entry = self.journal.write(replace(entry, stage=journal.REWINDING))
        moved = Cluster(work, self.bin_directory)
        copied = _REWOUND.findall(self._run_rewind(moved))
        self.bytes_copied = int(copied[-1]) * 1024 if copied else 0
        self.finish(self.journal.write(replace(entry, stage=journal.REWOUND)))

    def copy(self, cluster: Cluster, entry: Entry) -> None:
        """Copy the source beside the old cluster, and swap them. `cluster` is the old one, wherever it is now."""
        work = Path(entry.workplace)
        if cluster.data == self.places.data:
            files.set_aside(cluster.data, Path(entry.saved))
        entry = self.journal.write(replace(entry, stage=journal.COPYING))
        files.remove(work)
        files.make_empty(work, cluster.uid, cluster.gid)
        elsewhere = [f"--tablespace-mapping={one}={one}.{work.name}" for one in self.source.tablespaces()]
        arguments = ["-D", str(work), "-d", self.connection, "-X", "stream", "-S", self.slot, "-c", "fast"]
        arguments += ["--no-password", "--progress", "--verbose", *elsewhere]
        self._program(cluster).run("pg_basebackup", arguments)
        self.bytes_copied = files.size(work)
        for name in files.LOGS:  # the source's; the region's own are kept with its old data directory
            files.remove(work / name)
        self.finish(self.journal.write(replace(entry, stage=journal.COPIED)))

    def finish(self, entry: Entry) -> None:
        """Turn what was rewound or copied into a standby and put it in its place. Safe to repeat."""
        work, saved, data = Path(entry.workplace), Path(entry.saved), self.places.data
        if work.exists():
            files.put_back(saved, work)
            self._become_standby(work)
            Cluster(work, self.bin_directory).run("initdb", "--sync-only", "-D", str(work), timeout=self.timeout)
            if data.exists():
                self._need_unchanged(entry)
                files.move(data, Path(entry.kept))
            files.move(work, data)
        files.remove(saved)
        self.journal.clear()

    def _need_unchanged(self, entry: Entry) -> None:
        """Refuse to take away a cluster that served meanwhile, as after a way back; give up what was made beside."""
        self.need_lease()
        data = self.places.data
        cluster = Cluster(data, self.bin_directory)
        if not cluster.running and entry.before in ("", cluster.control().fingerprint):
            return
        files.remove(Path(entry.workplace))
        files.remove(Path(entry.saved))
        self.journal.clear()
        cause = "it has been started since the work began, and may hold writes that nobody else has"
        remedy = (
            f"It was left as it is. Find out who holds the lease; if {data} is to follow, run the same command again."
        )
        raise Refused(failed("replace", str(data), cause, remedy))

    def undo(self, entry: Entry) -> None:
        """Put a cluster back whose data were not altered yet. Safe to repeat."""
        work, saved = Path(entry.workplace), Path(entry.saved)
        if work.exists():
            files.put_back(saved, work)
            files.move(work, self.places.data)
        files.remove(saved)
        self.journal.clear()

    def resume(self, entry: Entry) -> str | None:
        """Finish or undo what a killed run had begun; return the method that came to its end, None for one undone."""
        end_leftovers(Path(entry.workplace))
        work, data, kept = Path(entry.workplace), self.places.data, Path(entry.kept)
        if entry.stage in (journal.REWOUND, journal.COPIED):
            self.finish(entry)
            return "rewind" if entry.stage == journal.REWOUND else "copy"
        if entry.stage == journal.REWINDING:  # neither the old cluster nor the source's: of no use but to look at
            if work.exists():
                files.move(work, kept)
        elif data.exists() or entry.stage == journal.PREPARED:
            if entry.stage == journal.COPYING:
                files.remove(work)
            self.undo(entry)
            return None
        self.places.need_room_to_copy(self.source.size())
        entry = replace(entry, workplace=str(self.places.beside("copy")))
        self.copy(Cluster(kept, self.bin_directory), entry)
        return "copy"

    def _become_standby(self, data: Path) -> None:
        slots = data / "pg_replslot"
        for slot in sorted(slots.iterdir()):  # a primary's: on a standby nobody moves them on, and they would keep WAL
            if not (data / SIGNAL).exists():
                files.remove(slot)
                self.slots_removed.append(slot.name)
        self.settings.write(data)

    def _run_rewind(self, cluster: Cluster, *more: str) -> str:
        source = f"--source-server={self.connection} dbname={self.source.options.get('database') or 'postgres'}"
        arguments = ["-D", str(cluster.data), source, "--no-ensure-shutdown", "--progress", *more]
        said = self._program(cluster).run("pg_rewind", arguments)
        if "no rewind required" in said:  # it ends well, having done nothing
            cause = f"pg_rewind sees no divergence (log {self.places.log})"
            raise RecoveryError(failed("rewind", str(cluster.data), cause))
        return said

    def _program(self, cluster: Cluster) -> LongProgram:
        return LongProgram(cluster, self.places.log, self.timeout, self.tell)


def close(hba: Path) -> None:
    """Let nobody in, should anybody start the old cluster while it is being rebuilt."""
    HbaFile(hba).close("closed while the server is made a standby")


def open_for_standby(hba: Path, data: Path) -> bool:
    """Open what the guard's pre-start would open, for the same reason: a standby takes no writes."""
    return (data / SIGNAL).exists() and HbaFile(hba).open()
