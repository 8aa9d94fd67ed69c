"""Names of images, as pods write them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_REFERENCE = re.compile(
    r"(?P<registry>[a-zA-Z0-9.-]+(:\d+)?)/(?P<name>[a-z0-9]+([._/-]+[a-z0-9]+)*)"
    r"(:(?P<tag>[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}))?(@(?P<digest>sha256:[a-f0-9]{64}))?"
)


class InvalidImageName(Exception):
    """What a pod names is no image."""


@dataclass(frozen=True)
class Reference:
    """Where an image is, and which one it is: by tag, or by digest, which then counts alone."""

    registry: str
    name: str
    tag: str
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """A reference that names its registry; there is no default one."""
        match = _REFERENCE.fullmatch(text)
        if match is None or not re.search(r"[.:]|^localhost$", match["registry"]):
            raise InvalidImageName(f"{text!r} names no image: it must read registry/name[:tag][@sha256:digest]")
        return cls(match["registry"], match["name"], match["tag"] or "latest", match["digest"])

    def base_url(self, registry: str) -> str:
        """The image at a registry's API. Loopback speaks HTTP, as with other container runtimes; all others HTTPS."""
        host = registry.partition(":")[0]
        return f"{'http' if _is_loopback(host) else 'https'}://{registry}/v2/{self.name}"

    @property
    def manifest(self) -> str:
        """What to ask the registry for."""
        return self.digest or self.tag

    def pinned(self, digest: str) -> str:
        """The name that stands for these bytes and no others."""
        return f"{self.registry}/{self.name}@{digest}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
