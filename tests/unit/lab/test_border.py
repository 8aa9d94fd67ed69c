"""A region's border as a process, between real sockets: what passes, what does not, and how each looks from outside."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.border.rules import Rule, as_document
from tests.unit.processes import free_address
from tests.unit.servers import eventually

ROOT = Path(__file__).resolve().parents[3]
PORT = 7000


class EchoServer:
    """Sends back what it gets, and the end of it; a line ``reset`` makes it reset the connection."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.got = b""
        self.peers: list[str] = []
        self._server = socket.create_server(address)
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no more, and hang up."""
        for one in (self._server, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self._server.accept()
                self.peers.append(peer[0])
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := connection.recv(65536):
                self.got += data
                if data == b"reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    connection.close()
                    return
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)


class Edge:
    """A border with one way in for the world and one way out to the witness."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.source, self.public, self.inner, self.outbound, self.outside = (free_address() for _ in range(5))
        routes = [
            {"name": "service", "peer": "world", "opens": "in", "listen": (self.public, PORT),
             "forward": (self.inner, PORT)},
            {"name": "witness", "peer": "witness", "opens": "out", "listen": (self.outbound, PORT),
             "forward": (self.outside, PORT)},
        ]  # fmt: skip
        config = {
            "region": "here",
            "source": self.source,
            "rules": str(directory / "rules.json"),
            "applied": str(directory / "applied"),
            "routes": routes,
        }
        (directory / "border.json").write_text(json.dumps(config))
        self._version = 0
        self.start()

    def start(self) -> None:
        """Start the process, and wait until it knows its rules."""
        (self.directory / "applied").unlink(missing_ok=True)
        argv = [sys.executable, "-m", "lab.border", "--config", str(self.directory / "border.json")]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
        eventually((self.directory / "applied").exists)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the process."""
        self.process.send_signal(number)
        return self.process.wait(10)

    def rules(self, *rules: tuple[str, str, Rule]) -> None:
        """Put rules in force in place of those that were."""
        self._version += 1
        (self.directory / "rules.json").write_text(json.dumps(as_document(str(self._version), rules)))
        self.process.send_signal(signal.SIGHUP)
        eventually(lambda: (self.directory / "applied").read_text() == str(self._version))

    def connect(self, address: str = "", timeout: float = 5.0) -> socket.socket:
        """A client's connection from outside, or from inside to what is outside."""
        return socket.create_connection((address or self.public, PORT), timeout)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    made = Edge(tmp_path)
    yield made
    made.process.kill()
    made.process.wait(10)


@pytest.fixture
def serve(edge: Edge) -> Iterator[Callable[[str], EchoServer]]:
    """Start a server behind the border or beyond it, and wait until the border shows it."""
    servers: list[EchoServer] = []

    def start(address: str) -> EchoServer:
        servers.append(EchoServer((address, PORT)))
        shown = edge.public if address == edge.inner else edge.outbound
        eventually(lambda: connects(edge, shown))
        servers[-1].peers.clear()
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def connects(edge: Edge, address: str) -> bool:
    try:
        edge.connect(address).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return False
    return True


def refused(edge: Edge, address: str) -> bool:
    try:
        edge.connect(address).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # taken just before the border knew that nobody listens any more
        return False
    return False


def received(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(65536)):
        data += more
    return data


