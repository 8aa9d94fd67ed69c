"""What a task costs as a module and in the controller's process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from .measure import compare

ROOT = Path(__file__).resolve().parents[2]
TASKS = 20


def run() -> None:
    """one task as a module, and the same service in the controller's process (start-up included, 20 tasks)"""
    with tempfile.TemporaryDirectory() as directory:
        plays = {name: _play(Path(directory), name, flag) for name, flag in (("module", False), ("in process", True))}
        compare({name: lambda path=path: _run(path) for name, path in plays.items()}, rounds=3, per=TASKS, unit="task")


def _play(directory: Path, name: str, in_process: bool) -> Path:
    task = {
        "name": "Probe",
        "terragon.disaster_recovery.health_probe": {
            "checks": [{"name": "port", "kind": "tcp", "host": "127.0.0.1", "port": 9, "timeout": 1, "retries": 0}],
            "required": False,
        },
    }
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"dr_in_process": in_process, "ansible_python_interpreter": sys.executable},
        "tasks": [task] * TASKS,
    }
    path = directory / f"{name.replace(' ', '_')}.yml"
    path.write_text(yaml.safe_dump([play]), encoding="utf-8")
    return path


def _run(path: Path) -> None:
    binary = Path(sys.executable).parent / "ansible-playbook"
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    subprocess.run([binary, "-i", "localhost,", path], env=env, check=True, stdout=subprocess.DEVNULL)
