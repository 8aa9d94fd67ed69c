"""What is kept of a lab's backups and what runs left behind, as stores, leases, directories and processes tell it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import (
    backrest,
    recovery_points,
    recovery_points_info,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import Specification
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import ObjectMissing, ObjectStore

from tests.chaos.kill.world import World

SERVICE = "counterfactual-lab"
#: copies that a prune never goes below, in each store
MINIMUM = 3
LEASES = {"backup": "runs/backup.json", "backup_validation": "runs/proof.json"}


class Backups:
    """The recovery points of a lab that was started with DR_LAB_BACKUPS=1."""

    def __init__(self, world: World, components: tuple[str, ...]) -> None:
        """`components` are those of SERVICE that stores keep, by name."""
        self.world, self.components = world, components

    @property
    def stores(self) -> list[dict[str, Any]]:
        """The store of each region, as modules take them."""
        return [region["backup"]["store"] for region in self.world.state["regions"].values()]

    @property
    def _keys(self) -> dict[str, Any]:
        return dict(self.world.state["backups"])

    @property
    def signing_key(self) -> str:
        """The key that seals points."""
        return str(self._keys["signing_key"])

    def look(self) -> dict[str, Any]:
        """What `recovery_point_info` finds. Raises RecoveryError."""
        components = [
            {
                "service": SERVICE, "component": name, "kind": "directory", "tier": 1, "every_seconds": 900,
                "retention_days": 30, "minimum_points": MINIMUM, "copies": len(self.stores),
                "prove_every_seconds": 86400,
            }
            for name in self.components
        ]  # fmt: skip
        given = {"components": components, "stores": self.stores, "public_keys": [self._keys["public_key"]]}
        return dict(recovery_points_info.run(_complete(recovery_points_info.SPECIFICATION, given), check_mode=True))

    def restorable(self, component: str, identifier: str, store: dict[str, Any], dest: Path) -> str:
        """Fetch a copy, every byte hashed; say why it cannot be, or nothing."""
        given = {
            "state": "fetched", "service": SERVICE, "component": component, "id": identifier, "dest": str(dest),
            "stores": [store], "public_keys": [self._keys["public_key"]],
        }  # fmt: skip
        try:
            recovery_points.run(_complete(recovery_points.SPECIFICATION, given), check_mode=False)
        except RecoveryError as error:
            return str(error)
        return ""

    def physical(self, region: str) -> dict[str, Any]:
        """What pgBackRest lists, asked beside a region's server. Raises RecoveryError."""
        options = self.world.state["regions"][region]["backup"]
        given = {
            "state": "present", "config": options["pgbackrest"]["config"], "stanza": options["pgbackrest"]["stanza"],
            "repositories": [one["name"] for one in options["pgbackrest"]["repositories"]],
            "postgres": options["postgres"], "required": False,
        }  # fmt: skip
        return dict(backrest.run(_complete(backrest.SPECIFICATION, given), check_mode=True))

    def held(self, playbook: str) -> str:
        """Who holds the lease of such runs; nobody is empty."""
        store = ObjectStore(self.world.state["witness"]["leases"])
        try:
            record = json.loads(store.get(LEASES[playbook]).body)
        except ObjectMissing:
            return ""
        return "" if record.get("released") else str(record["holder"])

    def left(self) -> Iterator[str]:
        """What lies in the staging and in the scratch directory."""
        for name in ("staging", "scratch"):
            place = Path(self._keys[name])
            with suppress(FileNotFoundError):
                yield from (f"{name}/{one.name}" for one in place.iterdir())

    def alive(self) -> Iterator[str]:
        """Processes that runs of the harness started and that outlived them."""
        mark = f"DR_CHAOS_TASKS={self.world.scratch}/".encode()
        for process in Path("/proc").iterdir():
            with suppress(OSError):
                if process.name.isdigit() and mark in (process / "environ").read_bytes():
                    command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                    if command and int(process.name) != os.getpid():
                        yield f"{process.name} {command[:120].decode(errors='replace')}"


def _complete(specification: Specification, given: dict[str, Any]) -> dict[str, Any]:
    """Return options as a module gets them. Raises ValueError."""
    found = ArgumentSpecValidator(specification.argument_spec).validate(given)
    if found.error_messages:
        raise ValueError("; ".join(found.error_messages))
    return dict(found.validated_parameters)
