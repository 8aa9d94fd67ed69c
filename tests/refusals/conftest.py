"""A healthy lab, a way to run the operator's playbook in it, and what must not have changed afterwards."""

from __future__ import annotations

import configparser
import copy
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psycopg2
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))
BIN = Path(sys.executable).parent
LEASE = "leases/main.json"
#: how ansible-core begins the line that says why it stopped
STOPPED = "[ERROR]: Task failed: "

Change = Callable[[dict[str, Any]], None]


@dataclass
class Lab:
    """A running lab: its state file, and clients of its APIs."""

    directory: Path
    state: dict[str, Any]

    def start(
        self, incident: str, *arguments: str, change: Change | None = None, **extra: Any
    ) -> subprocess.Popen[str]:
        """Start the failover, in an inventory that `change` made wrong, with nobody at the terminal.

        The ledgers outlive a lab, so an incident is named after its lab, too.
        """
        state = copy.deepcopy(self.state)
        if change:
            change(state)
        variables = {"dr_incident": f"{incident}-{self.state['id']}", "dr_lab": state, **extra}
        inventories = [word for name in ("plan", "lab") for word in ("-i", str(ROOT / "inventories" / name))]
        playbook = str(ROOT / "playbooks/region_failover.yml")
        return subprocess.Popen(
            [BIN / "ansible-playbook", *inventories, playbook, "-e", json.dumps(variables), *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "DR_LAB_DIR": str(self.directory),
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, run: subprocess.Popen[str]) -> str:
        """Wait for a run to end; its output."""
        try:
            return run.communicate(timeout=120)[0]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)

    def refused(self, incident: str, *arguments: str, change: Change | None = None, **extra: Any) -> str:
        """Run the failover, which must stop; the one line that says why."""
        variables = {"dr_accept_healthy_source": "us-east-1", **extra}
        run = self.start(incident, *arguments, change=change, **variables)
        said = self.finish(run)
        assert run.returncode == 2, said
        found = [line.removeprefix(STOPPED) for line in said.splitlines() if line.startswith("[ERROR]")]
        assert len(found) == 1, said
        assert not re.search(r"Traceback|Errno|[{}]|\bNone\b|\.\.|\?\.", found[0]), found[0]
        return found[0]

    def command(self, *arguments: str) -> None:
        """Run one of the lab's own commands."""
        command = [sys.executable, "-m", "lab", "--directory", str(self.directory), *arguments]
        subprocess.run(command, cwd=ROOT, check=True, timeout=180)

    def client(self, service: str, options: dict[str, Any]) -> Any:
        """A boto3 client from one of the state's connection options."""
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

    def kubernetes(self, region: str) -> Any:
        """An API client of a region's cluster."""
        from kubernetes import config

        options = self.state["regions"][region]["kubernetes"]
        return config.new_client_from_config(options["kubeconfig"], options["context"])

    def database(self, region: str) -> Any:
        """A superuser's connection to a region's PostgreSQL."""
        options = dict(self.state["regions"][region]["admin"])
        connection = psycopg2.connect(dbname=options.pop("database"), **options)
        connection.autocommit = True
        return connection

    @property
    def is_standby(self) -> bool:
        """Whether the target's database has not been promoted."""
        return Path(self.state["regions"]["us-west-2"]["guard"]["data_directory"], "standby.signal").exists()

    def lease(self) -> dict[str, Any]:
        """The lease of the databases, as it is in the witness."""
        options = self.state["witness"]["leases"]
        body = self.client("s3", options).get_object(Bucket=options["bucket"], Key=LEASE)["Body"]
        return dict(json.loads(body.read()))

    def records(self) -> list[tuple[Any, ...]]:
        """Every record set: name, type, TTL, values."""
        zone = self.client("route53", self.state["aws"])
        found = zone.list_resource_record_sets(HostedZoneId=self.state["zone"]["id"])["ResourceRecordSets"]
        return sorted(
            (one["Name"], one["Type"], one["TTL"], *(value["Value"] for value in one["ResourceRecords"]))
            for one in found
        )

    def replicas(self, region: str) -> dict[str, tuple[int, int]]:
        """Replicas and generation, which every change of its specification increases, of every deployment."""
        from kubernetes import client

        found = client.AppsV1Api(self.kubernetes(region)).list_deployment_for_all_namespaces().items
        return {one.metadata.name: (one.spec.replicas, one.metadata.generation) for one in found}

    def written(self) -> dict[str, str]:
        """Every object in the witness with its ETag, but the lease, which its holder renews."""
        found = {}
        for options in (self.state["witness"]["leases"], self.state["witness"]["ledger"]):
            pages = self.client("s3", options).get_paginator("list_objects_v2").paginate(Bucket=options["bucket"])
            for page in pages:
                for one in page.get("Contents", []):
                    found[f"{options['bucket']}/{one['Key']}"] = one["ETag"]
        return {key: etag for key, etag in found.items() if not key.endswith(f"/{LEASE}")}

    def fingerprint(self, *regions: str) -> dict[str, Any]:
        """Everything a failover changes, as far as these regions can be asked."""
        lease = self.lease()
        return {
            "lease": (lease["holder"], lease["epoch"], lease["released"]),
            "records": self.records(),
            "replicas": {region: self.replicas(region) for region in regions or self.state["regions"]},
            "standby": self.is_standby,
        }


def typed(said: str, variable: str) -> list[str]:
    """The arguments that a refusal asks for, as a shell gives them to a program."""
    found = re.search(rf"-e '({variable}=\"[^\"']*\")'", said)
    assert found, said
    return ["-e", found[1]]


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    directory = ROOT / "build/refusals/lab"
    lab = Lab(directory, {})
    lab.command("start")
    try:
        lab.state = json.loads((directory / "state.json").read_text(encoding="utf-8"))
        yield lab
    finally:
        lab.command("stop")


@pytest.fixture
def unchanged(lab: Lab) -> Iterator[None]:
    """Fail when the refused run changed anything."""
    before = lab.fingerprint()
    yield
    assert lab.fingerprint() == before
