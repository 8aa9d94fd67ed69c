"""What the lab holds: two regions, one zone, two services of different tiers."""

from __future__ import annotations

from dataclasses import dataclass

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
CONTAINER_PORT = 8000


@dataclass(frozen=True)
class Service:
    """One service: its name is also its namespace and the ``app`` label of its pods."""

    name: str
    tier: int
    host: str
    database: str

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

#: kinds of component, in the order in which people read them
SHARED_KINDS = ("witness", "aws", "resolver", "client", "observer")
REGION_KINDS = ("border", "postgres", "guard", "store", "registry", "kubernetes", "node", "loadbalancer", "insider")


def other(region: str) -> str:
    """The other region."""
    return REGIONS[1 - REGIONS.index(region)]
