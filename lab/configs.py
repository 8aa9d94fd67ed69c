"""The configuration file of each component. They may hold secrets, so all are private."""

from __future__ import annotations

import os
from typing import Any

from lab import recovery
from lab.border_routes import border_config
from lab.catalogue import (
    BACKUP_BUCKET,
    CONTAINER_PORT,
    LEASE_BUCKET,
    LEDGER_BUCKET,
    MODEL_BUCKET,
    REGIONS,
    REPOSITORY_BUCKET,
    SWITCH_BUCKET,
    ZONE,
)
from lab.keys import Keys, component_kubeconfig
from lab.layout import POD_ADDRESS_START, Lab, write_json

INSYNC_SECONDS = 1.0


def write_all(lab: Lab, keys: Keys) -> None:
    """Write every component's configuration."""
    shared = {
        "witness": _witness(keys),
        "aws": _aws(lab, keys),
        "resolver": _resolver(lab),
        "client": _client(lab),
        "observer": _observer(lab),
    }
    for kind, config in shared.items():
        write_json(lab.config(kind), config)
    for region in REGIONS:
        for kind, config in _region(lab, keys, region).items():
            write_json(lab.config(kind, region), config)
            lab.state(kind, region).mkdir(parents=True, exist_ok=True)
    lab.state("witness").mkdir(parents=True, exist_ok=True)
    lab.scratch.mkdir(parents=True, exist_ok=True)


def actions_on(bucket: str, *actions: str) -> list[str]:
    """SeaweedFS's actions, on one bucket only."""
    return [f"{action}:{bucket}" for action in actions]


_LEASES = actions_on(LEASE_BUCKET, "Read", "Write", "List")
_WITNESS_ALL = _LEASES + [
    action for bucket in (LEDGER_BUCKET, SWITCH_BUCKET) for action in actions_on(bucket, "Read", "Write", "List")
]


def _witness(keys: Keys) -> dict[str, Any]:
    """Health checkers have no credentials: they may read the traffic switches, which hold no secret."""
    config = _identities(keys, {"witness": ["Admin"], "orchestrator": _WITNESS_ALL, "guard": _LEASES})
    config["identities"].append({"name": "anonymous", "actions": actions_on(SWITCH_BUCKET, "Read")})
    return config


def _identities(keys: Keys, actions: dict[str, list[str]]) -> dict[str, Any]:
    identities = [
        {
            "name": profile,
            "credentials": [{"accessKey": keys.aws[profile].id, "secretKey": keys.aws[profile].secret}],
            "actions": allowed,
        }
        for profile, allowed in actions.items()
    ]
    return {"identities": identities}


def _aws(lab: Lab, keys: Keys) -> dict[str, Any]:
    return {
        "host": lab.address("aws"),
        "port": lab.port("aws"),
        "dns_host": lab.address("authority"),
        "dns_port": lab.port("authority"),
        "state_file": str(lab.state("aws") / "state.json"),
        "access_keys": {keys.aws["orchestrator"].id: keys.aws["orchestrator"].secret},
        "insync_seconds": INSYNC_SECONDS,
        "zones": [{"name": ZONE, "id": lab.zone_id}],
        "recovery": recovery.config(lab),
    }


def _resolver(lab: Lab) -> dict[str, Any]:
    host, port = lab.resolver
    upstreams = {ZONE: [f"{lab.address('authority')}:{lab.port('authority')}"]}
    return {"host": host, "port": port, "upstreams": upstreams}


def _client(lab: Lab) -> dict[str, Any]:
    address, port = lab.resolver
    return {
        "directory": str(lab.client_directory),
        # not for the client: where those who measure find the records of the clients inside the regions
        "inside": {region: str(lab.client_directory / region) for region in REGIONS},
        "resolver": {"address": address, "port": port},
        "services": [
            {
                "name": service.name,
                "tier": service.tier,
                "url": public_url(lab, service.host),
                "per_second": service.client_per_second,
            }
            for service in lab.services
        ],
    }


