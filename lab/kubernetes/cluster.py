"""One cluster: its store, what may be done to it, and the controllers that act on it."""

from __future__ import annotations

from .config import Config
from .controllers import Controllers
from .deletion import Deleter
from .storage import Store
from .watch import WatchHub
from .writing import Writer


class Cluster:
    """Everything behind the HTTP door. Create it within a running event loop; ``close`` ends its controllers."""

    def __init__(self, config: Config) -> None:
        self.store = Store(config.state_directory)
        self.hub = WatchHub(self.store)
        self.writer = Writer(self.store)
        self.deleter = Deleter(self.store)
        self.controllers = Controllers(self.store, self.writer, self.deleter, config.node_grace_seconds)

    def start(self) -> None:
        self.controllers.start()

    async def close(self) -> None:
        await self.controllers.stop()
        self.hub.close()
        self.store.close()
