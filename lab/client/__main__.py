"""``python -m lab.client --config FILE``: use the services until SIGTERM.

Config: {"directory", "resolver": {"address", "port"}, "services": [{"name", "url", "per_second"}], "timeout": 1.0}
A service that has an "address" is used there, and its name is not asked for.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

from .http import ServiceConnection
from .names import Names, OneAddress, Resolver
from .traffic import Traffic

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.client", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON configuration file")
    config = json.loads(parser.parse_args().config.read_text(encoding="utf-8"))
    directory = Path(config["directory"])
    directory.mkdir(parents=True, exist_ok=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # taken by sigwait, whenever they come
    timeout = float(config.get("timeout", 1.0))
    clients = [
        Traffic(
            service["name"],
            ServiceConnection(service["url"], resolver_of(config, service, timeout), timeout),
            directory / f"{service['name']}.jsonl",
            float(service.get("per_second", 5)),
        )
        for service in config["services"]
    ]
    for client in clients:
        client.start()
    print(f"client of {', '.join(client.service for client in clients)}", flush=True)
    signal.sigwait(STOP_SIGNALS)
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(timeout=3 * timeout)
    return 0


def resolver_of(config: dict[str, Any], service: dict[str, Any], timeout: float) -> Resolver:
    """Who says where the service is."""
    if "address" in service:
        return OneAddress(service["address"])
    return Names(config["resolver"]["address"], config["resolver"]["port"], timeout)


if __name__ == "__main__":
    sys.exit(main())
