"""Running one component, the way a service manager would: what a component's own start needs is done first."""

from __future__ import annotations

import signal
import subprocess

from lab import components, conditions, postgres
from lab.components import GUARD_MODULE, Component, environment
from lab.errors import LabError
from lab.layout import REPOSITORY, Lab, locked
from lab.processes import wait_for_end

PRE_START_SECONDS = 30


def run_component(lab: Lab, component: Component) -> None:
    """Start the component if it does not run; for PostgreSQL, wait until it answers. Raises LabError."""
    with locked(lab.directory / "run", f"{component.region or 'shared'}-{component.kind}"):
        if component.kind == "postgres":
            _run_postgres(lab, component)
        elif component.kind == "guard":
            _restart_guard(lab, component)
        else:
            components.start(lab, component)


def _run_postgres(lab: Lab, component: Component) -> None:
    """PostgreSQL starts fenced: the guard's pre-start comes first wherever a guard is deployed."""
    assert component.region is not None
    if components.process_of(lab, component) is None and lab.guard_config(component.region).exists():
        _pre_start(lab, component.region)
    postgres.launch(lab, component.region)


def _restart_guard(lab: Lab, component: Component) -> None:
    """End a running guard, which then reads its new configuration, and start it.

    Only the guard itself is ended: it may just be starting PostgreSQL.
    """
    running = components.process_of(lab, component)
    if running is not None:
        running.send(signal.SIGTERM)
        if wait_for_end([running], components.STOP_GRACE_SECONDS):
            running.send(signal.SIGKILL)
            wait_for_end([running], components.STOP_GRACE_SECONDS)
    components.start(lab, component)


def _pre_start(lab: Lab, region: str) -> None:
    argv = [lab.python, "-m", GUARD_MODULE, "pre-start", "--config", str(lab.guard_config(region))]
    done = subprocess.run(
        argv, cwd=REPOSITORY, env=environment(lab) | conditions.clock(lab, "guard", region),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PRE_START_SECONDS, check=False,
    )  # fmt: skip
    with lab.log("guard", region).open("a") as log:
        log.write(done.stdout + done.stderr)
    if done.returncode != 0:
        raise LabError(
            f"Failed to start PostgreSQL of {region}: the guard's pre-start ended with {done.returncode}, and "
            f"without it the server might come up writable. {done.stderr.strip() or done.stdout.strip()}"
        )