def _insider(lab: Lab, region: str) -> dict[str, Any]:
    """The client in a region. It uses the services of the region alone, and no name: the resolver is outside."""
    return {
        "directory": str(lab.client_directory / region),
        "services": [
            {
                "name": service.name,
                "url": public_url(lab, service.host),
                "address": lab.inner(service.name, region),
                "per_second": service.insider_per_second,
            }
            for service in lab.services
        ],
    }


def public_url(lab: Lab, host: str) -> str:
    """A service's public address."""
    return f"http://{host}:{lab.port('loadbalancer')}"


def _observer(lab: Lab) -> dict[str, Any]:
    # It sees everything: no border stands between it and a server.
    regions = {region: postgres_options(lab, region, "dr_observer", seen_from=region) for region in REGIONS}
    for dsn in regions.values():
        dsn["dbname"] = dsn.pop("database")  # psycopg2's word for it
    return {"path": str(lab.observer_file), "regions": regions}


def postgres_options(lab: Lab, region: str, user: str, seen_from: str | None = None) -> dict[str, Any]:
    """The collection's `postgres` option; ``seen_from`` is the region in which it is used, None for outside all."""
    return {
        "host": lab.reach("postgres", region, seen_from),
        "port": lab.port("postgres"),
        "user": user,
        "passfile": str(lab.passfile),
        "database": "postgres",
        "sslmode": "disable",
    }


def _registry(address: str, lab: Lab) -> str:
    return f"{address}:{lab.port('registry')}"


def _region(lab: Lab, keys: Keys, region: str) -> dict[str, dict[str, Any]]:
    number = REGIONS.index(region) + 1
    contexts = {"context": lab.context(region)}
    models = actions_on(MODEL_BUCKET, "Read", "List")
    operators = _LEASES + actions_on(MODEL_BUCKET, "Read", "Write", "List", "Tagging")
    identities = {"store": ["Admin"], "orchestrator": operators, "guard": _LEASES, region: models}
    if lab.backups:
        operators += actions_on(BACKUP_BUCKET, "Read", "Write", "List", "Tagging")
        identities["backup"] = actions_on(REPOSITORY_BUCKET, "Read", "Write", "List", "Tagging")
    configs: dict[str, dict[str, Any]] = {
        "border": border_config(lab, region),
        "store": _identities(keys, identities),
        "registry": {
            "host": lab.inner("registry", region),
            "port": lab.port("registry"),
            "store": str(lab.state("registry", region)),
        },
        "node": {
            "node_name": f"node-{region}",
            "kubeconfig": str(component_kubeconfig(lab, region, "node")),
            **contexts,
            "pod_network": f"{lab.subnet}.{number}.0/24",
            "pod_address_start": POD_ADDRESS_START,
            "directory": str(lab.state("node", region)),
            "python": lab.python,
            "capacity": {"cpu": str(os.cpu_count() or 1), "memory": "4Gi", "pods": "50"},
            "labels": {"topology.kubernetes.io/region": region},
            "namespaces": [service.name for service in lab.services],
            # images bear the public name; a pull stays inside
            "mirrors": {_registry(lab.address("registry", region), lab): _registry(lab.inner("registry", region), lab)},
        },
        "loadbalancer": {
            "kubeconfig": str(component_kubeconfig(lab, region, "loadbalancer")),
            **contexts,
            "listeners": [
                {
                    "host": lab.inner(service.name, region),
                    "port": lab.port("loadbalancer"),
                    "namespace": service.name,
                    "selector": f"app={service.name}",
                    "target_port": CONTAINER_PORT,
                }
                for service in lab.services
            ],
        },
    }
    configs["insider"] = _insider(lab, region)
    if region not in lab.kubeconfigs:
        configs["kubernetes"] = {
            "host": lab.inner("kubernetes", region),
            "port": lab.port("kubernetes"),
            "state_directory": str(lab.state("kubernetes", region)),
            "tokens": keys.kubernetes_tokens(region),
        }
    return configs
