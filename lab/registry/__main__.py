"""``python -m lab.registry --config FILE``: serve images until SIGTERM.

FILE is JSON: ``host``, ``port`` and ``store``, the directory of image layouts.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
from pathlib import Path

from lab.registry.server import RegistryServer

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
log = logging.getLogger("lab.registry")


def main(argv: list[str] | None = None) -> int:
    """Run the registry; the exit status is 0 after SIGTERM, 2 for a bad configuration, 1 when it cannot listen."""
    parser = argparse.ArgumentParser(prog="python -m lab.registry", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args(argv)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # taken by sigwait, whenever they come
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        config = json.loads(options.config.read_text())
        address, store = (str(config["host"]), int(config["port"])), Path(config["store"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.error("Failed to read %s: %s: %s", options.config, type(error).__name__, error)
        return 2
    try:
        server = RegistryServer(address, store)
    except OSError as error:
        log.error("Failed to listen on %s:%d: %s", *address, error)
        return 1
    _serve(server)
    return 0


def _serve(server: RegistryServer) -> None:
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, daemon=True).start()
    log.info("listening on %s:%d, store %s", server.server_name, server.server_port, server.store)
    signal.sigwait(STOP_SIGNALS)
    log.info("stopping")
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    sys.exit(main())
