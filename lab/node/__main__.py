"""``python -m lab.node --config FILE``: be a node until SIGTERM.

FILE is JSON: ``node_name``, ``kubeconfig``, ``context`` (optional), ``pod_network``, ``pod_address_start``,
``directory``, ``python`` (the interpreter that containers find first on their PATH), ``capacity``, ``labels``
(optional), ``namespaces`` (optional: whose pods it runs, else all), ``mirrors`` (optional: registries and where their
images are pulled from instead); also ``lease_seconds``,
``backoff_initial_seconds`` and ``backoff_maximum_seconds``, which have the kubelet's values where they are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TextIO

from lab.node.agent import Agent
from lab.node.cluster import KubeconfigError
from lab.node.config import Config, ConfigError
from lab.node.processes import kill_leftovers

log = logging.getLogger("lab.node")


def main(argv: list[str] | None = None) -> int:
    """Run the agent; the exit status is 0 after SIGTERM, 2 for a bad configuration, 1 when another agent runs."""
    parser = argparse.ArgumentParser(prog="python -m lab.node", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        config = Config.load(options.config)
        lock = _lock(config.directory)
        if leftovers := kill_leftovers(config.directory):
            log.warning("killed %d processes that an earlier agent left", leftovers)
        agent = Agent(config)
    except (ConfigError, KubeconfigError) as error:
        log.error("%s", error)
        return 2
    except OSError as error:
        log.error("Failed to start node %s in %s: %s", config.node_name, config.directory, error)
        return 1
    log.info("node %s starts, pods in %s, files in %s", config.node_name, config.pod_network, config.directory)
    asyncio.run(_run(agent, lock))
    return 0


def _lock(directory: Path) -> TextIO:
    """Hold the directory for this process; OSError when another agent does."""
    directory.mkdir(parents=True, exist_ok=True)
    file = (directory / "agent.lock").open("w")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


async def _run(agent: Agent, lock: TextIO) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await agent.run(stopping)
    log.info("stopped")
    logging.shutdown()
    lock.close()
    # A call to an API server that does not answer would hold up an ordinary exit until its thread gives up.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
