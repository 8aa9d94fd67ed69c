"""A TCP proxy that breaks the way networks do: hangs, refuses, loses answers, or shows another clock."""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import re
import socket
import threading
from urllib.parse import urlsplit

from tests.unit.processes import free_address

_DATES = re.compile(rb"(?im)^(date|last-modified): ([^\r\n]+)")


class TcpProxy:
    """Stands before one HTTP endpoint. Set `mode` at any time.

    pass: forward; lose_answers: forward requests, swallow what comes back and hang up; hang: accept and be
    silent; refuse: hang up at once. `skew_seconds` shifts the dates in answers, as a server with another clock.
    """

    def __init__(self, endpoint_url: str) -> None:
        parts = urlsplit(endpoint_url)
        self._target = (parts.hostname, parts.port)
        self.mode = "pass"
        self.skew_seconds = 0.0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((free_address(), 0))
        host, port = self._listener.getsockname()
        self.endpoint_url = f"http://{host}:{port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening and hang up everywhere."""
        for one in (self._listener, *tuple(self._open)):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def set(self, mode: str) -> None:
        """Change the mode and end the connections that live, so that it holds from the next request on."""
        self.mode = mode
        for one in tuple(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            self._open.add(client)
            if self.mode == "refuse":
                self._hang_up(client)
            elif self.mode != "hang":
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=5)  # type: ignore[arg-type]
        except OSError:
            self._hang_up(client)
            return
        server.settimeout(None)
        self._open.add(server)
        threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        self._hang_up(server)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self.mode == "lose_answers" and b" 100 " not in data[:20]:
                    break
                client.sendall(self._shifted(data))
        self._hang_up(client)

    def _shifted(self, data: bytes) -> bytes:
        if not self.skew_seconds or not data.startswith(b"HTTP/"):
            return data
        head, blank, body = data.partition(b"\r\n\r\n")

        def shift(match: re.Match[bytes]) -> bytes:
            moment = email.utils.parsedate_to_datetime(match[2].decode()) + dt.timedelta(seconds=self.skew_seconds)
            return match[1] + b": " + email.utils.format_datetime(moment, usegmt=True).encode()

        return _DATES.sub(shift, head) + blank + body

    def _hang_up(self, one: socket.socket) -> None:
        self._open.discard(one)
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
