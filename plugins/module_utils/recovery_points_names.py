# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What recovery points are called, and where each of their objects is in a store.

`<service>/<component>/<id>/` holds `files/<path>`, `manifest.json.sig`, `manifest.json` (the seal), `proofs/` and,
while somebody holds the point, `hold.json`.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import typing as t
from dataclasses import dataclass

from .checksums_paths import written
from .errors import Refused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ID = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}")
#: pgBackRest's own points, which are not in these stores; their proofs are
_LABEL = re.compile(r"\d{8}-\d{6}F(_\d{8}-\d{6}[DI])?")
_TIME = "%Y%m%dT%H%M%SZ"
#: S3's own limit, in bytes
_KEY_BYTES = 1024

MANIFEST, SIGNATURE, HOLD, FILES, PROOFS = "manifest.json", "manifest.json.sig", "hold.json", "files/", "proofs/"


@dataclass(frozen=True)
class Place:
    """Where the points of one component of one service are."""

    service: str
    component: str

    @classmethod
    def of(cls, service: t.Any, component: t.Any) -> Place:
        """Return the place of a component. Raises Refused for a name that cannot be part of a key, and for none."""
        for what, name in (("service", service), ("component", component)):
            if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
                rule = "letters, digits, dots, dashes and underscores, and begins with a letter or digit"
                raise Refused(f"Refused {what} {name!r}: it has to be a name of at most 100 {rule}.")
        return cls(service, component)

    @property
    def prefix(self) -> str:
        """What the keys of all points of the component begin with, and no others."""
        return f"{self.service}/{self.component}/"

    def point(self, identifier: str) -> PointName:
        """Return the name of one of its points. Raises Refused for what is no identifier."""
        if not (_ID.fullmatch(identifier) or _LABEL.fullmatch(identifier)):
            remedy = "Give one as recovery_point_info lists it: YYYYmmddTHHMMSSZ and eight hexadecimal digits."
            raise Refused(f"Refused recovery point {identifier!r} of {self}: that is no identifier. {remedy}")
        return PointName(self, identifier)

    def split(self, key: str) -> tuple[str, str]:
        """Return (identifier, rest) of a key; ('', key) for one that is no point's."""
        identifier, _slash, rest = key.removeprefix(self.prefix).partition("/")
        return (identifier, rest) if rest and is_identifier(identifier) else ("", key)

    def __str__(self) -> str:
        return f"{self.service}/{self.component}"


@dataclass(frozen=True)
class PointName:
    """One point, whatever store its copies are in."""

    place: Place
    id: str

    @property
    def prefix(self) -> str:
        """What all of its keys begin with."""
        return f"{self.place.prefix}{self.id}/"

    @property
    def subject(self) -> dict[str, str]:
        """What its manifest says that it is of."""
        return {"service": self.place.service, "component": self.place.component, "id": self.id}

    @property
    def is_sealed_here(self) -> bool:
        """False for a point of pgBackRest, of which these stores hold only proofs."""
        return _ID.fullmatch(self.id) is not None

    @property
    def named_time(self) -> dt.datetime:
        """When it was begun, as its name says."""
        return named_time(self.id)

    def key(self, rest: str) -> str:
        """Return the key of one of its objects."""
        return self.prefix + rest

    def file_key(self, path: str) -> str:
        """Return the key of one file of its content. Raises Refused where S3 takes none as long."""
        key = self.prefix + FILES + written(path)
        if len(key.encode()) > _KEY_BYTES:
            raise Refused(f"Refused {written(path)}: its key has more than {_KEY_BYTES} bytes. Pack what is so deep.")
        return key

    def __str__(self) -> str:
        return f"{self.place}/{self.id}"


def is_identifier(text: str) -> bool:
    """Whether this is the identifier of a point."""
    return bool(_ID.fullmatch(text) or _LABEL.fullmatch(text))


def named_time(identifier: str) -> dt.datetime:
    """Return the time that an identifier begins with, in UTC. Raises Refused for one that is no time."""
    try:
        if _ID.fullmatch(identifier):
            return dt.datetime.strptime(identifier[:16], _TIME).replace(tzinfo=dt.UTC)
        return dt.datetime.strptime(identifier[-16:-1][:15], "%Y%m%d-%H%M%S").replace(tzinfo=dt.UTC)
    except ValueError as error:
        raise Refused(f"Refused recovery point {identifier!r}: it begins with no time.") from error


def new_identifier(moment: dt.datetime, fingerprint: str) -> str:
    """Return the identifier of a point that begins now; `fingerprint` is that of its content."""
    return f"{moment.astimezone(dt.UTC).strftime(_TIME)}-{fingerprint[:8]}"


def fingerprint(files: t.Iterable[tuple[str, int, str]]) -> str:
    """Return one SHA-256 (hexadecimal) for a content: (path, size, digest) of each file."""
    ordered = sorted([written(path), size, digest] for path, size, digest in files)
    return hashlib.sha256(json.dumps(ordered, separators=(",", ":")).encode()).hexdigest()
