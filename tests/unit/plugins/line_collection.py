"""A small collection of the tests' own, whose one module writes a line to a file, and a play that uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
OURS = "ansible_collections.terragon.disaster_recovery.plugins"

SERVICE = f"""
from __future__ import annotations
import sys
from pathlib import Path
from {OURS}.module_utils.clock import wait_until
from {OURS}.module_utils.connections import record_option
from {OURS}.module_utils.errors import Refused
from {OURS}.module_utils.execution import Specification

HOW = ["well", "refuse", "crash", "unobserved", "check_failed", "unverified", "skip", "wait"]
SPECIFICATION = Specification(
    argument_spec={{
        "path": {{"type": "path", "required": True}},
        "text": {{"type": "str"}},
        "number": {{"type": "float"}},
        "password": {{"type": "str", "no_log": True}},
        "how": {{"type": "str", "choices": HOW}},
        "nested": {{"type": "dict", "options": {{"choice": {{"choices": ["a"]}}, "other": {{"type": "str"}}}}}},
        "record": record_option(),
    }},
    mutually_exclusive=[("text", "number")],
)

def run(params, check_mode):
    how = params["how"] or "well"
    if how == "refuse":
        raise Refused("Failed to write the line: refused. Ask nicely.", path_exists=Path(params["path"]).exists())
    if how == "crash":
        raise ValueError("a bug")
    if how == "skip":
        return {{"changed": False, "skipped": True, "msg": "nothing to do"}}
    if how == "wait":
        Path(params["path"] + ".begun").touch()
        wait_until(lambda: Path(params["path"] + ".go").exists(), 120, "the test's word")
    if not check_mode:
        with open(params["path"], "a") as out:
            out.write(f"{{params['text']}}\\n")
    return {{
        "changed": True,
        "evidence": {{"text": params["text"], "tuple": (1, 2), 3: "three"}},
        "observed": how != "unobserved",
        "outcome": {{"check_failed": "failed", "unverified": "unverified"}}.get(how, "passed"),
        "problems": ["it is so"] if how in ("check_failed", "unverified") else [],
        "waits": [],
        "nested": params["nested"],
        "in_process": Path(sys.argv[0]).name == "ansible-playbook",
    }}
"""
MODULE = f"""
from ansible_collections.test.example.plugins.module_utils.line import SPECIFICATION, run
from {OURS}.module_utils.execution import run_module
if __name__ == "__main__":
    run_module(SPECIFICATION, run)
"""
ACTION = f"""
from __future__ import annotations
from {OURS}.plugin_utils.recovery_action import RecoveryAction
from ..module_utils.line import SPECIFICATION, run
class ActionModule(RecoveryAction):
    specification = SPECIFICATION
    service = staticmethod(run)
"""


def build(root: Path) -> Path:
    """Write the collection below `root`; return what to put before collections_path."""
    base = root / "ansible_collections/test/example"
    texts = {
        "plugins/module_utils/line.py": SERVICE,
        "plugins/modules/line.py": MODULE,
        "plugins/action/line.py": ACTION,
    }
    for name, text in {**texts, "galaxy.yml": "namespace: test\nname: example\nversion: 1.0.0\n"}.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)
    return root


def environment(collections: Path, directory: Path) -> dict[str, str]:
    """What ansible-playbook needs to find both collections, and no configuration but its own."""
    (directory / "ansible.cfg").touch()
    paths = f"{collections}:{ROOT / 'collections'}"
    return {**os.environ, "ANSIBLE_COLLECTIONS_PATH": paths, "ANSIBLE_CONFIG": str(directory / "ansible.cfg")}


def start(
    collections: Path, directory: Path, tasks: list[dict[str, Any]], *arguments: str, **variables: Any
) -> subprocess.Popen[str]:
    """Start a play of these tasks on localhost, in a session of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    book = directory / "play.yml"
    told = {"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": tasks}
    book.write_text(yaml.safe_dump([told], sort_keys=False))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(book), *arguments]
    env = environment(collections, directory)
    return subprocess.Popen(
        command,
        env=env,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def play(collections: Path, directory: Path, tasks: list[dict[str, Any]], *arguments: str, **variables: Any) -> str:
    """Run tasks on localhost and keep their results in a file. Failures go on. Return what was printed."""
    names = [f"result_{number}" for number in range(len(tasks))]
    listed: list[dict[str, Any]] = [
        {"register": name, "ignore_errors": True, **task} for name, task in zip(names, tasks, strict=True)
    ]
    keep = {"content": f"{{{{ [{', '.join(names)}] | to_json }}}}", "dest": str(directory / "results.json")}
    listed.append({"ansible.builtin.copy": keep, "check_mode": False, "diff": False})
    run = start(collections, directory, listed, *arguments, **variables)
    said = run.communicate()[0]
    assert run.returncode == 0, said
    return said
