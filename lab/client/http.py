"""One JSON request to one service, over a connection that is kept while it works."""

from __future__ import annotations

import http.client
import json
import typing as t
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .names import Resolver


@dataclass
class Answer:
    """Status and JSON body of a response, and the address that gave it."""

    status: int
    body: dict[str, t.Any]
    address: str


@dataclass
class ServiceConnection:
    """A service by its public URL. Opens a new connection when the name moved or the old one failed."""

    url: str
    names: Resolver
    timeout: float = 1.0
    _open: http.client.HTTPConnection | None = field(default=None, init=False)
    _address: str = field(default="", init=False)

    def request(self, method: str, path: str, body: dict[str, t.Any] | None = None) -> Answer:
        """Ask; raises OSError, http.client.HTTPException or Unresolved where there was no whole answer."""
        parts = urlsplit(self.url)
        address = self.names.resolve(parts.hostname or "")
        if self._open is None or address != self._address:
            self.close()
            self._open = http.client.HTTPConnection(address, parts.port or 80, timeout=self.timeout)
            self._address = address
        try:
            text = None if body is None else json.dumps(body)
            self._open.request(method, path, text, {"Host": parts.netloc, "Content-Type": "application/json"})
            response = self._open.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if response.will_close:
            self.close()
        try:
            parsed = json.loads(raw) if raw else {}
        except ValueError:
            parsed = {}
        return Answer(response.status, parsed if isinstance(parsed, dict) else {}, address)

    def close(self) -> None:
        """Drop the connection."""
        if self._open is not None:
            self._open.close()
        self._open = None
