"""``python -m lab.kubernetes --config FILE``: serve the API until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sqlite3
import ssl
import sys
from pathlib import Path

from aiohttp import web

from .cluster import Cluster
from .config import Config, ConfigError, load_config
from .http import ApiServer
from .storage import StateError

log = logging.getLogger("lab.kubernetes")
SHUTDOWN_SECONDS = 1.0


async def serve(config: Config) -> None:
    """Serve until a signal arrives. OSError for a taken address, StateError for unusable state."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    cluster = Cluster(config)
    app = ApiServer(cluster, config).application()
    # A watch whose client has left ends at once, not with the next event.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, handler_cancellation=True)
    try:
        await runner.setup()
        await web.TCPSite(runner, config.host, config.port, reuse_address=True, ssl_context=_tls(config)).start()
        cluster.start()
        log.info("Kubernetes API at %s, state in %s", config.url, config.state_directory)
        await stopping.wait()
        cluster.hub.close()
    finally:
        await runner.cleanup()
        await cluster.close()
    log.info("Kubernetes API at %s stopped", config.url)


def _tls(config: Config) -> ssl.SSLContext | None:
    if config.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(config.tls_certificate, config.tls_key)
    return context


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.kubernetes", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON configuration file")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        asyncio.run(serve(load_config(arguments.config)))
    except ConfigError as problem:
        log.error("%s", problem)
        return 2
    except StateError as problem:
        log.error("%s", problem)
        return 1
    except (OSError, sqlite3.Error) as problem:
        log.error("Failed to serve the Kubernetes API: %s", problem)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
