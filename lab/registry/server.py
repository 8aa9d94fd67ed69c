"""The pull side of the OCI distribution API over a store of image layouts."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lab.registry.layout import Layout, LayoutError

ROUTE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags)/(?P<reference>[^/]+)")
IDLE_SECONDS = 30.0


class Refusal(Exception):
    """An answer other than 200, with the specification's code for it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; everything that would change the store is refused."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    wbufsize = -1
    server: RegistryServer

    def _read(self) -> None:
        try:
            self._route(urlsplit(self.path).path)
        except Refusal as refusal:
            self._refuse(refusal)
        except (LayoutError, OSError) as error:
            self._refuse(Refusal(500, "UNKNOWN", str(error)))

    do_GET = do_HEAD = _read

    def _change(self) -> None:
        self.close_connection = True
        self._refuse(Refusal(405, "UNSUPPORTED", "this registry is read-only"))

    do_POST = do_PUT = do_PATCH = do_DELETE = _change

    def _route(self, path: str) -> None:
        if path in {"/v2", "/v2/"}:
            self._send(200, "application/json", b"{}")
            return
        match = ROUTE.fullmatch(path)
        if match is None:
            raise Refusal(404, "NAME_UNKNOWN", f"no such path: {path}")
        layout = self._layout(match["name"])
        if match["kind"] == "manifests":
            self._manifest(layout, match["reference"])
        elif match["kind"] == "blobs":
            self._blob(layout, match["reference"])
        elif match["reference"] == "list":
            self._tags(layout, match["name"])
        else:
            raise Refusal(404, "NAME_UNKNOWN", f"no such path: {path}")

    def _layout(self, name: str) -> Layout:
        try:
            layout = Layout.find(self.server.store, name)
        except LayoutError as error:
            raise Refusal(400, "NAME_INVALID", str(error)) from error
        if not layout.exists():
            raise Refusal(404, "NAME_UNKNOWN", f"no repository {name}")
        return layout

    def _manifest(self, layout: Layout, reference: str) -> None:
        descriptor = layout.resolve(reference)
        path = layout.blob_path(descriptor["digest"]) if descriptor else None
        if descriptor is None or path is None or not path.is_file():
            raise Refusal(404, "MANIFEST_UNKNOWN", f"no manifest {reference}")
        self._send(200, descriptor["mediaType"], path.read_bytes(), descriptor["digest"])

    def _blob(self, layout: Layout, digest: str) -> None:
        try:
            path = layout.blob_path(digest)
        except LayoutError as error:
            raise Refusal(400, "DIGEST_INVALID", str(error)) from error
        if not path.is_file():
            raise Refusal(404, "BLOB_UNKNOWN", f"no blob {digest}")
        self._send(200, "application/octet-stream", path.read_bytes(), digest)

    def _tags(self, layout: Layout, name: str) -> None:
        query = parse_qs(urlsplit(self.path).query)
        last = query.get("last", [""])[0]
        count = query.get("n", [""])[0]
        if count and not count.isdigit():
            raise Refusal(400, "UNSUPPORTED", f"n is {count!r}, not a number")
        remaining = [tag for tag in layout.tags() if tag > last]
        page = remaining[: int(count)] if count else remaining
        link = f'</v2/{name}/tags/list?n={count}&last={page[-1]}>; rel="next"' if page and page != remaining else None
        self._send(200, "application/json", json.dumps({"name": name, "tags": page}).encode(), link=link)

    def _refuse(self, refusal: Refusal) -> None:
        errors = [{"code": refusal.code, "message": str(refusal), "detail": None}]
        self._send(refusal.status, "application/json", json.dumps({"errors": errors}).encode())

    def _send(self, status: int, kind: str, data: bytes, digest: str | None = None, link: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-API-Version", "registry/2.0")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if digest:
            self.send_header("Docker-Content-Digest", digest)
            self.send_header("ETag", f'"{digest}"')
        if link:
            self.send_header("Link", link)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of single requests."""


class RegistryServer(ThreadingHTTPServer):
    """Serves the images in ``store``."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], store: Path) -> None:
        self.store = store
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind, without the look-up of the host's name that the standard library would make."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the registry."""
