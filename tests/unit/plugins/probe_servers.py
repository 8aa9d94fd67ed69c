"""Real servers on loopback for the health probe to ask: HTTP with faults, TLS, DNS with faults."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import json
import socket
import ssl
import threading
import typing as t
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.dns.server import DnsServer


class Api(http.server.ThreadingHTTPServer):
    """A service; its attributes are its faults and what it saw."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rows: dict[str, str] = {}
        self.loses_writes = False
        self.sick_for = 0
        self.asked: list[tuple[str, str]] = []
        self.clients: set[str] = set()
        self.over = threading.Event()

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.at}"

    def handle_error(self, *_arguments: t.Any) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Api
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._seen()
        path = self.path.partition("?")[0]
        if path.startswith("/writes/"):
            identifier = path.rsplit("/", 1)[1]
            found = identifier in self.server.rows
            self._answer(200 if found else 404, self.server.rows.get(identifier, "{}"))
        elif path == "/redirect":
            self._answer(302, "", Location="/health")
        elif path == "/sick" or (path == "/flaky" and self._still_sick()):
            self._answer(503, "database unreachable")
        elif path == "/drip":
            self._drip()
        elif path == "/short":
            self._answer(200, "ok", length=100)
        elif path == "/echo":
            self._answer(200, json.dumps({**dict(self.headers), "client": self.client_address[0]}))
        else:
            self._answer(200, '{"status":"ok"}')

    def do_POST(self) -> None:
        self._seen()
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if not self.server.loses_writes:
            self.server.rows[str(json.loads(body)["id"])] = body
        self._answer(201, "{}")

    def _seen(self) -> None:
        self.server.asked.append((self.command, self.path))
        self.server.clients.add(self.client_address[0])

    def _still_sick(self) -> bool:
        self.server.sick_for -= 1
        return self.server.sick_for >= 0

    def _drip(self) -> None:
        """Send a byte of a header at a time, for as long as the client listens."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        with contextlib.suppress(OSError):
            while not self.server.over.wait(0.05):
                self.wfile.write(b".")

    def _answer(self, status: int, body: str, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body.encode())
        self.close_connection = True

    def log_message(self, *_arguments: t.Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(api: Api, certificate: Path | None = None) -> t.Iterator[Api]:
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        api.socket = context.wrap_socket(api.socket, server_side=True)
    thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.over.set()
        api.shutdown()
        api.server_close()
        thread.join()


def certificate_for(name: str, directory: Path) -> Path:
    """Write a self-signed certificate for a host name, with its key, as one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = directory / f"{name}.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


class Names:
    """A name server: `records` maps (name, type) to (TTL, values); `rcode` answers everything with an error."""

    def __init__(self) -> None:
        self._server = DnsServer("127.0.0.1", 0, self._respond)
        self.reset({})

    def reset(self, records: dict[tuple[str, str], tuple[int, list[str]]]) -> None:
        self.records = records
        self.rcode: dns.rcode.Rcode | None = None
        self.queries = 0

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self._server.port}"

    def __enter__(self) -> Names:
        self._server.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.stop()

    def _respond(self, query: dns.message.Message) -> dns.message.Message:
        self.queries += 1
        answer = dns.message.make_response(query)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        if self.rcode is not None:
            answer.set_rcode(self.rcode)
        elif (name, kind) in self.records:
            ttl, values = self.records[name, kind]
            answer.answer.append(dns.rrset.from_text(question.name, ttl, "IN", kind, *values))
        elif name not in {known for known, _kind in self.records}:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer


@contextlib.contextmanager
def silent_udp() -> t.Iterator[str]:
    """A name server that never answers: its address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{one.getsockname()[1]}"


@contextlib.contextmanager
def silent_tcp() -> t.Iterator[str]:
    """A server that takes connections and never says a word: its address."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield f"127.0.0.1:{one.getsockname()[1]}"


def closed_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])
