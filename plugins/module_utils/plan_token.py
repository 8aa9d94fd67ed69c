# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an approval binds to: a short text made of the incident and one digest for each section of the plan.

A digest is the first 12 hexadecimal digits of the SHA-256 over the section's canonical JSON, as ledger_event defines
it. The sections stand in alphabetical order behind `steps`, so that whoever compares an old token with a new one sees
which of them changed.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import re
import typing as t
from dataclasses import dataclass

from .errors import Refused
from .ledger_event import canonical, plain

#: the section that holds what is going to be done; the others hold what was observed
STEPS = "steps"
#: what differs when the two plans do not have the same sections
SHAPE = "sections"
_DIGITS = 12
_TOKEN = re.compile(
    rf"(?P<incident>[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}):(?P<digests>[0-9a-f]{{{_DIGITS}}}(?:\.[0-9a-f]{{{_DIGITS}}})*)"
)


@dataclass(frozen=True)
class Token:
    """An incident and the digests of its plan's sections, in their order."""

    incident: str
    digests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.incident}:{'.'.join(self.digests)}"

    @classmethod
    def parse(cls, text: str) -> Token:
        """Read what somebody typed. Raises Refused for anything that no plan prints."""
        found = _TOKEN.fullmatch(text.strip().rstrip("."))
        if found is None:
            raise Refused(
                f"Failed to read the approval {text.strip()!r}: it is not the hash of a plan. Copy the whole of what "
                "--check --diff shows, the incident, a colon and the digests, into dr_approval."
            )
        return cls(found["incident"], tuple(found["digests"].split(".")))


@dataclass(frozen=True)
class Plan:
    """What is going to be done, and what was observed that it rests on."""

    incident: str
    kind: str
    regions: t.Mapping[str, t.Any]
    steps: t.Sequence[t.Mapping[str, t.Any]]
    observed: t.Mapping[str, t.Any]

    def sections(self) -> dict[str, t.Any]:
        """Return every section's content by its name, in the order of the token."""
        steps = {"kind": self.kind, "regions": dict(self.regions), STEPS: list(self.steps)}
        return {STEPS: steps, **{name: self.observed[name] for name in sorted(self.observed)}}

    def digests(self) -> dict[str, str]:
        """Return every section's digest by its name, in the order of the token."""
        return {name: digest(content) for name, content in self.sections().items()}

    def token(self) -> Token:
        """Return what an approval of this plan has to be."""
        return Token(self.incident, tuple(self.digests().values()))

    def drifted(self, approved: Token) -> list[str]:
        """Return the names of the sections that are not what was approved."""
        now = self.digests()
        if len(now) != len(approved.digests):
            return [SHAPE]
        return [name for (name, one), other in zip(now.items(), approved.digests, strict=True) if one != other]


def digest(content: t.Any) -> str:
    """Return the digest of one section in the form that the ledger keeps, so that an auditor can compute it."""
    return hashlib.sha256(canonical(plain({"": content})[""])).hexdigest()[:_DIGITS]
