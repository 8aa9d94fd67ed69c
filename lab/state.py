"""``state.json``: where everything of the lab is. The lab's inventory reads it; no secret is in it."""

from __future__ import annotations

from typing import Any

from lab import backup_sources, backups, recovery
from lab.catalogue import (
    ACTIVE,
    IMAGE,
    LEASE_BUCKET,
    LEDGER_BUCKET,
    MODEL_BUCKET,
    REGIONS,
    SWITCH_BUCKET,
    ZONE,
    other,
)
from lab.components import address_of, region_components
from lab.configs import postgres_options, public_url
from lab.layout import Lab, write_json
from lab.names import aws_option
from lab.postgres import replication_passfile, slot_name
from lab.stores import lease_stores, store_option

FILE = "state.json"


def write(lab: Lab, digest: str) -> None:
    """Write the file; ``digest`` is that of the services' image."""
    write_json(lab.directory / FILE, describe(lab, digest), 0o644)


def describe(lab: Lab, digest: str) -> dict[str, Any]:
    """The whole state."""
    address, port = lab.resolver
    return {
        "id": lab.id,
        "directory": str(lab.directory),
        "python": lab.python,
        "subnet": lab.subnet,
        "zone": {"name": ZONE, "id": lab.zone_id},
        "witness": {
            "leases": store_option(lab, "witness", None, LEASE_BUCKET, "orchestrator"),
            "ledger": store_option(lab, "ledger", None, LEDGER_BUCKET, "orchestrator"),
        },
        "lease_stores": lease_stores(lab, "orchestrator"),
        "aws": aws_option(lab),
        "backups": backup_sources.describe(lab) if lab.backups else None,
        "traffic": recovery.describe(lab, store_option(lab, "switch", None, SWITCH_BUCKET, "orchestrator")),
        "dns": {
            "authoritative": [{"name": "route53", "address": lab.address("authority"), "port": lab.port("authority")}],
            "resolvers": [{"name": "lab", "address": address, "port": port}],
        },
        "active_region_at_start": ACTIVE,
        "regions": {region: _region(lab, region, digest) for region in REGIONS},
        "services": {
            service.name: {
                "url": public_url(lab, service.host),
                "database": service.database,
                "tier": service.tier,
            }
            for service in lab.services
        },
        "client": {"directory": str(lab.client_directory), "config": str(lab.config("client"))},
        "observer": {"path": str(lab.observer_file)},
    }


def _region(lab: Lab, region: str, digest: str) -> dict[str, Any]:
    data = lab.postgres_data(region)
    registry = f"{lab.address('registry', region)}:{lab.port('registry')}"
    command = [lab.python, str(lab.launcher), "--directory", str(lab.directory), "run"]
    return {
        "name": region,
        "kubernetes": {"kubeconfig": str(lab.kubeconfig(region)), "context": lab.context(region)},
        "postgres": postgres_options(lab, region, "dr_operator"),
        "admin": postgres_options(lab, region, "postgres", seen_from=region),
        "guard": {
            "config": str(lab.guard_config(region)),
            "postgres": postgres_options(lab, region, "dr_guard", seen_from=region),
            "lease_stores": lease_stores(lab, "guard", seen_from=region),
            "data_directory": str(data),
            "hba_file": str(data / "pg_hba.conf"),
            "start_argv": [*command, "postgres", region],
            "restart_argv": [*command, "guard", region],
            "state_directory": str(lab.state("guard", region)),
        },
        "standby": _standby(lab, region),
        "backup": backups.describe(lab, region) if lab.backups else None,
        "registry": registry,
        "images": {service.name: f"{registry}/{IMAGE}@{digest}" for service in lab.services},
        "s3": store_option(lab, f"models-{region}", region, MODEL_BUCKET, region),
        "endpoints": {
            service.name: {
                "address": lab.address(service.name, region),
                "port": lab.port("loadbalancer"),
                "url": f"http://{lab.address(service.name, region)}:{lab.port('loadbalancer')}",
                "values": [lab.address(service.name, region)],
            }
            for service in lab.services
        },
        "inner": {
            "postgres": postgres_options(lab, region, "dr_operator", seen_from=region),
            "s3": store_option(lab, f"models-{region}", region, MODEL_BUCKET, region, seen_from=region),
        },
        # where this region's servers reach the other region, through their border
        "outbound": {
            "postgres": {
                "host": lab.reach("postgres", other(region), seen_from=region),
                "port": lab.port("postgres"),
            }
        },
        "components": [
            {"kind": component.kind, "address": address_of(lab, component)}
            for component in region_components(lab, region)
        ],
    }


def _standby(lab: Lab, region: str) -> dict[str, Any]:
    """How the region's PostgreSQL follows the other region's."""
    other = next(one for one in REGIONS if one != region)
    source = postgres_options(lab, other, "replicator", seen_from=region)
    return {
        "source": {**source, "passfile": str(replication_passfile(lab, region))},
        "slot": slot_name(region),
        "bin_directory": str(lab.postgres_bin),
    }
