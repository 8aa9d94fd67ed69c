"""Who writes: sessions inside each region, and somebody outside who follows the public name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError

from tests.chaos.model.network import NoAnswer, Reply

if TYPE_CHECKING:
    from tests.chaos.model.world import World

_TTL = 5.0


class Client:
    """Writes again and again, and keeps what was acknowledged."""

    def __init__(self, world: World, host: str, inside: str | None) -> None:
        self.world = world
        self.inside = inside
        self.last_success = -1.0
        self._name = inside or world.name
        self._resolved = -_TTL
        world.engine.process(f"client in {host}", world.hosts[host], self._work)

    def _work(self) -> None:
        while True:
            self.world.engine.sleep(self.world.rng.uniform(0.2, 0.6))
            self._write(self._where())

    def _where(self) -> str:
        if self.inside is None and self.world.engine.now >= self._resolved + _TTL:
            self._name, self._resolved = self.world.name, self.world.engine.now
        return self._name

    def _write(self, region: str) -> None:
        server = self.world.regions[region].database

        def serve(reply: Reply) -> None:
            def write() -> None:
                try:
                    reply(server.write("client"))
                except RecoveryError as error:
                    reply(error)

            server.when_awake(write)

        try:
            entry = self.world.network.request(region, serve, 1.0)
        except (NoAnswer, RecoveryError):
            return
        self.last_success = self.world.engine.now
        self.world.checker.acknowledge(entry)
