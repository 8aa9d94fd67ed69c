# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One HTTP exchange from a vantage point, to the address that the caller or the name servers choose.

PRIVATE to the collection.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import typing as t
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .clock import Deadline
from .probes_model import CannotTell, CheckFailed, VantagePoint, endpoint
from .probes_network import addresses_of, connect, cut_off, describe, peer_of

#: Bytes of an answer that are looked at.
_BODY_LIMIT = 1024 * 1024


@dataclass(frozen=True)
class Request:
    """What is asked. `address` is connected to in place of the URL's host, which still is the name in TLS."""

    url: str
    method: str = "GET"
    headers: t.Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    address: str | None = None
    ca_path: str | None = None


@dataclass(frozen=True)
class Reply:
    """What was answered, by whom (address:port)."""

    status: int
    body: str
    address: str


def exchange(request: Request, point: VantagePoint, deadline: Deadline) -> Reply:
    """Send one request over a connection of its own; redirects are answers, not followed.

    Raises CheckFailed when no HTTP answer comes in time or the certificate is not valid, CannotTell when
    the vantage point cannot ask.
    """
    parts = urlsplit(request.url)
    host = str(parts.hostname)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses, port = _where(request, host, port, point, deadline)
    connection = connect(point, addresses, port, deadline)
    address = peer_of(connection)
    try:
        if parts.scheme == "https":
            connection = _tls(connection, host, request.ca_path, deadline)
        with cut_off(connection, deadline):
            return _ask(connection, request, deadline, address)
    except ssl.SSLCertVerificationError as error:
        raise CheckFailed(f"{address}: certificate not valid for {host}: {error.verify_message}", address) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CheckFailed(f"{address}: {describe(error, deadline)}", address) from None
    finally:
        connection.close()


def _where(request: Request, host: str, port: int, point: VantagePoint, deadline: Deadline) -> tuple[list[str], int]:
    if not request.address:
        return addresses_of(host, point, deadline), port
    address, other_port = endpoint(request.address, port, "address")
    return [address], other_port


def _ask(connection: socket.socket, request: Request, deadline: Deadline, address: str) -> Reply:
    parts = urlsplit(request.url)
    headers = {"Host": parts.netloc, "User-Agent": "terragon-disaster-recovery", "Connection": "close"}
    named = {name.title(): name for name in headers}
    for name, value in request.headers.items():
        headers[named.get(name.title(), name)] = value
    conversation = http.client.HTTPConnection(str(parts.hostname))
    conversation.sock = connection
    connection.settimeout(max(deadline.remaining, 0.001))
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    conversation.request(request.method, target, request.body, headers)
    answer = conversation.getresponse()
    body = answer.read(_BODY_LIMIT)
    if deadline.expired:
        raise TimeoutError
    if answer.length and len(body) < _BODY_LIMIT:
        raise http.client.IncompleteRead(body, answer.length)
    return Reply(answer.status, body.decode("utf-8", "replace"), address)


def _tls(connection: socket.socket, host: str, ca_path: str | None, deadline: Deadline) -> socket.socket:
    try:
        context = ssl.create_default_context(cafile=ca_path)
    except (OSError, ssl.SSLError) as error:
        raise CannotTell(f"cannot read the certificates in {ca_path}: {error}") from None
    wrapped = context.wrap_socket(connection, server_hostname=host, do_handshake_on_connect=False)
    try:
        with cut_off(wrapped, deadline):
            wrapped.do_handshake()
    except BaseException:
        wrapped.close()
        raise
    return wrapped
