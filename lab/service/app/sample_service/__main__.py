"""``python -m sample_service``: serve until SIGTERM."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from .api import Api
from .loading import ModelHolder
from .pool import ConnectionPool
from .server import Server
from .settings import Settings, SettingsError
from .writes import WriteStore

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
log = logging.getLogger("sample_service")


def main() -> int:
    """Run the service; the exit status is 0 after SIGTERM, 2 for a bad environment, 1 when it cannot listen."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # taken by sigwait, whenever they come
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = Settings.read(os.environ)
    except SettingsError as error:
        log.error("%s", error)
        return 2
    pool = ConnectionPool(settings.database, f"{settings.service} {settings.region}")
    models = ModelHolder(settings.model)
    api = Api(settings.service, settings.region, WriteStore(pool, settings.region), models)
    try:
        server = Server((settings.address, settings.port), api)
    except OSError as error:
        log.error("Failed to listen on %s:%d: %s", settings.address, settings.port, error)
        return 1
    _serve(server, models, settings)
    pool.close()
    return 0


def _serve(server: Server, models: ModelHolder, settings: Settings) -> None:
    """Serve in a thread of its own until a signal comes."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    models.start()
    log.info("%s in %s listens on %s:%d", settings.service, settings.region, settings.address, server.server_port)
    signal.sigwait(STOP_SIGNALS)
    log.info("%s stops", settings.service)
    models.stop()
    server.drain(settings.drain_seconds)


if __name__ == "__main__":
    sys.exit(main())
