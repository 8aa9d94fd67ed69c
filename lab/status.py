"""What runs, where, and what state it is in: for people as a table, for programs as JSON."""

from __future__ import annotations

import subprocess
from dataclasses import asdict, dataclass
from typing import Any

from lab.components import Component, address_of, all_components, environment, is_fenced, process_of
from lab.faults import frozen, hit
from lab.layout import Lab

COLUMNS = ("component", "region", "address", "pid", "state")


@dataclass(frozen=True)
class Row:
    """One component; ``pid`` is None where none runs."""

    component: str
    region: str
    address: str
    pid: int | None
    state: str


def describe(lab: Lab) -> dict[str, Any]:
    """The whole status; ``healthy`` is whether all runs that should."""
    rows = [_row(lab, component) for component in all_components(lab)]
    return {
        "directory": str(lab.directory),
        "network": lab.network,
        "complete": lab.complete,
        "databases": {"directory": str(lab.data), "user": lab.account},
        "faults": lab.faults,
        "healthy": lab.complete and not any(row.state == "dead" for row in rows),
        "components": [asdict(row) for row in rows],
    }


def table(status: dict[str, Any]) -> str:
    """The status as people read it."""
    rows = [[str(row[name]) if row[name] is not None else "-" for name in COLUMNS] for row in status["components"]]
    widths = [max(len(line[column]) for line in [list(COLUMNS), *rows]) for column in range(len(COLUMNS))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in [COLUMNS, *rows]
    ]
    user = f", run by {status['databases']['user']}" if status["databases"]["user"] else ""
    head = [
        f"lab {status['directory']}, network {status['network']}, databases in {status['databases']['directory']}{user}"
    ]
    if not status["complete"]:
        head.append("the lab has not started completely: run python -m lab start")
    head += [f"fault in force: {name} {', '.join(subjects)}" for name, subjects in status["faults"].items()]
    return "\n".join([*head, "", *(line.rstrip() for line in lines)])


def _row(lab: Lab, component: Component) -> Row:
    process = process_of(lab, component)
    if process is None:
        state = "stopped, fenced" if is_fenced(lab, component) else "broken" if hit(lab, component) else "dead"
    elif frozen(lab, component):
        state = "frozen"
    else:
        state = (
            _postgres_state(lab, component.region) if component.kind == "postgres" and component.region else "running"
        )
    address = address_of(lab, component)
    return Row(component.kind, component.region or "shared", address or "-", process.pid if process else None, state)


def _postgres_state(lab: Lab, region: str) -> str:
    """Primary or standby, as an ordinary session finds it; fenced where no session is let in."""
    argv = [str(lab.postgres_bin / "psql"), "-XAtq", "-w", "-h", lab.inner("postgres", region), "-d", "postgres"]
    argv += ["-p", str(lab.port("postgres")), "-U", "dr_observer", "-c", "SELECT pg_is_in_recovery()"]
    env = environment(lab) | {"PGPASSFILE": str(lab.passfile), "PGCONNECT_TIMEOUT": "2", "PGSSLMODE": "disable"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, cwd="/", timeout=5)
    except subprocess.TimeoutExpired:
        return "running, does not answer"
    if done.returncode != 0:
        return "running, fenced" if "pg_hba.conf" in done.stderr else "running, refuses sessions"
    return "running, standby" if done.stdout.strip() == "t" else "running, primary"
