"""What the lab holds: two regions, one zone, and services of different tiers: two, unless a lab has others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lab.errors import LabError

REGIONS = ("us-east-1", "us-west-2")
ACTIVE, STANDBY = REGIONS
ZONE = "counterfactual-lab.test"
RECORD_TTL_SECONDS = 5
IMAGE = "counterfactual-lab"
IMAGE_TAG = "1.0.0"
MODEL_BUCKET = "models"
MODEL_KEY = "counterfactual-lab/model.json"
MODEL_VERSION = "1.0.0"
LEASE_BUCKET = "dr-leases"
LEDGER_BUCKET = "dr-ledger"
SWITCH_BUCKET = "dr-switch"
#: recovery points, and pgBackRest's repository
BACKUP_BUCKET, REPOSITORY_BUCKET = "dr-backups", "dr-pgbackrest"
CONTAINER_PORT = 8000


@dataclass(frozen=True)
class Service:
    """One service: its name is also its namespace and the ``app`` label of its pods."""

    name: str
    tier: int
    host: str
    database: str
    #: attempts a second of the public client, and of the client in each region
    client_per_second: float = 5.0
    insider_per_second: float = 2.0

    @property
    def database_role(self) -> str:
        """Who owns the database."""
        return self.database

    @property
    def secrets(self) -> tuple[str, str]:
        """The names of its Kubernetes secrets: the database's password, and the keys to the models."""
        return f"{self.name}-database", f"{self.name}-models"


SERVICES = (
    Service("counterfactual-lab", 1, f"api.{ZONE}", "counterfactual_lab"),
    Service("analytics", 3, f"analytics.{ZONE}", "analytics"),
)
#: a region's network has room for no more
MOST_SERVICES = 30
#: further services are many: their clients ask less often
FURTHER_CLIENT_PER_SECOND = 1.0
FURTHER_INSIDER_PER_SECOND = 0.2


def services(count: int) -> tuple[Service, ...]:
    """The services of a lab that has so many: those above, then service-03 and so on, by turns of tier 3 and 2."""
    return (*SERVICES, *map(_further, range(len(SERVICES) + 1, count + 1)))[:count]


def count_from(environment: Mapping[str, str]) -> int:
    """How many services a lab has, by DR_LAB_SERVICES. Raises LabError for what is no such number."""
    text = environment.get("DR_LAB_SERVICES") or str(len(SERVICES))
    count = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= count <= MOST_SERVICES:
        raise LabError(
            f"Failed to start the lab: DR_LAB_SERVICES is {text!r}. Set it to a number from 1 to {MOST_SERVICES}."
        )
    return count


def _further(number: int) -> Service:
    return Service(
        name=f"service-{number:02}",
        tier=2 + number % 2,
        host=f"service-{number:02}.{ZONE}",
        database=f"service_{number:02}",
        client_per_second=FURTHER_CLIENT_PER_SECOND,
        insider_per_second=FURTHER_INSIDER_PER_SECOND,
    )


#: kinds of component, in the order in which people read them
SHARED_KINDS = ("witness", "aws", "resolver", "client", "observer")
REGION_KINDS = ("border", "postgres", "guard", "store", "registry", "kubernetes", "node", "loadbalancer", "insider")


def other(region: str) -> str:
    """The other region."""
    return REGIONS[1 - REGIONS.index(region)]
