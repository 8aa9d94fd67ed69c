"""``python -m lab.observer --config FILE``: probe all regions until SIGTERM.

Config: {"path": FILE.jsonl, "per_second": 20, "regions": {"us-east-1": {"host", "port", "user", "passfile", "dbname"}}}
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from .probe import RegionProbe

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.observer", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON configuration file")
    config = json.loads(parser.parse_args().config.read_text(encoding="utf-8"))
    path = Path(config["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # taken by sigwait, whenever they come
    probes = [
        RegionProbe(region, dsn, path, float(config.get("per_second", 20))) for region, dsn in config["regions"].items()
    ]
    for probe in probes:
        probe.start()
    print(f"observer of {', '.join(config['regions'])}", flush=True)
    signal.sigwait(STOP_SIGNALS)
    for probe in probes:
        probe.stopping.set()
    for probe in probes:
        probe.join(timeout=4)
    return 0


if __name__ == "__main__":
    sys.exit(main())
