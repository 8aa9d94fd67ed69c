"""DNS over UDP and TCP on one port, for anything that can answer a message."""

from __future__ import annotations

import logging
import socket
import socketserver
import struct
import threading
from collections.abc import Callable

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode

log = logging.getLogger(__name__)

Respond = Callable[[dns.message.Message], dns.message.Message]
PLAIN_UDP_SIZE = 512
MAX_UDP_SIZE = 1232
TCP_IDLE_SECONDS = 10.0
BIND_ATTEMPTS = 20


def answer_wire(wire: bytes, respond: Respond, udp: bool) -> bytes | None:
    """A response in wire form; None for what is no query at all and gets no answer."""
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return _format_error(wire)
    if query.flags & dns.flags.QR:
        return None
    return _to_wire(_respond_safely(query, respond), udp, query)


def _format_error(wire: bytes) -> bytes | None:
    if len(wire) < 12 or wire[2] & 0x80:
        return None
    return wire[:2] + struct.pack("!HHHHH", 0x8000 | dns.rcode.FORMERR, 0, 0, 0, 0)


def _respond_safely(query: dns.message.Message, respond: Respond) -> dns.message.Message:
    if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
        refusal = dns.message.make_response(query)
        refusal.set_rcode(dns.rcode.NOTIMP if query.opcode() != dns.opcode.QUERY else dns.rcode.FORMERR)
        return refusal
    try:
        return respond(query)
    except Exception:
        log.exception("Failed to answer %s", query.question[0])
        failure = dns.message.make_response(query)
        failure.set_rcode(dns.rcode.SERVFAIL)
        return failure


def _to_wire(response: dns.message.Message, udp: bool, query: dns.message.Message) -> bytes:
    if not udp:
        return response.to_wire(max_size=65535)
    limit = min(MAX_UDP_SIZE, max(PLAIN_UDP_SIZE, query.payload)) if query.edns >= 0 else PLAIN_UDP_SIZE
    try:
        return response.to_wire(max_size=limit)
    except dns.exception.TooBig:
        truncated = dns.message.make_response(query)
        truncated.flags = response.flags | dns.flags.TC
        return truncated.to_wire(max_size=limit)


class _UdpServer(socketserver.ThreadingUDPServer):
    daemon_threads = True
    block_on_close = False
    max_packet_size = 65535

    def __init__(self, address: tuple[str, int], respond: Respond) -> None:
        self.respond = respond
        super().__init__(address, _UdpHandler)


class _UdpHandler(socketserver.BaseRequestHandler):
    server: _UdpServer

    def handle(self) -> None:
        wire, sock = self.request
        reply = answer_wire(wire, self.server.respond, udp=True)
        if reply is not None:
            sock.sendto(reply, self.client_address)


class _TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], respond: Respond) -> None:
        self.respond = respond
        super().__init__(address, _TcpHandler)


class _TcpHandler(socketserver.BaseRequestHandler):
    server: _TcpServer

    def handle(self) -> None:
        self.request.settimeout(TCP_IDLE_SECONDS)
        try:
            while (wire := self._read_message()) is not None:
                reply = answer_wire(wire, self.server.respond, udp=False)
                if reply is None:
                    return
                self.request.sendall(struct.pack("!H", len(reply)) + reply)
        except OSError:
            return

    def _read_message(self) -> bytes | None:
        header = self._read_exactly(2)
        return None if header is None else self._read_exactly(struct.unpack("!H", header)[0])

    def _read_exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            chunk = self.request.recv(size - len(data))
            if not chunk:
                return None
            data += chunk
        return data


class DnsServer:
    """Listens on UDP and TCP of one port; port 0 takes a free one, read it back from ``port``."""

    def __init__(self, host: str, port: int, respond: Respond) -> None:
        self._udp, self._tcp = _bind_both(host, port, respond)
        self.host = host
        self.port = int(self._udp.server_address[1])
        self._threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True, name=name)
            for server, name in ((self._udp, "dns-udp"), (self._tcp, "dns-tcp"))
        ]

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        for server in (self._udp, self._tcp):
            server.shutdown()
            server.server_close()


def _bind_both(host: str, port: int, respond: Respond) -> tuple[_UdpServer, _TcpServer]:
    attempts = BIND_ATTEMPTS if port == 0 else 1
    for attempt in range(attempts):
        udp = _UdpServer((host, port), respond)
        try:
            return udp, _TcpServer((host, udp.socket.getsockname()[1]), respond)
        except OSError:
            udp.server_close()
            if attempt == attempts - 1:
                raise
    raise socket.gaierror(f"Failed to bind {host}: no port free for both UDP and TCP")
