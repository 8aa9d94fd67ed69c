"""What a recovery changes, as the lab's own parts tell it: timelines, DNS changes, deployments, the ledger."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger import Ledger
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger_event import Event
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger_verify import Verification
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import ObjectStore
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.postgres_state import ServerState
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.sql import Postgres
from urllib3.exceptions import HTTPError

from tests.chaos.kill.run import ROOT

__all__ = ["HTTPError", "RecoveryError", "Snapshot", "World"]

LEASE = "leases/main.json"


@dataclass(frozen=True)
class Snapshot:
    """The world at one moment. `generations` are by region and deployment, for regions whose API answers."""

    active: str
    epoch: int
    #: of the claim that the present one followed; None over no lease
    follows: int | None
    timeline: int
    dns_changes: frozenset[str]
    generations: dict[str, dict[str, int]]
    replicas: dict[str, dict[str, int]]


class World:
    """A running lab. Raises subprocess.CalledProcessError where one of its commands fails."""

    def __init__(self, directory: Path, **environment: str) -> None:
        """`environment` is added to that of the lab's commands."""
        self.directory = directory
        self._environment = {**os.environ, **environment}
        self.scratch = directory.parent
        self.state: dict[str, Any] = {}

    def lab(self, *arguments: str) -> str:
        """Run one of the lab's own commands."""
        command = [sys.executable, "-m", "lab", "--directory", str(self.directory), *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self._environment, check=True, timeout=1800, capture_output=True, text=True
        ).stdout

    def start(self) -> None:
        """Start the lab, afresh."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.lab("start")
        self.state = json.loads((self.directory / "state.json").read_text(encoding="utf-8"))

    def stop(self) -> None:
        """Stop it."""
        self.lab("stop")

    @property
    def regions(self) -> list[str]:
        """Their names."""
        return list(self.state["regions"])

    def other(self, region: str) -> str:
        """The other region."""
        return next(one for one in self.regions if one != region)

    @property
    def lease(self) -> dict[str, Any]:
        """The databases' lease, as the witness has it."""
        options = self.state["witness"]["leases"]
        keys = configparser.RawConfigParser()
        keys.read(options["credentials_file"])
        profile = keys[options["profile"]]
        client = boto3.client(
            "s3",
            endpoint_url=options["endpoint_url"],
            region_name=options["region"],
            aws_access_key_id=profile["aws_access_key_id"],
            aws_secret_access_key=profile["aws_secret_access_key"],
        )
        return dict(json.loads(client.get_object(Bucket=options["bucket"], Key=LEASE)["Body"].read()))

    def observe(self, *regions: str) -> Snapshot:
        """Look at everything; at the Kubernetes APIs of `regions` only, of all when none is named."""
        lease = self.lease
        with Postgres(self.state["regions"][lease["holder"]]["postgres"], lease["holder"]) as server:
            timeline = ServerState.of(server).timeline
        deployments = {region: self._deployments(region) for region in regions or self.regions}
        return Snapshot(
            active=lease["holder"],
            epoch=lease["epoch"],
            follows=(lease["previous"] or {}).get("epoch"),
            timeline=timeline,
            dns_changes=frozenset(self._dns_changes()),
            generations={one: {name: found[0] for name, found in all_.items()} for one, all_ in deployments.items()},
            replicas={one: {name: found[1] for name, found in all_.items()} for one, all_ in deployments.items()},
        )

    def heal(self, region: str) -> None:
        """Give a lost region back, and wait until its Kubernetes API answers: nobody fails back to a region sooner."""
        self.lab("heal", "region", region)
        deadline = time.monotonic() + 300
        while True:
            try:
                self._deployments(region)
                return
            except HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def ledger(self, incident: str) -> tuple[list[Event], Verification]:
        """An incident's events, and what checking both of its copies found."""
        store = ObjectStore(self.state["witness"]["ledger"])
        ledger = Ledger(incident, "drill", self.directory / "ledgers", store)
        found = ledger.verify()
        return found.events, found

    def report(self, incident: str) -> dict[str, Any] | None:
        """What the run's report says; None where there is none."""
        path = self.directory / "ledgers" / incident / "report.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def _dns_changes(self) -> list[str]:
        """Ids of the change batches that Route 53 has taken."""
        found = json.loads((self.directory / "shared/aws/state.json").read_text(encoding="utf-8"))
        return [change["id"] for change in found["changes"]]

    def _deployments(self, region: str) -> dict[str, tuple[int, int]]:
        """Generation, which every change of its specification increases, and replicas of each deployment."""
        from kubernetes import client, config

        options = self.state["regions"][region]["kubernetes"]
        api = client.AppsV1Api(config.new_client_from_config(options["kubeconfig"], options["context"]))
        found = api.list_deployment_for_all_namespaces().items
        return {one.metadata.name: (one.metadata.generation, one.spec.replicas) for one in found}
