# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which region an endpoint is in: by what the inventory says of every region, then by the endpoint's own name.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from urllib.parse import urlsplit

from .needs import Need

_AWS_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d"
#: members of a connection that name its endpoint, the most telling first
_MEMBERS = ("endpoint_url", "url", "host", "address", "endpoint")


class Regions:
    """The regions of an inventory, `{name: dr_region}`, as an index of what is in which."""

    def __init__(self, regions: t.Mapping[str, t.Mapping[str, t.Any]]) -> None:
        self.names = sorted(regions)
        self._at: dict[str, set[str]] = {}
        for name, region in regions.items():
            self._take_in(region, name)
        known = "|".join(re.escape(name) for name in self.names)
        self._in_name = re.compile(rf"(?:^|[./@_-])({known + '|' if known else ''}{_AWS_REGION})(?:$|[./:_-])")

    def of(self, need: Need) -> str | None:
        """Return the region of a need's endpoint; None for one that is outside the regions, as far as can be told."""
        if need.region:
            return need.region
        for identity in identities(need.endpoint):
            found = self._at.get(identity, set())
            if len(found) == 1:
                return next(iter(found))
        if isinstance(need.endpoint, t.Mapping) and not any(need.endpoint.get(key) for key in _MEMBERS):
            if need.home:  # a global service: the region of the connection only signs
                return None
            # An API of AWS under its own name is in the region that the connection names.
            aws = need.endpoint.get("region") if not need.endpoint.get("context") else need.endpoint.get("context")
            return str(aws) if aws and re.fullmatch(self._pattern, str(aws)) else None
        return self._by_name(need.endpoint)

    @property
    def _pattern(self) -> str:
        return "|".join([*map(re.escape, self.names), _AWS_REGION])

    def _by_name(self, endpoint: t.Any) -> str | None:
        for identity in identities(endpoint):
            found = self._in_name.search(identity)
            if found:
                return found[1]
        return None

    def _take_in(self, value: t.Any, region: str) -> None:
        if isinstance(value, t.Mapping):
            for item in value.values():
                self._take_in(item, region)
            value = {key: item for key, item in value.items() if not isinstance(item, (t.Mapping, list))}
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._take_in(item, region)
            return
        for identity in identities(value):
            self._at.setdefault(identity, set()).add(region)


def identities(endpoint: t.Any) -> list[str]:
    """Return what tells an endpoint from others, the most exact first: host with port, then the host alone."""
    if isinstance(endpoint, t.Mapping):
        if endpoint.get("kubeconfig") or endpoint.get("context"):
            return [f"kubernetes {endpoint.get('kubeconfig') or ''} {endpoint.get('context') or ''}"]
        text = next((str(endpoint[key]) for key in _MEMBERS if endpoint.get(key)), "")
        port = endpoint.get("port")
        return _host(f"{text}:{port}" if port and text and ":" not in text else text)
    return _host(str(endpoint)) if isinstance(endpoint, str) else []


def shown(endpoint: t.Any) -> str:
    """Return an endpoint for a message: without credentials, file names and what else a connection holds."""
    if isinstance(endpoint, t.Mapping):
        if endpoint.get("bucket"):
            return f"bucket {endpoint['bucket']}"
        if endpoint.get("context"):
            return f"context {endpoint['context']}"
    found = identities(endpoint)
    return found[0] if found else ""


def _host(text: str) -> list[str]:
    """Return `host:port` and `host` of a URL, an address or an image's name; nothing for what is no host."""
    if text.startswith(("/", "~")):
        return []
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return []
    if "." not in host and ":" not in host and host != "localhost":
        return []
    return [f"{host}:{port}", host] if port else [host]
