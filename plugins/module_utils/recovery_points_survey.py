# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in the stores, from listings alone: one pass over each component, one call a thousand objects.

Of each point only sums are kept, so that memory grows with the points and not with their files.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .errors import RecoveryError
from .recovery_points_names import FILES, HOLD, MANIFEST, PROOFS, SIGNATURE, Place
from .recovery_points_proofs import file_of
from .recovery_points_store import Listed, PointStore

_AT_ONCE = 6
_MODULUS = 1 << 256


@dataclass
class Tally:
    """Names and sizes of files as one sum, whatever order they come in: stores sort keys differently."""

    count: int = 0
    bytes: int = 0
    total: int = 0

    def add(self, key: str, size: int) -> None:
        """Count one file."""
        name = key.encode("utf-8", "surrogateescape") + b"\0" + str(size).encode()
        self.total = (self.total + int.from_bytes(hashlib.sha256(name).digest(), "big")) % _MODULUS
        self.count += 1
        self.bytes += size


@dataclass
class Kept:
    """What one store has of one point."""

    files: Tally = field(default_factory=Tally)
    manifest: Listed | None = None
    signature: Listed | None = None
    held: bool = False
    #: proofs, newest first: their keys without the point's prefix
    proofs: list[str] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0
    newest: dt.datetime | None = None

    def take(self, item: Listed, rest: str) -> None:
        """Count one object; `rest` is its key without the point's prefix."""
        self.objects += 1
        self.bytes += item.size
        self.newest = max(self.newest or item.modified, item.modified)
        if rest.startswith(FILES):
            self.files.add(rest[len(FILES) :], item.size)
        elif rest == MANIFEST:
            self.manifest = item
        elif rest == SIGNATURE:
            self.signature = item
        elif rest == HOLD:
            self.held = True
        elif rest.startswith(PROOFS) and file_of(rest):
            self.proofs.append(rest)


@dataclass
class View:
    """What one store has of one component; with an `error` nothing is known."""

    store: PointStore
    place: Place
    points: dict[str, Kept] = field(default_factory=dict)
    #: objects below the component that are of no point
    strangers: int = 0
    error: str = ""
    skew_seconds: float | None = None


def survey(stores: t.Sequence[PointStore], places: t.Sequence[Place]) -> dict[Place, list[View]]:
    """Return what each store has of each component, the stores in their order."""
    pairs = [(store, place) for place in places for store in stores]
    with ThreadPoolExecutor(max(1, min(_AT_ONCE, len(pairs))), thread_name_prefix="survey") as pool:
        views = list(pool.map(lambda pair: look(*pair), pairs))
    found: dict[Place, list[View]] = {place: [] for place in places}
    for view in views:
        found[view.place].append(view)
    return found


def look(store: PointStore, place: Place) -> View:
    """List one component in one store."""
    view = View(store, place)
    try:
        for item in store.listing(place.prefix):
            identifier, rest = place.split(item.key)
            if identifier:
                view.points.setdefault(identifier, Kept()).take(item, rest)
            else:
                view.strangers += 1
    except RecoveryError as error:
        view.error = str(error)
    view.skew_seconds = store.skew_seconds
    for kept in view.points.values():
        kept.proofs.sort(reverse=True)
    return view
