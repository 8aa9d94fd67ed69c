"""An HTTP server that answers each path by a script, for what a healthy server does not do on demand."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import typing as t
from collections import defaultdict

#: status, headers, body: JSON, or lines of JSON for a watch (the connection ends after the last)
Answer = tuple[int, dict[str, str], t.Any]


class Scripted(http.server.ThreadingHTTPServer):
    """`script` maps a key (see `key_of`) to answers, of which the last is repeated."""

    daemon_threads = True

    def __init__(self, script: dict[str, list[Answer]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.asked: dict[str, int] = defaultdict(int)
        self.headers: list[dict[str, str]] = []

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def next(self, key: str) -> Answer:
        answers = self.script.get(key) or [(404, {}, {"code": 404, "reason": "NotFound", "message": f"no {key}"})]
        number = self.asked[key]
        self.asked[key] += 1
        return answers[min(number, len(answers) - 1)]

    def handle_error(self, *_arguments: t.Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Scripted
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.headers.append({name.title(): value for name, value in self.headers.items()})
        path, _mark, query = self.path.partition("?")
        status, headers, body = self.server.next(f"watch {path}" if "watch=1" in query else f"{self.command} {path}")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, value in headers.items():
            self.send_header(name, value)
        if isinstance(body, list):
            self._stream(body)
            return
        data = json.dumps(body).encode()
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_PATCH = _answer

    def _stream(self, events: list[t.Any]) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_arguments: t.Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def scripted(script: dict[str, list[Answer]]) -> t.Iterator[Scripted]:
    server = Scripted(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
