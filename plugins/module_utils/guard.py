# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lease guard's commands.

    python -m ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard run --config FILE

`run` guards until it is stopped; `pre-start` is the hook before every start of PostgreSQL; `status` prints JSON and
ends with 0 where the guard runs, 3 where it does not.

PRIVATE to the collection.
"""

from __future__ import annotations

import argparse
import json
import sys

from .errors import RecoveryError
from .guard_config import GuardConfig
from .guard_fence import before_start
from .guard_link import Link
from .guard_state import StateDirectory
from .guard_watchdog import Watchdog


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(prog="lease-guard", description="Guards one PostgreSQL by its region's lease.")
    parser.add_argument("command", choices=["run", "pre-start", "status", "renew"])
    parser.add_argument("--config", required=True, help="the guard's configuration, JSON")
    parser.add_argument("--link", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    try:
        return _run(given.command, GuardConfig.load(given.config), given)
    except RecoveryError as error:
        sys.stderr.write(f"lease-guard: {error}\n")
        return 1


def _run(command: str, config: GuardConfig, given: argparse.Namespace) -> int:
    if command == "status":
        return _status(config)
    if command == "pre-start":
        before_start(config)
        return 0
    if command == "renew":  # started by the watchdog only
        from .guard_renewer import Renewer  # noqa: PLC0415 - it brings boto3, which the watchdog must not load

        incoming, outgoing = (int(number) for number in given.link.split(","))
        return Renewer(config, Link(incoming, outgoing)).run()
    return Watchdog(config, given.config).run()


def _status(config: GuardConfig) -> int:
    shown = StateDirectory(config.state_directory).status() or {"state": "unknown", "region": config.region}
    running = all(_lives(shown.get(name)) for name in ("watchdog_pid", "renewer_pid"))
    sys.stdout.write(json.dumps({**shown, "guard_running": running}, indent=2) + "\n")
    return 0 if running else 3


def _lives(pid: int | None) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"guard" in file.read()
    except OSError:
        return False


if __name__ == "__main__":
    raise SystemExit(main())
