"""One lab: its directory, network and ports. Everything else about its places follows from these."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lab.catalogue import REGIONS, SERVICES, Service, services
from lab.errors import LabError
from lab.ports import store_ports

REPOSITORY = Path(__file__).resolve().parents[1]
DEFAULT_DIRECTORY = REPOSITORY / "build" / "lab"
FILE = "lab.json"


@dataclass(frozen=True)
class Lab:
    """A lab as ``lab.json`` remembers it. No secret is in it."""

    directory: Path
    id: str
    subnet: str
    zone_id: str
    python: str
    postgres_bin: Path
    #: where the databases are: the lab's directory, or one that PostgreSQL's user can reach
    data: Path
    #: who runs PostgreSQL; None where that is the lab's own user
    account: str | None
    ports: dict[str, int]
    #: regions that use a cluster of the user's instead of the emulator
    kubeconfigs: dict[str, str] = field(default_factory=dict)
    #: their contexts that were current when the lab began: whatever becomes current later, the lab stays where it is
    contexts: dict[str, str] = field(default_factory=dict)
    #: faults in force, each with what it is about: {"region": ["us-east-1"]}
    faults: dict[str, list[str]] = field(default_factory=dict)
    #: how its services' traffic is shifted: records, routing_controls or switch
    traffic: str = "records"
    #: whether it archives and takes backups
    backups: bool = False
    #: how many services it has
    service_count: int = len(SERVICES)
    #: True once start has ended well
    complete: bool = False

    @classmethod
    def load(cls, directory: Path) -> Lab | None:
        """The lab of this directory; None where there is none. Raises LabError for a broken file."""
        path = directory / FILE
        try:
            data = json.loads(path.read_text())
            paths = {name: Path(data[name]) for name in ("directory", "postgres_bin", "data")}
            return cls(**{**data, **paths})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise LabError(
                f"Failed to read {path}: {error}. Remove the directory {directory} and start again."
            ) from error

    def save(self) -> None:
        """Write ``lab.json``, all or nothing."""
        write_json(self.directory / FILE, {**asdict(self), **self._paths()}, 0o644)

    def with_fault(self, name: str, subject: str, present: bool) -> Lab:
        """This lab with a fault noted or taken off, saved."""
        subjects = [one for one in self.faults.get(name, []) if one != subject] + ([subject] if present else [])
        faults = {key: value for key, value in {**self.faults, name: subjects}.items() if value}
        changed = replace(self, faults=faults)
        changed.save()
        return changed

    @property
    def services(self) -> tuple[Service, ...]:
        """The services that run in it."""
        return services(self.service_count)

    def address(self, kind: str, region: str | None = None) -> str:
        """The public address of a component or of a service's load balancer: what those outside its region use."""
        if region is None:
            return f"{self.subnet}.0.{_SHARED_HOSTS[kind]}"
        return self._host(region, self._number(kind))

    def inner(self, kind: str, region: str) -> str:
        """Where a component of a region really listens, behind the region's border."""
        return self._host(region, self._number(kind) + _INNER)

    def outbound(self, kind: str, region: str) -> str:
        """Inside a region: where its border leads to the witness, or to the other region's store or PostgreSQL."""
        return self._host(region, _OUTBOUND_HOSTS[kind])

    def entry(self, kind: str, region: str) -> str:
        """At a region's edge: where the other region's border comes in."""
        return self._host(region, self._number(kind) + _ENTRY)

    def reach(self, kind: str, region: str | None, seen_from: str | None = None) -> str:
        """The address at which a component is reached from within a region, or from outside all regions (None)."""
        if seen_from is None:
            return self.address(kind, region)
        return self.inner(kind, seen_from) if region == seen_from else self.outbound(kind, seen_from)

    def _number(self, kind: str) -> int:
        """The public host number of a component of a region, or of a service by its name."""
        if kind in _REGION_HOSTS:
            return _REGION_HOSTS[kind]
        return _FIRST_SERVICE_HOST + [service.name for service in self.services].index(kind)

    def _host(self, region: str, number: int) -> str:
        return f"{self.subnet}.{REGIONS.index(region) + 1}.{number}"

    def port(self, kind: str) -> int:
        """The port of a kind of component, the same in both regions."""
        return self.ports[kind]

    def stores(self, region: str | None) -> dict[str, int]:
        """The ports of one SeaweedFS: a region's, or the witness (None)."""
        return store_ports(self.subnet, 0 if region is None else REGIONS.index(region) + 1)

    def store_url(self, region: str | None, seen_from: str | None = None) -> str:
        """Where S3 is: a region's, or the witness's (None), for whom is in a region or outside all (None)."""
        address = self.reach("witness" if region is None else "store", region, seen_from)
        return f"http://{address}:{self.stores(region)['s3']}"

    def store_tls_url(self, region: str, seen_from: str | None = None) -> str:
        """The same store where it speaks TLS, as pgBackRest has it; a lab without backups has none."""
        return f"https://{self.reach('store', region, seen_from)}:{self.stores(region)['s3.https']}"

    @property
    def aws_url(self) -> str:
        """Where Route 53 is."""
        return f"http://{self.address('aws')}:{self.port('aws')}"

    @property
    def resolver(self) -> tuple[str, int]:
        """The resolver that clients use."""
        return self.address("resolver"), self.port("resolver")

    @property
    def network(self) -> str:
        """The lab's whole network."""
        return f"{self.subnet}.0.0/16"

    @property
    def private(self) -> Path:
        """The directory of secrets."""
        return self.directory / "private"

    @property
    def credentials(self) -> Path:
        """AWS shared credentials file."""
        return self.private / "credentials"

    @property
    def passfile(self) -> Path:
        """libpq passfile of every role but replication."""
        return self.private / "pgpass"

    @property
    def launcher(self) -> Path:
        """A Python program that is ``python -m lab`` from any directory."""
        return self.directory / "bin" / "dr-lab"

    @property
    def client_directory(self) -> Path:
        """Where the client keeps its record."""
        return self.directory / "client"

    @property
    def observer_file(self) -> Path:
        """Where the observer keeps its record."""
        return self.directory / "observer" / "observer.jsonl"

    def config(self, kind: str, region: str | None = None) -> Path:
        """The configuration file of a component."""
        return self.private / "config" / (region or "shared") / f"{kind}.json"

    def state(self, kind: str, region: str | None = None) -> Path:
        """The directory of what a component keeps."""
        return self.directory / (region or "shared") / kind

    def log(self, kind: str, region: str | None = None) -> Path:
        """The log file of a component."""
        return self.directory / "logs" / (region or "shared") / f"{kind}.log"

    def postgres_data(self, region: str) -> Path:
        """PostgreSQL's data directory."""
        return self.data / region / "postgres"

    def backup_directory(self, region: str) -> Path:
        """What pgBackRest has in a region: configuration, secrets, locks, logs. PostgreSQL's user owns it."""
        return self.data / region / "backup"

    def kubeconfig(self, region: str) -> Path:
        """The kubeconfig of the orchestrator for a region."""
        given = self.kubeconfigs.get(region)
        return Path(given) if given else self.private / f"kubeconfig-{region}"

    def context(self, region: str) -> str:
        """The context of that kubeconfig; ours is named after the region."""
        return self.contexts.get(region, region)

    @property
    def certificates(self) -> Path:
        """Certificates and keys of the stores, with that of the authority which vouches for them."""
        return self.private / "tls"

    @property
    def scratch(self) -> Path:
        """Where components put what must not outlive them, and does when they are killed."""
        return self.private / "scratch"

    def guard_config(self, region: str) -> Path:
        """Where the lease guard's configuration is put when the guard is deployed."""
        return self.private / "guard" / f"{region}.json"

    def _paths(self) -> dict[str, str]:
        return {name: str(getattr(self, name)) for name in ("directory", "postgres_bin", "data")}


