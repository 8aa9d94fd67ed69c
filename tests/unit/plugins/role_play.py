"""A role's tasks by ansible-playbook itself, with two regions, a lease in a real store, and no lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease

from tests.unit.servers import S3Server

ROOT = Path(__file__).resolve().parents[3]
REGIONS = ("east", "west")
TTL, ALLOWANCE = 5.0, 1.0


class RolePlay:
    """Variables, inventory and leases in `directory`; `run` plays tasks on a host and returns what was said."""

    def __init__(self, directory: Path, server: S3Server, *clusters: str) -> None:
        self.directory = directory
        store = {**server.store("role-leases", name="witness"), "prefix": f"{directory.name}/"}
        self.leases = {
            name: {"key": f"{name}.json", "ttl_seconds": TTL, "clock_allowance_seconds": ALLOWANCE, "stores": [store]}
            for name in clusters or ("main",)
        }
        self.variables: dict[str, Any] = {
            "dr_incident": "INC-7",
            "dr_mode": "drill",
            "dr_clusters": {name: {"lease": lease} for name, lease in self.leases.items()},
            "dr_ledger_directory": str(directory / "ledgers"),
            "dr_ledger_store": server.store("role-ledger", name="ledger", prefix=f"{directory.name}/"),
        }
        self.hosts: dict[str, dict[str, Any]] = {name: {} for name in REGIONS}

    def claim(self, holder: str, cluster: str = "main", **data: Any) -> None:
        """Let a region claim a cluster's lease, as pg_fence and a guard do."""
        lease = Lease.from_options(self.leases[cluster])
        lease.claim(lease.read(), holder, TTL, allowance=ALLOWANCE, claimed_by="test", data=data)

    def run(self, tasks: list[dict[str, Any]], hosts: str = "localhost", **extra: Any) -> tuple[int, str]:
        """Return the exit status and all that was said."""
        everything = {
            "vars": self.variables,
            "hosts": {"localhost": {}},
            "children": {"dr_regions": {"hosts": self.hosts}},
        }
        inventory, playbook = self.directory / "inventory.json", self.directory / "play.json"
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        groups = {"dr_regions": {"hosts": self.hosts}}
        everything = {"vars": {**self.variables, **local}, "hosts": {"localhost": {}}, "children": groups}
        inventory.write_text(json.dumps({"all": everything}))
        playbook.write_text(json.dumps([{"hosts": hosts, "gather_facts": False, "tasks": tasks}]))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(playbook)]
        done = subprocess.run(
            [*command, "-e", json.dumps(extra)],
            capture_output=True, text=True, check=False, cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"},
        )  # fmt: skip
        return done.returncode, " ".join((done.stdout + done.stderr).split())


def include(role: str, tasks_from: str = "main", **variables: Any) -> dict[str, Any]:
    """Return the task that includes a role of the collection."""
    name = f"terragon.disaster_recovery.{role}"
    return {"ansible.builtin.include_role": {"name": name, "tasks_from": tasks_from}, "vars": variables}


#: where steps are recorded, and the task that declares the incident there
RECORD = {
    "incident": "{{ dr_incident }}",
    "mode": "{{ dr_mode }}",
    "directory": "{{ dr_ledger_directory }}",
    "store": "{{ dr_ledger_store }}",
}
DECLARE: dict[str, Any] = {"terragon.disaster_recovery.incident_ledger": {"state": "declared", **RECORD}}


def source(region: str) -> dict[str, Any]:
    """Return the task that names the region that is left."""
    return {"ansible.builtin.add_host": {"name": region, "groups": "dr_source"}, "changed_when": False}
