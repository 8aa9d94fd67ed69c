"""Assembling a lab whose first servers are starting: databases, buckets, names, nodes, the product's preparation."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab import backup_sources, components, kube, names, postgres, state, stores
from lab.catalogue import ACTIVE, IMAGE, IMAGE_TAG, REGIONS, STANDBY
from lab.components import Component, tail
from lab.errors import LabError
from lab.keys import Keys
from lab.layout import REPOSITORY, Lab
from lab.service import build_service_image
from lab.waiting import Step, run_steps, until

PREPARE = REPOSITORY / "playbooks" / "region_prepare.yml"
#: of the caller's environment, what would lead a client away from the lab
MISLEADING = ("AWS_", "PG", "KUBE", "ANSIBLE_")

Report = Callable[[str], None]


def assemble(lab: Lab, keys: Keys, report: Report) -> None:
    """Bring the lab up. Raises LabError naming the part that failed."""
    digests: list[str] = []
    steps = [
        Step("image", lambda: digests.append(build_images(lab)), done="image built, in both registries"),
        Step("primary", lambda: _primary(lab, keys), done=f"{ACTIVE} postgres: primary, databases made"),
        Step("standby", lambda: _standby(lab, keys), ("primary",), f"{STANDBY} postgres: standby, streaming"),
        Step("observer", lambda: _observe(lab), ("standby",), f"observer: {ACTIVE} commits writes"),
        Step("witness", lambda: stores.fill_witness(lab), done="witness: buckets of leases and ledger made"),
        Step("names", lambda: names.publish(lab), done="route 53: zone and records in sync"),
        *([Step("logs", lambda: backup_sources.keep_logs(lab), ("names",))] if lab.backups else []),
        Step("resolver", lambda: names.wait_for_resolver(lab), ("names",)),
    ]
    for region in REGIONS:
        steps += _region_steps(lab, keys, region)
    run_steps(steps, report)
    state.write(lab, digests[0])
    if not PREPARE.exists():
        raise LabError(f"Failed to prepare the regions: there is no {PREPARE}.")
    report("preparing the regions: ansible-playbook playbooks/region_prepare.yml")
    prepare_regions(lab)
    state.write(lab, digests[0])
    report("regions prepared: lease guards and workloads deployed")
    for service in lab.services:
        until(partial(is_ready, lab, service.host), f"{service.host} to be ready", timeout=60, interval=0.1)
    for component in (Component("client", None), *(Component("insider", region) for region in REGIONS)):
        components.start(lab, component)
    for service in lab.services:
        until(partial(client_wrote, lab, service.name), f"the client to write to {service.name}")


def _region_steps(lab: Lab, keys: Keys, region: str) -> list[Step]:
    def agents() -> None:
        kube.fill(lab, keys, region)
        components.start(lab, Component("node", region))
        components.start(lab, Component("loadbalancer", region))

    return [
        Step(f"{region} store", lambda: stores.fill_region(lab, region), done=f"{region} store: model stored"),
        Step(f"{region} registry", lambda: _registry(lab, region), ("image",)),
        Step(f"{region} kubernetes", agents, done=f"{region} kubernetes: API answers, namespaces and secrets made"),
        Step(
            f"{region} node",
            lambda: kube.wait_for_node(lab, region),
            (f"{region} kubernetes",),
            f"{region} node: ready",
        ),
    ]


def build_images(lab: Lab) -> str:
    """Build the services' image once and copy it to the other registry; its digest."""
    first, *others = (lab.state("registry", region) for region in REGIONS)
    digest = build_service_image(first, IMAGE, IMAGE_TAG)
    for other in others:
        shutil.copytree(first, other, dirs_exist_ok=True)
    return digest


def _primary(lab: Lab, keys: Keys) -> None:
    postgres.initialise(lab, keys, ACTIVE)
    postgres.launch(lab, ACTIVE)
    postgres.provision(lab, keys, ACTIVE)


def _standby(lab: Lab, keys: Keys) -> None:
    postgres.add_standby(lab, keys, ACTIVE, STANDBY)
    postgres.launch(lab, STANDBY)
    until(lambda: postgres.is_streaming(lab, ACTIVE, STANDBY), f"the standby of {STANDBY} to stream")


def _observe(lab: Lab) -> None:
    components.start(lab, Component("observer", None))
    until(lambda: observer_accepted(lab, ACTIVE), f"the observer to write in {ACTIVE} (log {lab.log('observer')})")


def observer_accepted(lab: Lab, region: str) -> bool:
    """Whether the observer's last words on a region are that it took a write."""
    last = [line for line in json_tail(lab.observer_file) if line.get("region") == region]
    return bool(last and last[-1]["accepted"])


def client_wrote(lab: Lab, service: str) -> bool:
    """Whether the client's last write to a service was acknowledged."""
    lines = json_tail(lab.client_directory / f"{service}.jsonl")
    last = [line for line in lines if line.get("op") == "write"]
    return bool(last and last[-1]["ok"])


def json_tail(path: Path, size: int = 8192) -> list[dict[str, object]]:
    """The whole lines at the end of a JSON-lines file; none where there is no file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    whole = lines[1:-1] if path.stat().st_size > size else lines[:-1]
    return [json.loads(line) for line in whole]


def is_ready(lab: Lab, host: str) -> bool:
    """Whether a service answers /ready through its public name, by the lab's resolver."""
    addresses = names.resolve(lab, host)
    if not addresses:
        return False
    connection = http.client.HTTPConnection(addresses[0], lab.port("loadbalancer"), timeout=2)
    try:
        connection.request("GET", "/ready", headers={"Host": f"{host}:{lab.port('loadbalancer')}"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _registry(lab: Lab, region: str) -> None:
    component = Component("registry", region)

    def answers() -> bool:
        components.check_alive(lab, component)
        connection = http.client.HTTPConnection(lab.inner("registry", region), lab.port("registry"), timeout=2)
        try:
            connection.request("GET", f"/v2/{IMAGE}/manifests/{IMAGE_TAG}")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    until(answers, f"the registry of {region} (log {lab.log('registry', region)})")


def prepare_regions(lab: Lab) -> None:
    """Run the product's own playbook against the lab. Raises LabError with the end of what it said."""
    log = lab.log("prepare")
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [str(Path(lab.python).with_name("ansible-playbook"))]
    argv += ["-i", "inventories/plan", "-i", "inventories/lab", str(PREPARE.relative_to(REPOSITORY))]
    with log.open("ab") as output:
        done = subprocess.run(
            argv, cwd=REPOSITORY, env=playbook_environment(lab), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        raise LabError(
            f"Failed to prepare the regions: ansible-playbook ended with {done.returncode}. {log}:\n{tail(log, 40)}"
        )


def playbook_environment(lab: Lab) -> dict[str, str]:
    """The caller's environment for ansible-playbook, less what would lead it away from the lab.

    It bears the lab's mark, so that one whose start was killed is found and ended.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(MISLEADING) and not name.lower().endswith("_proxy")
    }
    return {
        **kept,
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "DR_LAB_DIR": str(lab.directory),
        components.MARK: lab.id,
    }
