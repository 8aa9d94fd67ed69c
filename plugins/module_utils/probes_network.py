# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names and connections as one vantage point sees them: its name servers, its source address, no cache.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import queue
import socket
import threading
import typing as t

from .clock import Deadline
from .probes_model import CannotTell, CheckFailed, VantagePoint

try:
    import dns.exception
    import dns.flags
    import dns.nameserver
    import dns.rcode
    import dns.resolver

    dnspython: t.Any = dns
except ImportError:  # a check that needs it says so
    dnspython = None

#: Errors of this machine or its network, not of the service.
_LOCAL_ERRORS = {errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EMFILE, errno.EACCES, errno.EPERM}


def addresses_of(host: str, point: VantagePoint, deadline: Deadline) -> list[str]:
    """Resolve a host name now, through the vantage point's name servers. A literal address is itself.

    Raises CheckFailed when there is an answer and it is no address, CannotTell when nobody answers.
    """
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    if not point.nameservers:
        return _system_addresses(host, deadline)
    source = point.source_address
    kinds = ("A", "AAAA") if source is None else ("AAAA",) if ":" in source else ("A",)
    for kind in kinds:
        answer = query(host, kind, point, deadline)
        if answer:
            return [record.address for record in answer]
    raise CheckFailed(f"{host} has no {' or '.join(kinds)} record")


def query(name: str, kind: str, point: VantagePoint, deadline: Deadline) -> t.Any:
    """Ask for one record set; an answer without records comes back empty. Raises as `addresses_of` does.

    A resolver that says SERVFAIL has answered: its other clients cannot resolve the name either.
    """
    if dnspython is None:
        raise CannotTell("the Python package dnspython is not installed")
    try:
        resolver = _resolver(point)
        resolver.lifetime = max(deadline.remaining, 0.001)
        resolver.timeout = min(2.0, resolver.lifetime)
        source = point.source_address if point.nameservers else None
        return resolver.resolve(name, kind, search=False, raise_on_no_answer=False, source=source).rrset
    except dns.resolver.NXDOMAIN:
        raise CheckFailed(f"{name} does not exist in DNS") from None
    except dns.resolver.NoNameservers as error:
        rcodes = {entry[4].rcode() for entry in error.kwargs.get("errors", []) if entry[4] is not None}
        if dns.rcode.SERVFAIL in rcodes:
            raise CheckFailed(f"the resolver answers SERVFAIL for {name} {kind}") from None
        raise CannotTell(f"no resolver answers: {_line(error)}") from None
    except (dns.exception.DNSException, OSError) as error:
        raise CannotTell(f"no resolver answers: {_line(error)}") from None


def connect(point: VantagePoint, addresses: t.Sequence[str], port: int, deadline: Deadline) -> socket.socket:
    """Open a TCP connection to the first address that takes it, from the vantage point's source address.

    Raises CheckFailed when the other side refuses or is silent, CannotTell when this side cannot try.
    """
    refusals: list[tuple[OSError, str]] = []
    source = (point.source_address, 0) if point.source_address else None
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        share = max(deadline.remaining / left, 0.001)  # a silent address leaves time for the others
        try:
            return socket.create_connection((address, port), share, source)
        except OSError as error:
            refusals.append((error, show(address, port)))
    remote = [(error, where) for error, where in refusals if error.errno not in _LOCAL_ERRORS]
    last, where = (remote or refusals)[-1]
    reason = f"cannot connect to {where}: {describe(last, deadline)}"
    if remote:
        raise CheckFailed(reason, where)
    raise CannotTell(reason)


def bindable(point: VantagePoint) -> str | None:
    """Return why a vantage point's source address is none of this machine's, or None."""
    if not point.source_address:
        return None
    family = socket.AF_INET6 if ":" in point.source_address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.bind((point.source_address, 0))
    except OSError as error:
        return f"source address {point.source_address} of vantage point {point.name}: {error.strerror}"
    return None


@contextlib.contextmanager
def cut_off(connection: socket.socket, deadline: Deadline) -> t.Iterator[None]:
    """End a connection at the deadline, however slowly the other side drips."""
    # The plain shutdown: ssl's own would drop the TLS state under the reading thread.
    timer = threading.Timer(deadline.remaining, _shut, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def describe(error: Exception, deadline: Deadline) -> str:
    """Say in one line what went wrong with a connection."""
    if deadline.expired:
        return f"no answer within {deadline.seconds:g} s"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _line(error) or type(error).__name__


def show(address: str, port: int) -> str:
    """Write an address with its port."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def peer_of(connection: socket.socket) -> str:
    """Write the address that a socket is connected to."""
    return show(*connection.getpeername()[:2])


def _resolver(point: VantagePoint) -> t.Any:
    resolver = dns.resolver.Resolver(configure=not point.nameservers)
    resolver.cache = None
    if point.nameservers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in point.nameservers]
    return resolver


def _system_addresses(host: str, deadline: Deadline) -> list[str]:
    """Ask the system's resolver, whose own timeout nobody can set, for no longer than the deadline."""
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            answers.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=ask, daemon=True, name=f"resolve {host}").start()
    try:
        answer = answers.get(timeout=max(deadline.remaining, 0.001))
    except queue.Empty:
        raise CannotTell(f"the system's resolver is silent about {host}") from None
    if isinstance(answer, list):
        return answer
    if isinstance(answer, socket.gaierror) and answer.errno in (socket.EAI_AGAIN, socket.EAI_FAIL):
        raise CannotTell(f"the system's resolver cannot tell {host}: {answer.strerror}")
    raise CheckFailed(f"{host} does not resolve: {answer.strerror or answer}")


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
