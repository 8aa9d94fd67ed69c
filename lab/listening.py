"""Who listens on this machine, as the kernel says."""

from __future__ import annotations

import socket

#: the state of a listening socket in /proc/net/tcp
TCP_LISTEN = "0A"


def listening_addresses() -> set[tuple[str, int]]:
    """Every IPv4 address and port on which something listens. The kernel lists them first: the rest is not read."""
    found = set()
    with open("/proc/net/tcp", encoding="ascii") as table:
        next(table)
        for line in table:
            _, local, _, state, *_ = line.split(maxsplit=4)
            if state != TCP_LISTEN:
                break
            address, port = local.split(":")
            found.add((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found
