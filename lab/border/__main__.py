"""``python -m lab.border --config FILE``: be a region's edge until SIGTERM; SIGHUP: read the rules again.

FILE is JSON: ``region``, ``source``, ``rules`` and ``applied`` (files), and ``routes``, each with ``name``, ``peer``,
``opens`` (in or out), ``listen`` and ``forward`` ([address, port]).
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from lab.border.config import DIRECTIONS, Config, ConfigError
from lab.border.lane import Lane
from lab.border.listener import Listener
from lab.border.rules import Rules
from lab.listening import listening_addresses

log = logging.getLogger("lab.border")
#: how soon the edge shows that a server behind it came up or went down
LOOK_SECONDS = 0.1


class Border:
    """All listeners of a region's edge."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lanes = {
            (route.peer, direction): Lane(route.peer, direction) for route in config.routes for direction in DIRECTIONS
        }
        self._listeners = [
            Listener(route, {way: self._lanes[route.peer, way] for way in DIRECTIONS}, config.source)
            for route in config.routes
        ]

    def apply(self) -> None:
        """Put the rules of the file in force, and say so. Rules that cannot be read change nothing."""
        try:
            rules = Rules.load(self._config.rules)
        except (OSError, ValueError) as error:
            log.error("%s", error)
            return
        for (peer, direction), lane in self._lanes.items():
            lane.set(rules.of(peer, direction))
        self._look()
        partial = self._config.applied.with_suffix(".partial")
        partial.write_text(rules.version)
        partial.replace(self._config.applied)
        log.info("rules %s in force: %s", rules.version or "none", dict(rules.table))

    async def run(self, stopping: asyncio.Event) -> None:
        """Follow what listens behind the edge, until told to stop."""
        while not stopping.is_set():
            self._look()
            try:
                await asyncio.wait_for(stopping.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    def _look(self) -> None:
        found = listening_addresses()
        for listener in self._listeners:
            listener.update(found)


def main(argv: list[str] | None = None) -> int:
    """Run the border; the exit status is 0 after SIGTERM, 2 for a bad configuration, 1 when it cannot listen."""
    parser = argparse.ArgumentParser(prog="python -m lab.border", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        config = Config.load(options.config)
    except ConfigError as error:
        log.error("%s", error)
        return 2
    try:
        asyncio.run(_run(config))
    except OSError as error:
        log.error("Failed to listen: %s", error)
        return 1
    return 0


async def _run(config: Config) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    border = Border(config)
    loop.add_signal_handler(signal.SIGHUP, border.apply)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    border.apply()
    log.info("border of %s: %d routes", config.region, len(config.routes))
    await border.run(stopping)
    logging.shutdown()
    os._exit(0)  # hang up everywhere, now


if __name__ == "__main__":
    sys.exit(main())
