"""A loopback network of the lab's own, and ports that nobody has."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lab.errors import LabError
from lab.listening import listening_addresses

#: 127.20.0.0/16 to 127.79.0.0/16; tests take theirs above
SUBNETS = range(20, 80)
#: SeaweedFS also listens on 127.0.0.1 and names sockets in /tmp by port alone: each lab has a block of its own
STORE_PORTS = ("master", "volume", "filer", "s3", "master.grpc", "volume.grpc", "filer.grpc", "s3.grpc", "s3.https")
STORE_PORT_BASE = 20000
STORE_BLOCK = 32


def claim_subnet(directory: Path, lab_id: str) -> str:
    """Take the first free network for this lab, for example ``127.23``. Raises LabError when all are taken."""
    start = sum(str(directory).encode()) % len(SUBNETS)
    for number in (*SUBNETS[start:], *SUBNETS[:start]):
        if not _claim(number, directory, lab_id):
            continue
        if not _listeners(number) and all(is_free("127.0.0.1", port) for port in store_block(number)):
            return f"127.{number}"
        release_subnet(f"127.{number}", lab_id)
    first, last = SUBNETS[0], SUBNETS[-1]
    raise LabError(
        f"Failed to find a free network for the lab: 127.{first} to 127.{last} are in use. Stop another lab."
    )


def release_subnet(subnet: str, lab_id: str) -> None:
    """Give the network back, if this lab holds it."""
    path = _claim_path(int(subnet.partition(".")[2]))
    if _claimed_by(path).get("lab") == lab_id:
        path.unlink(missing_ok=True)


def store_block(number: int) -> range:
    """The ports of the SeaweedFS servers of the lab on 127.<number>."""
    first = STORE_PORT_BASE + (number - SUBNETS[0]) * STORE_BLOCK
    return range(first, first + STORE_BLOCK)


def store_ports(subnet: str, index: int) -> dict[str, int]:
    """The ports of the ``index``-th SeaweedFS of a lab, by what they are for."""
    block = store_block(int(subnet.partition(".")[2]))
    return {name: block[index * len(STORE_PORTS) + offset] for offset, name in enumerate(STORE_PORTS)}


def free_port(preferred: int, addresses: Iterable[str]) -> int:
    """The first port from ``preferred`` on that is free (TCP and UDP) on all the addresses. Raises LabError."""
    wanted = list(addresses)
    for port in range(preferred, preferred + 200):
        if all(is_free(address, port) for address in wanted):
            return port
    raise LabError(f"Failed to find a free port from {preferred} on {', '.join(wanted)}. Stop what listens there.")


def is_free(address: str, port: int) -> bool:
    """Whether a server could listen there now."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def _claim(number: int, directory: Path, lab_id: str) -> bool:
    """Create the claim file; take over one whose lab is gone."""
    path = _claim_path(number)
    body = json.dumps({"directory": str(directory), "lab": lab_id}).encode()
    for _ in range(2):
        try:
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), "wb") as file:
                file.write(body)
            return True
        except FileExistsError:
            if not _is_stale(_claimed_by(path)):
                return False
            try:
                path.unlink(missing_ok=True)
            except OSError:
                return False
    return False


def _claimed_by(path: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(path.read_text()))
    return {}


def _is_stale(claim: dict[str, str]) -> bool:
    """True when the lab that made the claim certainly has another network now, or none."""
    try:
        return bool(json.loads((Path(claim["directory"]) / "lab.json").read_text())["id"] != claim["lab"])
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (KeyError, ValueError, OSError):
        return False


def _claim_path(number: int) -> Path:
    return Path(tempfile.gettempdir()) / f".dr-lab-network-{number}.json"


def _listeners(number: int) -> list[str]:
    """Addresses within 127.<number>.0.0/16 on which something listens."""
    return [address for address, _port in listening_addresses() if address.startswith(f"127.{number}.")]
