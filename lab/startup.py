"""Starting a lab: from an empty directory to a service that its client can write to."""

from __future__ import annotations

import os
import secrets
import string
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lab import backup_sources, backups, configs, recovery, shutdown
from lab.account import choose_account, data_directory, find_postgres
from lab.catalogue import REGIONS, SERVICES, count_from
from lab.components import Component, all_components, is_fenced, process_of, start
from lab.errors import LabError
from lab.faults import hit
from lab.keys import Keys
from lab.layout import REPOSITORY, Lab, locked, write_text
from lab.ports import claim_subnet, free_port, release_subnet

#: standard ports, or the next free ones, on the lab's own addresses
PREFERRED_PORTS = {
    "postgres": 5432,
    "registry": 5000,
    "kubernetes": 6443,
    "loadbalancer": 8080,
    "aws": 4566,
    "authority": 5300,
    "resolver": 5300,
    "recovery": 4567,
}
LAUNCHER = """\
import sys

sys.path[:0] = {paths!r}

from lab.__main__ import main

sys.exit(main())
"""
#: started before anything else, because nothing of theirs depends on another
FIRST = ("border", "aws", "witness", "store", "kubernetes", "registry", "resolver")

Report = Callable[[str], None]


class Progress:
    """Prints one line a finished piece of work, with the seconds since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def __call__(self, text: str) -> None:
        print(f"{self.seconds:6.1f} s  {text}", flush=True)


def start_lab(directory: Path, kubeconfigs: dict[str, str]) -> None:
    """Start the lab in ``directory``, unless it is up. Raises LabError, with everything stopped again."""
    report = Progress()
    with locked(directory):
        lab = Lab.load(directory)
        if lab is not None:
            if lab.complete and not (dead := unexpectedly_dead(lab)):
                refuse_other_clusters(lab, kubeconfigs)
                faults = "".join(f"; in force: {name} {', '.join(on)}" for name, on in lab.faults.items())
                report(f"the lab in {directory} is already up (network {lab.network}){faults}")
                return
            report(
                f"cleaning up the lab that was left in {directory}" + (f": dead {_names(dead)}" if lab.complete else "")
            )
            shutdown.stop_lab(lab)
        contexts = _contexts(kubeconfigs)
        method, count = recovery.method_from(os.environ), count_from(os.environ)
        lab = create(directory, kubeconfigs, contexts, method, count, backups.wanted(os.environ))
        report(f"lab in {directory}, network {lab.network}")
        try:
            _bring_up(lab, report)
        except BaseException as error:
            if not isinstance(error, Exception):
                print("interrupted: stopping what was started", file=sys.stderr)
            shutdown.stop_lab(lab)
            raise
        replace(lab, complete=True).save()
        report("the lab is up: every service takes writes through its public name")


def unexpectedly_dead(lab: Lab) -> list[Component]:
    """Components that do not run although no fault says so."""
    return [one for one in all_components(lab) if not (process_of(lab, one) or is_fenced(lab, one) or hit(lab, one))]


def refuse_other_clusters(lab: Lab, kubeconfigs: dict[str, str]) -> None:
    """A lab that is up does not move to another cluster."""
    if kubeconfigs and kubeconfigs != lab.kubeconfigs:
        used = ", ".join(lab.kubeconfigs.values()) or "emulators"
        raise LabError(
            f"Failed to start the lab with {', '.join(kubeconfigs.values())}: it is up in {lab.directory} with {used}. "
            f"Stop it first: python -m lab --directory {lab.directory} stop"
        )


def _contexts(kubeconfigs: dict[str, str]) -> dict[str, str]:
    """The contexts of the user's clusters, which can serve a lab. Raises LabError where one cannot."""
    if not kubeconfigs:
        return {}
    from lab import own_clusters  # noqa: PLC0415 a second of imports, for those only who bring a cluster

    contexts = {region: own_clusters.current_context(path) for region, path in kubeconfigs.items()}
    own_clusters.check(kubeconfigs, contexts)
    return contexts


def create(
    directory: Path,
    kubeconfigs: dict[str, str],
    contexts: dict[str, str],
    traffic: str = "records",
    services: int = len(SERVICES),
    with_backups: bool = False,
) -> Lab:
    """Choose network, ports and user, make secrets, write configurations: a lab with nothing running yet."""
    directory.mkdir(parents=True, exist_ok=True)
    shutdown.remove_state(directory)
    account = choose_account()
    lab_id = secrets.token_hex(6)
    subnet = claim_subnet(directory, lab_id)
    try:
        data = data_directory(directory, lab_id, account)
        lab = Lab(
            directory=directory,
            id=lab_id,
            subnet=subnet,
            zone_id="Z" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(20)),
            python=sys.executable,
            postgres_bin=find_postgres(account, data),
            data=data,
            account=account,
            ports={},
            traffic=traffic,
            backups=with_backups,
            service_count=services,
            kubeconfigs=kubeconfigs,
            contexts=contexts,
        )
        if lab.backups:
            backups.require_programs(lab)
        lab = replace(lab, ports=_ports(lab))
        keys = Keys.generate(lab.services)
        keys.save(lab)
        configs.write_all(lab, keys)
        if lab.backups:
            backups.write_secrets(lab, keys)
            backup_sources.make(lab)
        paths = [str(REPOSITORY), str(REPOSITORY / "collections")]
        write_text(lab.launcher, LAUNCHER.format(paths=paths), 0o644)
        lab.save()
    except BaseException:
        release_subnet(subnet, lab_id)
        raise
    return lab


def _ports(lab: Lab) -> dict[str, int]:
    ports: dict[str, int] = {}
    for kind, preferred in PREFERRED_PORTS.items():
        if kind in ("aws", "authority", "resolver"):
            addresses = [lab.address(kind)]
        elif kind == "recovery":
            addresses = recovery.addresses(lab)
        elif kind == "loadbalancer":
            addresses = [
                place(service.name, region)
                for service in lab.services
                for region in REGIONS
                for place in (lab.address, lab.inner)
            ]
        else:
            addresses = [place(kind, region) for region in REGIONS for place in (lab.address, lab.inner)]
        ports[kind] = free_port(preferred, addresses)
    return ports


def _bring_up(lab: Lab, report: Report) -> None:
    for component in all_components(lab):
        if component.kind in FIRST:
            start(lab, component)
    from lab.assembly import assemble  # noqa: PLC0415 a second of imports, while the servers start

    assemble(lab, Keys.load(lab), report)


def _names(components: list[Component]) -> str:
    return ", ".join(map(str, components))


def kubeconfigs_from(environment: dict[str, str]) -> dict[str, str]:
    """Clusters of the user's own: DR_LAB_KUBECONFIG_US_EAST_1 and so on. Raises LabError for a missing file."""
    found = {}
    for region in REGIONS:
        name = f"DR_LAB_KUBECONFIG_{region.upper().replace('-', '_')}"
        path = environment.get(name)
        if path:
            if not Path(path).is_file():
                raise LabError(f"Failed to read {path}: there is no such file. Correct {name}.")
            found[region] = str(Path(path).absolute())
    return found
