"""Recovery points that are past their retention, so that a backup has something to remove."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_manifest import Manifest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_model import FileSum
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import to_iso
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_names import Place
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_seal import (
    make_seal,
    write_seal,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_store import PointStore

#: files of a planted point: more than one, so that a removal has a middle
_FILES = 5


def plant(stores: list[dict[str, Any]], signing_key: str, service: str, component: str, days: float) -> str:
    """Seal a point in each store as it was done `days` days ago; return its identifier."""
    created = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
    identifier = f"{created.strftime('%Y%m%dT%H%M%SZ')}-{uuid.uuid4().hex[:8]}"
    name = Place.of(service, component).point(identifier)
    contents = {f"file-{number}": f"{identifier} {number}\n".encode() for number in range(_FILES)}
    files = [FileSum(path, len(body), hashlib.sha256(body).hexdigest()) for path, body in contents.items()]
    seal = make_seal(name, Manifest(name.subject, {}, files, "sha256", to_iso(created)), signing_key)
    for options in stores:
        store = PointStore(options)
        for path, body in contents.items():
            store.write(name.key(f"files/{path}"), body)
        write_seal(store, seal, signing_key)
    return identifier
