"""Write and read several times a second, and put every attempt on record as it was seen from outside."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import threading
import time
import typing as t
import uuid
from pathlib import Path

from .http import Answer, ServiceConnection
from .names import Unresolved


class Traffic(threading.Thread):
    """One service's client. Appends one JSON line an attempt to `path`; acknowledged is what answered 201 in full."""

    def __init__(self, service: str, connection: ServiceConnection, path: Path, per_second: float) -> None:
        super().__init__(name=f"client-{service}", daemon=True)
        self.service = service
        self.stopping = threading.Event()
        self._connection = connection
        self._path = path
        self._pause = 1.0 / per_second
        self._sequence = 0

    def run(self) -> None:
        """Write, read the last acknowledged write back, rest; until told to stop."""
        last: str | None = None
        with self._path.open("a", encoding="utf-8", buffering=1) as record:
            while not self.stopping.is_set():
                begun = time.monotonic()
                self._sequence += 1
                identifier = str(uuid.uuid4())
                payload = {"id": identifier, "seq": self._sequence, "payload": f"{self.service} {self._sequence}"}
                if self._attempt(record, "write", identifier, "POST", "/writes", payload, 201):
                    last = identifier
                if last is not None:
                    self._attempt(record, "read", last, "GET", f"/writes/{last}", None, 200)
                self.stopping.wait(max(0.0, self._pause - (time.monotonic() - begun)))
        self._connection.close()

    def _attempt(
        self, record: t.TextIO, op: str, identifier: str, method: str, path: str, body: dict | None, expected: int
    ) -> bool:
        moment, begun = dt.datetime.now(dt.UTC), time.monotonic()
        answer: Answer | None = None
        error = None
        try:
            answer = self._connection.request(method, path, body)
            if answer.status != expected:
                error = str(answer.body.get("reason") or answer.body.get("error") or f"status {answer.status}")
        except (OSError, http.client.HTTPException, Unresolved) as problem:
            error = f"{type(problem).__name__}: {problem}"
        line = {
            "t": moment.isoformat().replace("+00:00", "Z"),
            "op": op,
            "id": identifier,
            "ok": error is None,
            "status": answer.status if answer else None,
            "region": answer.body.get("region") if answer else None,
            "address": answer.address if answer else None,
            "seconds": round(time.monotonic() - begun, 6),
            "error": error,
        }
        record.write(json.dumps(line) + "\n")
        return error is None
