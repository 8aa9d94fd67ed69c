"""``python -m lab.loadbalancer --config FILE``: balance until SIGTERM.

FILE is JSON: ``kubeconfig``, ``context`` (optional) and ``listeners``, each with ``host``, ``port``, ``namespace``,
``selector`` (labels of the pods) and ``target_port``.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from lab.loadbalancer.backends import Backends
from lab.loadbalancer.config import Config, ConfigError
from lab.loadbalancer.proxy import Listener
from lab.node.cluster import KubeconfigError, connect

log = logging.getLogger("lab.loadbalancer")
SYNC_SECONDS = 2.0


def main(argv: list[str] | None = None) -> int:
    """Run the balancer; the exit status is 0 after SIGTERM, 2 for a bad configuration, 1 when it cannot listen."""
    parser = argparse.ArgumentParser(prog="python -m lab.loadbalancer", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        config = Config.load(options.config)
        listeners = _listeners(config)
    except (ConfigError, KubeconfigError) as error:
        log.error("%s", error)
        return 2
    try:
        asyncio.run(_run(listeners, config))
    except OSError as error:
        log.error("Failed to listen: %s", error)
        return 1
    return 0


def _listeners(config: Config) -> list[Listener]:
    """Listeners whose pods are known, or soon will be: with no API server to ask they answer 503 until there is."""
    api_client = connect(config.kubeconfig, config.context)
    wanted = {(entry.namespace, entry.selector) for entry in config.listeners}
    backends = {key: Backends(api_client, *key) for key in wanted}
    for pods in backends.values():
        pods.start()
    for pods in backends.values():
        pods.wait_synced(SYNC_SECONDS)
    return [Listener(entry, backends[entry.namespace, entry.selector]) for entry in config.listeners]


async def _run(listeners: list[Listener], config: Config) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    for listener in listeners:
        await listener.start()
    for entry in config.listeners:
        log.info("listening on %s:%d for %s in %s", entry.host, entry.port, entry.selector, entry.namespace)
    await stopping.wait()
    log.info("stopping")
    for listener in listeners:
        await listener.stop()


if __name__ == "__main__":
    sys.exit(main())
