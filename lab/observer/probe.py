"""Probe one region's PostgreSQL with committed writes, several times a second."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import typing as t
from pathlib import Path

import psycopg2

_WRITE = """
insert into dr_observer.probe (region, number) values (%s, %s)
on conflict (region) do update set number = excluded.number, at = clock_timestamp()
"""


class RegionProbe(threading.Thread):
    """One region's probe. Appends one JSON line a try: {t, region, accepted, seconds, error}."""

    def __init__(self, region: str, dsn: dict[str, t.Any], path: Path, per_second: float) -> None:
        super().__init__(name=f"observer-{region}", daemon=True)
        self.region = region
        self.stopping = threading.Event()
        self._dsn = dsn
        self._path = path
        self._pause = 1.0 / per_second
        self._number = 0
        self._connection: t.Any = None

    def run(self) -> None:
        """Try, put on record, rest; until told to stop."""
        with self._path.open("a", encoding="utf-8", buffering=1) as record:
            while not self.stopping.is_set():
                begun, moment = time.monotonic(), dt.datetime.now(dt.UTC)
                error = self._try()
                line = {
                    "t": moment.isoformat().replace("+00:00", "Z"),
                    "region": self.region,
                    "accepted": error is None,
                    "seconds": round(time.monotonic() - begun, 6),
                    "error": error,
                }
                record.write(json.dumps(line) + "\n")
                self.stopping.wait(max(0.0, self._pause - (time.monotonic() - begun)))
        self._drop()

    def _try(self) -> str | None:
        self._number += 1
        try:
            if self._connection is None:
                self._connection = psycopg2.connect(
                    **self._dsn, connect_timeout=2, application_name="observer", options="-c statement_timeout=1000"
                )
            with self._connection, self._connection.cursor() as cursor:
                cursor.execute(_WRITE, (self.region, self._number))
        except psycopg2.Error as problem:
            # A standby refuses the write and stays connected; anything else is asked anew.
            if not isinstance(problem, psycopg2.errors.ReadOnlySqlTransaction):
                self._drop()
            return " ".join(str(problem).split())[:200]
        return None

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
