"""``python -m lab.aws --config FILE``: run the lab's AWS and its name server until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from lab.aws.config import Config, ConfigError
from lab.aws.server import LabAws

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop; the exit status is 0 after a signal, 2 for a bad configuration, 1 for a taken port."""
    parser = argparse.ArgumentParser(prog="python -m lab.aws", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # taken by sigwait, whenever they come
    try:
        server = LabAws(Config.load(options.config))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"Failed to start the lab's AWS: {error}", file=sys.stderr)
        return 1
    server.start()
    signal.sigwait(STOP_SIGNALS)
    server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
