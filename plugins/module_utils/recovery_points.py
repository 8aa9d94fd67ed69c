# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Recovery points: take one of a directory, fetch one into a directory, record a proof of one.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t
from pathlib import Path

from . import needs
from .checksums_model import ALGORITHMS
from .connections import record_option, store_option
from .errors import Refused
from .execution import Params, Result, Specification
from .recovery_points_fetch import NEWEST, Wanted, fetch
from .recovery_points_names import Place
from .recovery_points_progress import Log
from .recovery_points_proofs import record
from .recovery_points_seal import trusting
from .recovery_points_store import PointStore
from .recovery_points_take import Order, take
from .recovery_points_target import Target

STORES: dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": store_option()["options"],
}

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["taken", "fetched", "recorded"], "default": "taken"},
        "service": {"type": "str", "required": True},
        "component": {"type": "str", "required": True},
        "id": {"type": "str"},
        "stores": STORES,
        "src": {"type": "path"},
        "dest": {"type": "path"},
        "facts": {"type": "dict", "default": {}},
        "signing_key": {"type": "path", "no_log": False},  # a file's name
        "public_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "copies": {"type": "int"},
        "algorithm": {"type": "str", "choices": list(ALGORITHMS), "default": "sha256"},
        "store": {"type": "str"},
        "fall_back": {"type": "bool", "default": True},
        "run": {"type": "str"},
        "proof": {"type": "dict"},
        "log": {"type": "path"},
        "record": record_option(),
    },
    required_if=[
        ("state", "taken", ["src", "signing_key"]),
        ("state", "fetched", ["id", "dest", "public_keys"]),
        ("state", "recorded", ["id", "run", "proof", "signing_key"]),
    ],
    needs=needs.all_of(needs.each("S3", needs.DATA, "stores"), needs.recorded()),
)

_STATES: dict[str, t.Callable[[Params, bool], Result]] = {}


def run(params: Params, check_mode: bool) -> Result:
    """Bring about the state. Raises RecoveryError."""
    started = time.monotonic()
    result = _STATES[params["state"]](params, check_mode)
    return {**result, "state": params["state"], "seconds": round(time.monotonic() - started, 3)}


def opened_stores(options: t.Sequence[t.Mapping[str, t.Any]]) -> list[PointStore]:
    """Return the stores. Raises Refused when there is none, or two have one name."""
    names = [one["name"] for one in options]
    if not names or len(set(names)) != len(names):
        told = "none is given" if not names else f"{', '.join(names)}: two have one name"
        raise Refused(f"Refused stores: {told}. Name each store once.")
    return [PointStore(one) for one in options]


def _taken(params: Params, check_mode: bool) -> Result:
    stores = opened_stores(params["stores"])
    copies = len(stores) if params["copies"] is None else params["copies"]
    if not 1 <= copies <= len(stores):
        raise Refused(f"Refused copies: {copies} of {len(stores)} stores. Give a number from 1 to that of the stores.")
    key = params["signing_key"]
    order = Order(
        source=Path(params["src"]),
        place=Place.of(params["service"], params["component"]),
        stores=stores,
        signing_key=key,
        trust=trusting(params["public_keys"], key),
        identifier=params["id"],
        facts=params["facts"] or {},
        copies=copies,
        algorithm=params["algorithm"],
        log=Log(params["log"]),
    )
    return take(order, check_mode)


def _fetched(params: Params, check_mode: bool) -> Result:
    stores = opened_stores(params["stores"])
    first = params["store"]
    if first is not None:
        if first not in [store.name for store in stores]:
            raise Refused(f"Refused store {first}: it is none of {', '.join(store.name for store in stores)}.")
        stores.sort(key=lambda store: store.name != first)  # the others stay in their order
    wanted = Wanted(
        place=Place.of(params["service"], params["component"]),
        identifier=params["id"] or NEWEST,
        stores=stores,
        trust=trusting(params["public_keys"]),
        fall_back=params["fall_back"],
        log=Log(params["log"]),
    )
    return fetch(wanted, Target(Path(params["dest"])), check_mode)


def _recorded(params: Params, check_mode: bool) -> Result:
    key = params["signing_key"]
    name = Place.of(params["service"], params["component"]).point(params["id"])
    stores, trust = opened_stores(params["stores"]), trusting(params["public_keys"], key)
    return record(stores, name, params["run"], params["proof"], key, trust, check_mode)


_STATES.update(taken=_taken, fetched=_fetched, recorded=_recorded)
