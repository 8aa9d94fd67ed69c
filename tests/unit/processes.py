"""What the real servers of the tests share: free addresses, waiting, ending a process."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

#: Far beyond what anything here takes; only a hang meets it.
PATIENCE_SECONDS = 60.0


def eventually(condition: Callable[[], Any], what: str = "the condition", patience: float = PATIENCE_SECONDS) -> Any:
    """The first truthy value of `condition`."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true"
        threading.Event().wait(0.02)
    return value


def free_address() -> str:
    """A loopback address that belongs to whoever asked (one of sixteen million)."""
    return f"127.{random.randint(80, 249)}.{random.randint(1, 254)}.{random.randint(1, 254)}"


def free_ports(host: str, count: int) -> list[int]:
    """Ports that are free on `host` and on 127.0.0.1, where SeaweedFS listens too."""
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            chosen = stack.enter_context(socket.socket())
            chosen.bind(("127.0.0.1", 0))
            port = int(chosen.getsockname()[1])
            other = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                other.bind((host, port))
                ports.append(port)
        return ports


def listens(host: str, port: int) -> bool:
    """True when something takes connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def kill(process: subprocess.Popen[Any], how: signal.Signals = signal.SIGKILL) -> None:
    """Signal a process and wait until it is gone."""
    if process.poll() is None:
        process.send_signal(how)
    process.wait(PATIENCE_SECONDS)
