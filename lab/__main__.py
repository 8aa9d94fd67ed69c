"""``python -m lab``: start, stop, look at, break, heal and measure the two-region lab."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [path for path in (str(REPOSITORY / "collections"),) if path not in sys.path]

from lab.catalogue import REGION_KINDS, REGIONS, SHARED_KINDS
from lab.components import Component, all_components
from lab.errors import LabError
from lab.layout import lab_directory, locked, required, write_json

#: seconds before the declaration in which the loss and the outage may lie
LOOKBACK_SECONDS = 120.0


@dataclass(frozen=True)
class Arguments:
    """A parsed command line."""

    directory: Path
    values: argparse.Namespace


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what it was asked, 1 when not, 2 for a wrong command line."""
    values = _parser().parse_args(argv)
    arguments = Arguments(lab_directory(values.directory), values)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # the lab is on loopback, and no proxy of the caller's leads there
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a start that is told to end cleans up, too
    try:
        return int(COMMANDS[values.command](arguments))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1


def _start(arguments: Arguments) -> int:
    from lab.startup import kubeconfigs_from, start_lab  # noqa: PLC0415 each command loads only what it needs

    start_lab(arguments.directory, kubeconfigs_from(dict(os.environ)))
    return 0


def _stop(arguments: Arguments) -> int:
    from lab.layout import Lab  # noqa: PLC0415
    from lab.shutdown import stop_lab  # noqa: PLC0415

    with locked(arguments.directory):
        lab = Lab.load(arguments.directory)
        if lab is None:
            print(f"no lab is up in {arguments.directory}")
            return 0
        stop_lab(lab)
    print(f"the lab in {arguments.directory} is stopped; its logs and records are still there")
    return 0


def _status(arguments: Arguments) -> int:
    from lab.status import describe, table  # noqa: PLC0415

    status = describe(required(arguments.directory))
    print(json.dumps(status, indent=2) if arguments.values.json else table(status))
    return 0 if status["healthy"] else 1


def _break(arguments: Arguments) -> int:
    from lab.faults import break_lab  # noqa: PLC0415

    with locked(arguments.directory):
        print(break_lab(required(arguments.directory), arguments.values.fault, arguments.values.subject))
    return 0


def _heal(arguments: Arguments) -> int:
    from lab.faults import heal_lab  # noqa: PLC0415

    with locked(arguments.directory):
        print(heal_lab(required(arguments.directory), arguments.values.fault, arguments.values.subject))
    return 0


def _measure(arguments: Arguments) -> int:
    from lab.measurement import MeasurementError, measure, parse  # noqa: PLC0415

    lab, values = required(arguments.directory), arguments.values
    try:
        since = parse(values.since)
        config = json.loads(lab.config("client").read_text())
        result = measure(config, lab.observer_file, since, values.timeout, values.lookback)
    except (MeasurementError, ValueError) as error:
        raise LabError(str(error)) from error
    write_json(values.output, result, 0o644)
    for name, service in result["services"].items():
        print(
            f"{name}: outage {service['outage']['seconds']} s, {service['lost_acknowledged_writes']} of "
            f"{service['acknowledged_writes']} acknowledged writes lost, RPO {service['rpo_seconds']} s"
        )
        seen = ", ".join(
            f"{one['lost_acknowledged_writes']} of {one['acknowledged_writes']} by {vantage}"
            for vantage, one in service["vantages"].items()
        )
        print(f"  lost: {seen}")
    print(f"writable primaries at once: {result['observer']['max_writable_primaries']} at most")
    return 0


def _run(arguments: Arguments) -> int:
    from lab.running import run_component  # noqa: PLC0415

    lab = required(arguments.directory)
    component = Component(arguments.values.kind, arguments.values.region)
    if component not in all_components(lab):
        raise LabError(f"Failed to run {component}: the lab has no such component. See: python -m lab status.")
    run_component(lab, component)
    return 0


COMMANDS = {
    "start": _start,
    "stop": _stop,
    "status": _status,
    "break": _break,
    "heal": _heal,
    "measure": _measure,
    "run": _run,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    parser.add_argument("--directory", help="the lab's directory (default: DR_LAB_DIR, else build/lab)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("start", help="start the lab; does nothing when it is up")
    commands.add_parser("stop", help="stop every process of the lab and remove what it kept but logs and records")
    status = commands.add_parser("status", help="show every component; the exit status is 1 when one is dead")
    status.add_argument("--json", action="store_true", help="for programs")
    for name in ("break", "heal"):
        command = commands.add_parser(name, help=f"{name} something: {name} region us-east-1")
        command.add_argument("fault", help="what kind of fault: region, freeze, ...; docs/lab.md lists them")
        command.add_argument("subject", help="what it is done to, for example us-east-1")
    measure = commands.add_parser("measure", help="compute outage and loss from what the client saw")
    measure.add_argument("--since", required=True, help="RFC 3339 time: when the incident was declared")
    measure.add_argument(
        "--lookback", type=float, default=LOOKBACK_SECONDS, help="seconds before --since to look at too"
    )
    measure.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    measure.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for the client's next success")
    run = commands.add_parser("run", help="start one component, as a service manager would")
    run.add_argument("kind", choices=[*SHARED_KINDS, *REGION_KINDS])
    run.add_argument("region", nargs="?", choices=REGIONS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