_SHARED_HOSTS = {"witness": 2, "aws": 3, "authority": 53, "resolver": 54, "client": 100, "observer": 101} | {
    f"recovery-{number}": 60 + number for number in range(5)
}
_REGION_HOSTS = {"border": 1, "postgres": 2, "store": 3, "registry": 4, "kubernetes": 5, "node": 6}
_FIRST_SERVICE_HOST = 10
#: behind the border, and for the other region's border, everything has another host number: 42 and 82 for 2
_INNER, _ENTRY = 40, 80
_OUTBOUND_HOSTS = {"witness": 90, "store": 91, "postgres": 92}
POD_ADDRESS_START = 100


def lab_directory(given: str | None) -> Path:
    """The directory that was asked for, else DR_LAB_DIR, else build/lab."""
    return Path(given or os.environ.get("DR_LAB_DIR") or DEFAULT_DIRECTORY).expanduser().absolute()


def required(directory: Path) -> Lab:
    """The lab of this directory. Raises LabError where none was started."""
    lab = Lab.load(directory)
    if lab is None:
        raise LabError(f"Failed to find a lab in {directory}: none is up there. Start it: python -m lab start.")
    return lab


@contextlib.contextmanager
def locked(directory: Path, name: str = "lab") -> Iterator[None]:
    """Only one command at a time may hold the lock ``name`` of a lab; others wait."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f".{name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_json(path: Path, data: Any, mode: int = 0o600) -> None:
    """Write a JSON file, all or nothing, readable as ``mode`` says from the first byte on."""
    write_text(path, json.dumps(data, indent=2) + "\n", mode)


def write_text(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file, all or nothing, readable as ``mode`` says from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, mode), "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    partial.replace(path)
