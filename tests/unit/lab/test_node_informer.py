"""List and watch against a server that does what real ones do at their worst."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes.client import ApiClient, Configuration, CoreV1Api

from lab.node.informer import Informer
from tests.unit.lab.node_support import wait_until

GONE = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}


def pod(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version)}}


class Server(ThreadingHTTPServer):
    """Answers each list with the next of ``lists`` (the last one for ever), and each watch with the next of
    ``watches``: bytes as they are, then the end."""

    daemon_threads = True

    def __init__(self) -> None:
        self.lists: list[list[dict[str, Any]]] = []
        self.watches: list[tuple[int, list[bytes]]] = []
        self.versions: list[str] = []
        self.listed = 0
        self.closing = threading.Event()
        super().__init__(("127.79.7.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if "watch" not in query:
            items = self.server.lists[min(self.server.listed, len(self.server.lists) - 1)]
            self.server.listed += 1
            document = {"metadata": {"resourceVersion": str(100 * self.server.listed)}, "items": items}
            self._whole(200, document)
            return
        self.server.versions.append(query["resourceVersion"][0])
        if not self.server.watches:
            self.server.closing.wait(30)
            return
        status, chunks = self.server.watches.pop(0)
        if status != 200:
            self._whole(status, GONE)
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if chunks and not chunks[-1].endswith(b"\n"):
            self.close_connection = True  # cut in the middle of a line
            return
        self.wfile.write(b"0\r\n\r\n")

    def _whole(self, status: int, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def line(kind: str, document: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": document}).encode() + b"\n"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield running
        running.closing.set()
        running.shutdown()


class Seen:
    """What an informer told, in order."""

    def __init__(self, server: Server) -> None:
        self.events: list[str] = []
        configuration = Configuration()
        configuration.host = f"http://127.79.7.1:{server.server_port}"
        configuration.retries = False
        api = CoreV1Api(ApiClient(configuration))
        self.informer = Informer("pods", api.list_pod_for_all_namespaces, self._applied, self._deleted)
        self.informer.start()

    def _applied(self, document: dict[str, Any]) -> None:
        self.events.append(f"+{document['metadata']['name']}@{document['metadata']['resourceVersion']}")

    def _deleted(self, document: dict[str, Any]) -> None:
        self.events.append(f"-{document['metadata']['name']}")


def test_ended_watch_goes_on_from_the_last_version(server: Server) -> None:
    server.lists = [[pod("a", 1)]]
    events = line("ADDED", pod("b", 101)) + line("MODIFIED", pod("a", 102)) + line("DELETED", pod("b", 103))
    # Cut between any two bytes: chunks are no lines.
    server.watches = [(200, [events[:40], events[40:200], events[200:]]), (200, [line("BOOKMARK", pod("", 150))])]
    seen = Seen(server)
    wait_until(lambda: len(server.versions) == 3, "a third watch")
    assert seen.events == ["+a@1", "+b@101", "+a@102", "-b"]
    assert (server.versions, server.listed) == (["100", "103", "150"], 1)


@pytest.mark.parametrize("answer", [(410, []), (200, [line("ERROR", GONE)])], ids=["status", "event"])
def test_version_too_old_leads_to_a_new_list(server: Server, answer: tuple[int, list[bytes]]) -> None:
    server.lists = [[pod("a", 1), pod("b", 2), pod("c", 3)], [pod("a", 101), pod("c", 150)]]
    server.watches = [(200, [line("MODIFIED", pod("a", 101))]), answer]
    seen = Seen(server)
    wait_until(lambda: server.listed == 2 and len(server.versions) == 3, "a list and a watch")
    assert seen.events == ["+a@1", "+b@2", "+c@3", "+a@101", "-b", "+c@150"]
    assert server.versions[-1] == "200"


def test_watch_cut_in_the_middle_of_a_line_loses_nothing(server: Server) -> None:
    server.lists = [[pod("a", 1)], [pod("a", 1), pod("b", 101), pod("c", 102)]]
    server.watches = [(200, [line("ADDED", pod("b", 101)), line("ADDED", pod("c", 102))[:30]])]
    seen = Seen(server)
    wait_until(lambda: seen.events == ["+a@1", "+b@101", "+c@102"], "the event that was cut")
