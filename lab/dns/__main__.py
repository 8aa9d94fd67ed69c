"""``python -m lab.dns resolver --config FILE``: run the caching resolver until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.dns.resolver import Resolver, Upstream
from lab.dns.server import DnsServer

log = logging.getLogger("lab.dns")


@dataclass(frozen=True)
class ResolverConfig:
    """Where to listen, and which name servers serve which zone."""

    host: str
    port: int
    upstreams: dict[str, list[Upstream]]

    @classmethod
    def load(cls, path: Path) -> ResolverConfig:
        """Read the JSON file; ValueError names what is wrong with it."""
        data = json.loads(path.read_text())
        missing = {"host", "port", "upstreams"} - set(data)
        if missing:
            raise ValueError(f"Failed to read {path}: no value for {', '.join(sorted(missing))}")
        upstreams = {
            zone: [Upstream.parse(server) for server in servers] for zone, servers in data["upstreams"].items()
        }
        return cls(data["host"], int(data["port"]), upstreams)


STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main(argv: list[str] | None = None) -> int:
    """Run the resolver; the exit status is 0 after a signal, 2 for a bad configuration."""
    parser = argparse.ArgumentParser(prog="python -m lab.dns", description=__doc__)
    parser.add_argument("command", choices=["resolver"])
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        config = ResolverConfig.load(options.config)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # taken by sigwait, whenever they come
    server = DnsServer(config.host, config.port, Resolver(config.upstreams).respond)
    server.start()
    log.info("resolver listening on %s:%d (udp, tcp)", server.host, server.port)
    signal.sigwait(STOP_SIGNALS)
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
