"""Stopping a lab: every process that it started, by recorded id, and everything that it keeps but its records."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

from lab.catalogue import REGIONS
from lab.components import MARK, all_components, recorded, stop
from lab.layout import FILE, Lab
from lab.ports import release_subnet
from lab.processes import ProcessId, family, kill_at_once, marked

#: what a node agent gives every container's environment, with its own directory as the value
CONTAINER_MARK = "LAB_NODE_DIRECTORY"
#: stopped first: they act on the others
FIRST = ("client", "insider", "observer", "guard", "node", "loadbalancer")
#: what a lab leaves when it stops: logs, and what client, observer and the incidents' ledgers say
KEPT_RECORDS = ("client", "observer", "logs")


def stop_lab(lab: Lab) -> None:
    """Stop every process of the lab, whatever state it is in, and remove what it kept."""
    components = all_components(lab)
    everyone = family(process for one in components if (process := recorded(lab, one)) is not None)
    stop(lab, [one for one in components if one.kind in FIRST])
    stop(lab, [one for one in components if one.kind not in FIRST])
    kill_at_once([*everyone, *orphans(lab)])
    _clean_own_clusters(lab)
    _remove_sockets(lab)
    _remove_servers(lab.directory)
    if lab.data != lab.directory:
        shutil.rmtree(lab.data, ignore_errors=True)
    (lab.directory / FILE).unlink(missing_ok=True)
    release_subnet(lab.subnet, lab.id)


def _clean_own_clusters(lab: Lab) -> None:
    """Leave the user's clusters as they were; one that does not answer is no reason to keep the lab."""
    if not lab.kubeconfigs:
        return
    from lab import own_clusters  # noqa: PLC0415 a second of imports, for those only who bring a cluster

    for region in lab.kubeconfigs:
        if problem := own_clusters.clean(lab, region):
            print(f"lab: {problem}", file=sys.stderr)


def orphans(lab: Lab) -> list[ProcessId]:
    """Processes of the lab that no running component has: they bear its mark, or that of one of its nodes."""
    return [*marked(MARK, lab.id), *(one for region in REGIONS for one in containers(lab, region))]


def containers(lab: Lab, region: str) -> list[ProcessId]:
    """The processes of a region's pods."""
    return marked(CONTAINER_MARK, str(lab.state("node", region)))


def remove_state(directory: Path) -> None:
    """Remove what an earlier lab left in the directory; ledgers and reports of incidents stay."""
    _remove_servers(directory)
    for name in KEPT_RECORDS:
        shutil.rmtree(directory / name, ignore_errors=True)


def _remove_servers(directory: Path) -> None:
    for name in ("bin", "run", "private", "shared", "postgresql", "staging", "scratch", "recovery", *REGIONS):
        shutil.rmtree(directory / name, ignore_errors=True)
    (directory / "state.json").unlink(missing_ok=True)


def _remove_sockets(lab: Lab) -> None:
    """SeaweedFS leaves sockets in /tmp; their names end with its ports, which are this lab's alone."""
    ports = {port for region in (None, *REGIONS) for port in lab.stores(region).values()}
    for path in Path("/tmp").glob("seaweedfs-*.sock"):
        if path.stem.rpartition("-")[2] in map(str, ports):
            with contextlib.suppress(OSError):
                path.unlink()
