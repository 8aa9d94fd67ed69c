"""HTTP on one address: a thread a connection, and a stop that finishes what it began."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from .api import Answer, Api

MAX_BODY_BYTES = 1 << 20
IDLE_SECONDS = 30.0
FINISH_SECONDS = 2.0


class Handler(BaseHTTPRequestHandler):
    """Turns HTTP into calls of the API."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def _serve(self) -> None:
        with self.server.request():
            length = self.headers.get("Content-Length", "0")
            if not length.isdigit() or int(length) > MAX_BODY_BYTES or "Transfer-Encoding" in self.headers:
                self.close_connection = True
                self._send(Answer(413, {"error": f"a body needs a Content-Length of at most {MAX_BODY_BYTES}"}))
                return
            body = self.rfile.read(int(length))
            self._send(self.server.api.answer(self.command, self.path, body))

    do_GET = do_POST = _serve

    def _send(self, answer: Answer) -> None:
        data = json.dumps(answer.body).encode()
        if self.server.api.draining:
            self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of single requests: probes alone would fill the log."""


class _Counter:
    """How many requests are being answered."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    def __enter__(self) -> None:
        with self._condition:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._count -= 1
            self._condition.notify_all()

    def wait_for_none(self, seconds: float) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._count == 0, timeout=seconds)


class Server(ThreadingHTTPServer):
    """The listening socket and its threads."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], api: Api) -> None:
        self.api = api
        self._requests = _Counter()
        super().__init__(address, Handler)

    def request(self) -> _Counter:
        """A context that counts one request."""
        return self._requests

    def server_bind(self) -> None:
        """Bind, without the look-up of the host's name that the standard library would make."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def drain(self, seconds: float) -> None:
        """Go on answering for ``seconds`` while balancers turn away, then stop and let requests under way finish."""
        self.api.draining = True
        time.sleep(seconds)
        self.shutdown()
        self.server_close()
        self._requests.wait_for_none(FINISH_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the service."""
