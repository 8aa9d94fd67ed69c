"""One run of ansible-playbook against the lab, killed at a task where that is wanted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
OUR_CALLBACKS = "terragon.disaster_recovery.phase_clock,kill_at"


@dataclass(frozen=True)
class Kill:
    """Where a run is killed: `task` counts from 1; `after` is seconds after its beginning, 0 is before it."""

    task: int
    after: float = 0.0

    def __str__(self) -> str:
        return f"{self.task}+{self.after:g}s" if self.after else str(self.task)


@dataclass(frozen=True)
class Run:
    """How a run ended. `tasks` are the names of those that began; `seconds` is its wall clock."""

    status: int
    output: str
    tasks: list[str]
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether it was killed, and did not end by itself."""
        return self.status == -signal.SIGKILL

    @property
    def reason(self) -> str:
        """What ansible-core gave as the reason of a failure, on one line."""
        found = [line for line in self.output.splitlines() if line.startswith("[ERROR]")]
        return " ".join(found)[:600] or self.output[-600:]


def playbook(
    name: str, lab: Path, scratch: Path, variables: dict[str, Any], kill: Kill | None = None, timeout: float = 1800
) -> Run:
    """Run `playbooks/<name>.yml` with the lab's inventory. Raises subprocess.TimeoutExpired, having killed it."""
    tasks, said = scratch / "tasks", scratch / "output"
    tasks.write_text("", encoding="utf-8")
    inventories = [word for one in ("plan", "lab") for word in ("-i", str(ROOT / "inventories" / one))]
    command = [str(BIN / "ansible-playbook"), *inventories, str(ROOT / f"playbooks/{name}.yml")]
    env = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "DR_LAB_DIR": str(lab),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_CALLBACKS_ENABLED": OUR_CALLBACKS,
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/chaos/callback_plugins"),
        "DR_CHAOS_TASKS": str(tasks),
    }
    if kill:
        env |= {"DR_CHAOS_KILL_AT": str(kill.task), "DR_CHAOS_KILL_AFTER": str(kill.after)}
    began = time.monotonic()
    # Into a file: a worker that outlives its run may have the output open, and would be waited for.
    with said.open("wb") as output:
        process = subprocess.Popen(
            [*command, "-e", json.dumps(variables)],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=timeout)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    seconds = time.monotonic() - began
    names = tasks.read_text(encoding="utf-8").splitlines()
    return Run(status, said.read_text(encoding="utf-8", errors="replace"), names, seconds)
