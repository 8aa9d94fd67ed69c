# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Samples and heartbeats: how far the primary had written at which time of the witness's clock.

PRIVATE to the collection.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import time
import typing as t

from .clock import to_iso
from .guard_config import GuardConfig
from .guard_state import log
from .lease import Lease
from .lease_record import Samples

try:
    import psycopg2 as _psycopg2

    psycopg2: t.Any = _psycopg2
except ImportError:  # the guard still guards; its loss bound is then the standby's heartbeat's age
    psycopg2 = None

_KEPT = 30

_HEARTBEAT = """
INSERT INTO dr.heartbeat AS old (region, epoch, sequence, written_at, lsn)
VALUES (%(region)s, %(epoch)s, 1, %(at)s, pg_current_wal_insert_lsn())
ON CONFLICT (region) DO UPDATE
SET epoch = excluded.epoch, sequence = old.sequence + 1, written_at = excluded.written_at, lsn = excluded.lsn
RETURNING lsn
"""


class Sampler(threading.Thread):
    """Writes a heartbeat and takes a sample, twice a renewal, while the region serves.

    The time of each is a lower bound of the witness's clock from before the statement was sent: everything that
    was committed before that time stands in the WAL below the sample's position. A server that hangs makes the
    samples older and nothing else.
    """

    def __init__(self, config: GuardConfig, serving_epoch: t.Callable[[], int | None]) -> None:
        super().__init__(name="sampler", daemon=True)
        self.config = config
        #: set once the keeper has its lease object: the samples tell time by the stores it talks to
        self.lease: Lease | None = None
        self._serving_epoch = serving_epoch
        self._kept: collections.deque[tuple[str, str]] = collections.deque(maxlen=_KEPT)
        self._connection: t.Any = None
        self._problem = ""

    def samples(self) -> Samples:
        """Return what to write into the lease, oldest first."""
        return tuple(self._kept)

    def run(self) -> None:
        """Sample, again and again."""
        while True:
            epoch = self._serving_epoch()
            if epoch is None or psycopg2 is None:
                self._disconnect()
            else:
                self._try(epoch)
            threading.Event().wait(max(0.25, self.config.renew_seconds / 2))

    def _try(self, epoch: int) -> None:
        at = self.lease.time_at_least(time.monotonic()) if self.lease else None
        if at is None:
            return
        try:
            self._sample(epoch, to_iso(at))
            self._say("")
        except psycopg2.Error as error:
            self._disconnect()
            self._say(" ".join(str(error).split()))

    def _sample(self, epoch: int, at: str) -> None:
        if self._connection is None:
            self._connection = self._connect()
        with self._connection.cursor() as cursor:
            cursor.execute(_HEARTBEAT, {"region": self.config.region, "epoch": epoch, "at": at})
            self._kept.append((at, cursor.fetchone()[0]))

    def _connect(self) -> t.Any:
        options = {key: value for key, value in self.config.postgres.items() if value is not None}
        connection = psycopg2.connect(
            host=options["host"],
            port=options.get("port", 5432),
            dbname=options.get("database", "postgres"),
            user=options["user"],
            connect_timeout=int(options.get("connect_timeout", 3)),
            application_name="lease_guard",
            # local: a synchronous standby that is away must not stop the heartbeat
            options="-c statement_timeout=2000 -c synchronous_commit=local",
            **{key: str(options[key]) for key in ("passfile", "sslmode") if key in options},
        )
        connection.autocommit = True
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            log(self.config.region, f"heartbeat fails: {problem}" if problem else "heartbeat written again")
            self._problem = problem
