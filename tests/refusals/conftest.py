"""A healthy lab, a way to run the operator's playbook in it, and what must not have changed afterwards."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@dataclass
class Lab:
    """A running lab: its state file, and clients of its APIs."""

    directory: Path
    state: dict[str, Any]

    def playbook(self, incident: str, change: Callable[[dict[str, Any]], None] | None = None, **extra: Any) -> str:
        """Run the failover, in an inventory that `change` made wrong; return its output. It must be refused."""
        state = copy.deepcopy(self.state)
        if change:
            change(state)
        variables = {"dr_incident": incident, "dr_accept_healthy_source": "us-east-1", "dr_lab": state, **extra}
        inventories = [word for name in ("plan", "lab") for word in ("-i", str(ROOT / "inventories" / name))]
        done = subprocess.run(
            [BIN / "ansible-playbook", *inventories, ROOT / "playbooks/region_failover.yml", "-e", json.dumps(variables)],
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "DR_LAB_DIR": str(self.directory),
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "COLUMNS": "1000",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode not in (0, 250), done.stdout + done.stderr
        return " ".join((done.stdout + done.stderr).split())

    def client(self, service: str, options: dict[str, Any]) -> Any:
        """A boto3 client from one of the state's connection options."""
        import configparser

        keys = configparser.RawConfigParser()
        keys.read(options["credentials_file"])
        profile = keys[options["profile"]]
        return boto3.client(
            service,
            endpoint_url=options["endpoint_url"],
            region_name=options["region"],
            aws_access_key_id=profile["aws_access_key_id"],
            aws_secret_access_key=profile["aws_secret_access_key"],
        )

    def fingerprint(self) -> dict[str, Any]:
        """Everything a failover changes: lease holder and epoch, records, replicas, which database is the standby."""
        from kubernetes import client, config

        leases = self.state["witness"]["leases"]
        store = self.client("s3", leases)
        lease = json.loads(store.get_object(Bucket=leases["bucket"], Key="leases/main.json")["Body"].read())
        zone = self.client("route53", self.state["aws"])
        records = zone.list_resource_record_sets(HostedZoneId=self.state["zone"]["id"])["ResourceRecordSets"]
        replicas = {}
        for name, region in self.state["regions"].items():
            api = config.new_client_from_config(region["kubernetes"]["kubeconfig"], region["kubernetes"].get("context"))
            deployments = client.AppsV1Api(api).list_deployment_for_all_namespaces().items
            replicas[name] = {one.metadata.name: one.spec.replicas for one in deployments}
        return {
            "lease": (lease["holder"], lease["epoch"]),
            "records": sorted((one["Name"], one["Type"], one.get("TTL")) for one in records),
            "replicas": replicas,
            "standby": Path(self.state["regions"]["us-west-2"]["guard"]["data_directory"], "standby.signal").exists(),
        }


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    directory = ROOT / "build/refusals/lab"
    command = [sys.executable, "-m", "lab", "--directory", str(directory)]
    subprocess.run([*command, "start"], cwd=ROOT, check=True, timeout=180)
    try:
        yield Lab(directory, json.loads((directory / "state.json").read_text(encoding="utf-8")))
    finally:
        subprocess.run([*command, "stop"], cwd=ROOT, check=True, timeout=60)


@pytest.fixture
def unchanged(lab: Lab) -> Iterator[None]:
    """Fail when the refused run changed anything."""
    before = lab.fingerprint()
    yield
    assert lab.fingerprint() == before