def is_silent(connection: socket.socket, seconds: float = 0.3) -> bool:
    """Whether neither bytes nor an end come."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) is None
    except TimeoutError:
        return True
    finally:
        connection.settimeout(5)


Serve = Callable[[str], EchoServer]


def test_bytes_pass_whole_in_both_directions(edge: Edge, serve: Serve) -> None:
    serve(edge.inner)
    data = bytes(range(256)) * 20000
    with edge.connect() as client:
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        assert received(client, len(data)) == data


def test_one_side_may_end_before_the_other(edge: Edge, serve: Serve) -> None:
    server = serve(edge.inner)
    with edge.connect() as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert received(client, 100) == b"last words"
    assert server.got == b"last words"


def test_a_reset_passes_as_a_reset(edge: Edge, serve: Serve) -> None:
    serve(edge.inner)
    with edge.connect() as client:
        client.sendall(b"reset")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_where_nobody_listens_behind_it_connections_are_refused(edge: Edge, serve: Serve) -> None:
    with pytest.raises(ConnectionRefusedError):
        edge.connect()
    server = serve(edge.inner)
    with edge.connect() as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    server.close()
    eventually(lambda: refused(edge, edge.public))


def test_what_leaves_comes_from_the_regions_own_address(edge: Edge, serve: Serve) -> None:
    server = serve(edge.outside)
    with edge.connect(edge.outbound) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert set(server.peers) == {edge.source}


BOTH = ("in", "out")


def drop(*ways: str, peer: str = "world") -> list[tuple[str, str, Rule]]:
    return [(peer, way, Rule(drop=True)) for way in ways]


@pytest.mark.parametrize("ways", [BOTH, ("in",), ("out",)])
def test_a_new_connection_through_a_black_hole_never_completes(edge: Edge, serve: Serve, ways: tuple[str, ...]) -> None:
    serve(edge.inner)
    edge.rules(*drop(*ways))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            edge.connect(timeout=0.3)
    edge.rules()
    with edge.connect() as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"


def test_an_established_connection_is_silent_and_goes_on_afterwards(edge: Edge, serve: Serve) -> None:
    server = serve(edge.inner)
    with edge.connect() as client:
        client.sendall(b"before")
        assert received(client, 6) == b"before"
        edge.rules(*drop(*BOTH))
        client.sendall(b" after")
        assert is_silent(client)
        assert server.got == b"before"
        edge.rules()
        assert received(client, 6) == b" after"


def test_the_end_of_a_connection_does_not_pass_a_black_hole_either(edge: Edge, serve: Serve) -> None:
    server = serve(edge.inner)
    with edge.connect() as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        edge.rules(*drop(*BOTH))
        server.close()
        assert is_silent(client)
        edge.rules()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


def test_nothing_leaves_one_way_out_but_what_comes_in_arrives(edge: Edge, serve: Serve) -> None:
    server = serve(edge.inner)
    with edge.connect() as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        edge.rules(*drop("out"))
        client.sendall(b"b")
        eventually(lambda: server.got == b"ab")
        assert is_silent(client)
        edge.rules()
        assert client.recv(1) == b"b"


def test_one_who_hung_up_meanwhile_is_no_trouble_for_others(edge: Edge, serve: Serve) -> None:
    server = serve(edge.inner)
    edge.rules(*drop())
    clients = [edge.connect() for _ in range(3)]
    for client in clients:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
    edge.rules(*drop("out"))
    for client in clients[:2]:
        client.sendall(b"b")
        client.close()  # the answer, and the end that follows it, are on their way to nobody
    eventually(lambda: server.got.count(b"b") == 2)
    clients[2].sendall(b"c")
    eventually(lambda: b"c" in server.got)
    edge.rules()
    assert clients[2].recv(1) == b"c"
    clients[2].close()


def test_nothing_arrives_one_way_in(edge: Edge, serve: Serve) -> None:
    server = serve(edge.inner)
    with edge.connect() as client:
        client.sendall(b"a")
        assert client.recv(1) == b"a"
        edge.rules(*drop("in"))
        client.sendall(b"b")
        assert is_silent(client)
        assert server.got == b"a"


def test_a_rule_is_for_its_peer_alone(edge: Edge, serve: Serve) -> None:
    serve(edge.inner)
    serve(edge.outside)
    edge.rules(*drop(*BOTH, peer="witness"))
    with edge.connect() as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    with pytest.raises(TimeoutError):
        edge.connect(edge.outbound, timeout=0.3)


def test_a_black_hole_is_one_whether_anybody_is_behind_it_or_not(edge: Edge, serve: Serve) -> None:
    server = serve(edge.inner)
    server.close()
    eventually(lambda: refused(edge, edge.public))
    edge.rules(*drop(*BOTH))
    with pytest.raises(TimeoutError):
        edge.connect(timeout=0.3)


def test_rules_outlive_the_process(edge: Edge, serve: Serve) -> None:
    serve(edge.inner)
    edge.rules(*drop(*BOTH))
    edge.stop(signal.SIGKILL)
    edge.start()
    with pytest.raises(TimeoutError):
        edge.connect(timeout=0.3)


def test_rules_that_cannot_be_read_change_nothing(edge: Edge, serve: Serve) -> None:
    serve(edge.inner)
    edge.rules(*drop(*BOTH))
    (edge.directory / "rules.json").write_text('{"version": "x", "peers": {"world": {"up": {}}}}')
    edge.process.send_signal(signal.SIGHUP)
    eventually(lambda: "unknown directions" in (edge.directory / "log").read_text())
    with pytest.raises(TimeoutError):
        edge.connect(timeout=0.3)


@pytest.mark.parametrize("rule", [Rule(delay=0.1), Rule(loss=0.3, seed=7), Rule(rate=200000.0)])
def test_a_bad_link_loses_no_byte_and_keeps_their_order(edge: Edge, serve: Serve, rule: Rule) -> None:
    serve(edge.inner)
    edge.rules(("world", "in", rule), ("world", "out", rule))
    data = b"".join(b"%06d" % number for number in range(5000))
    with edge.connect() as client:
        client.settimeout(60)
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        assert received(client, len(data)) == data


@pytest.mark.parametrize("change", [{"routes": [{}]}, {"source": None, "routes": None}])
def test_a_bad_configuration_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "border.json"
    path.write_text(json.dumps({"region": "here", "rules": "r", "applied": "a", **change}))
    argv = [sys.executable, "-m", "lab.border", "--config", str(path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Failed to read" in done.stdout


def test_an_orderly_end_is_no_error(edge: Edge) -> None:
    assert edge.stop() == 0
