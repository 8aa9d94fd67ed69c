# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How what was found differs from what a manifest lists, each difference by its own name.

PRIVATE to the collection.
"""

from __future__ import annotations

import collections
import typing as t
from dataclasses import dataclass

from .checksums_model import FileSum
from .checksums_paths import to_bytes, written

MISSING, EXTRA, CHANGED = "missing", "extra", "changed"
TRUNCATED, GROWN, SWAPPED = "truncated", "grown", "swapped"
KINDS = (MISSING, EXTRA, CHANGED, TRUNCATED, GROWN, SWAPPED)


@dataclass(frozen=True)
class Difference:
    """One path that is not as it should be.

    `expected` is what the manifest lists (None: extra), `found` what is there (None: missing). `other` is the path of
    a file that explains it: where the content of a missing file is now, or whose content a changed file has.
    """

    kind: str
    path: str
    expected: FileSum | None
    found: FileSum | None
    other: str | None = None

    def as_dict(self) -> dict[str, t.Any]:
        """Return it as modules report it."""
        return {
            "kind": self.kind,
            "path": written(self.path),
            "expected": self.expected.as_dict() if self.expected else None,
            "found": self.found.as_dict() if self.found else None,
            "other": written(self.other) if self.other is not None else None,
        }

    def __str__(self) -> str:
        name, other = written(self.path), written(self.other or "")
        if self.kind == MISSING:
            return f"{name} is missing" + (f"; its content is in {other}" if other else "")
        if self.kind == EXTRA:
            return f"{name} is extra: it is not listed"
        if self.kind == SWAPPED:
            return f"{name} is swapped: it holds the content of {other}"
        size = f" from {self.expected.size if self.expected else 0} to {self.found.size if self.found else 0} bytes"
        told = f"{name} is {self.kind}" + (size if self.kind in (TRUNCATED, GROWN) else "")
        return told + (f"; it holds the content of {other}" if other else "")


def compare_sums(expected: t.Iterable[FileSum], found: t.Iterable[FileSum]) -> list[Difference]:
    """Return the differences in the order of paths. Versions of objects are not compared, contents are."""
    wanted, there = {one.path: one for one in expected}, {one.path: one for one in found}
    changed = [path for path, one in wanted.items() if path in there and there[path].digest != one.digest]
    swapped = _swapped(changed, wanted, there)
    owner = {one.digest: path for path, one in wanted.items()}
    moved = {one.digest: path for path, one in there.items() if path not in wanted}
    differences = [
        Difference(MISSING, path, one, None, moved.get(one.digest)) for path, one in wanted.items() if path not in there
    ]
    differences += [Difference(EXTRA, path, None, one) for path, one in there.items() if path not in wanted]
    for path in changed:
        mine, now = wanted[path], there[path]
        if path in swapped:
            differences.append(Difference(SWAPPED, path, mine, now, swapped[path]))
        else:
            differences.append(Difference(_how(mine, now), path, mine, now, owner.get(now.digest)))
    return sorted(differences, key=lambda one: to_bytes(one.path))


def _how(expected: FileSum, found: FileSum) -> str:
    if found.size < expected.size:
        return TRUNCATED
    return GROWN if found.size > expected.size else CHANGED


def _swapped(
    changed: t.Iterable[str], wanted: t.Mapping[str, FileSum], there: t.Mapping[str, FileSum]
) -> dict[str, str]:
    """Return the files whose contents stand in each other's places, two or in a ring, each with whose it holds."""
    ring = set(changed)
    while True:
        lost = {wanted[path].digest for path in ring} & {there[path].digest for path in ring}
        stays = {path for path in ring if wanted[path].digest in lost and there[path].digest in lost}
        if stays == ring:
            break
        ring = stays
    owners: dict[str, list[str]] = collections.defaultdict(list)
    for path in sorted(ring):
        owners[wanted[path].digest].append(path)
    mutual = {(wanted[path].digest, there[path].digest): path for path in sorted(ring)}
    return {path: mutual.get((there[path].digest, wanted[path].digest), owners[there[path].digest][0]) for path in ring}
