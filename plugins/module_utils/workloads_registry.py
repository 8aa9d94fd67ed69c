# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks container registries whether they have an image (OCI distribution specification, pull side).

PRIVATE to the collection.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import subprocess
import typing as t
from dataclasses import dataclass
from urllib.parse import urlencode

from .errors import RecoveryError, failed
from .kubernetes_api import cause_of

try:
    import urllib3
except ImportError:  # it comes with the kubernetes client, which names itself when it is missing
    urllib3 = None  # type: ignore[assignment]

_DOCKER_HUB = "registry-1.docker.io"
#: Under which names Docker Hub's credentials are kept.
_DOCKER_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")
_ACCEPT = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
)
_HELPER_SECONDS = 10.0


class ImageMissing(RecoveryError):
    """The registry says that it has no such image, or there can be none of that name; `cause` says which."""

    def __init__(self, verb: str, text: str, cause: str) -> None:
        super().__init__(failed(verb, f"image {text}", cause))
        self.cause = cause


class ImageUnknown(RecoveryError):
    """The registry cannot be asked, or does not tell."""


@dataclass(frozen=True)
class Image:
    """A reference, taken apart: registry host, repository, and tag or digest."""

    host: str
    repository: str
    reference: str

    @classmethod
    def parse(cls, text: str) -> Image:
        """Read an image reference as container runtimes do. Raises ImageMissing when it is none."""
        name, _at, digest = text.partition("@")
        head, slash, rest = name.partition("/")
        if slash and ("." in head or ":" in head or head == "localhost"):
            host, path = head, rest
        else:
            host, path = _DOCKER_HUB, name if slash else f"library/{name}"
        path, colon, tag = path.partition(":")
        if not re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*", path) or (colon and not tag):
            raise ImageMissing("read", repr(text), "it is no image reference")
        return cls(_DOCKER_HUB if host == "docker.io" else host, path, digest or tag or "latest")


class Registry:
    """Asks registries; credentials come from a Docker configuration file."""

    def __init__(self, options: t.Mapping[str, t.Any]) -> None:
        """`options`: docker_config (path), insecure (hosts to speak plain HTTP to), timeout (seconds)."""
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=options["timeout"]))
        self._insecure = set(options.get("insecure") or [])
        self._config = _docker_config(options.get("docker_config"))

    def digest(self, text: str) -> str:
        """Return the digest of an image. Raises ImageMissing or ImageUnknown."""
        image = Image.parse(text)
        scheme = "http" if image.host in self._insecure or _is_loopback(image.host) else "https"
        url = f"{scheme}://{image.host}/v2/{image.repository}/manifests/{image.reference}"
        answer = self._head(url, {}, text)
        if answer.status == 401:
            answer = self._head(url, self._authorise(answer.headers.get("WWW-Authenticate", ""), image, text), text)
        if answer.status == 404:
            raise ImageMissing("find", text, f"registry {image.host} has no such image")
        if answer.status != 200:
            raise ImageUnknown(failed("ask", f"registry {image.host} for {text}", f"it answers {answer.status}"))
        return str(answer.headers.get("Docker-Content-Digest") or image.reference)

    def _head(self, url: str, headers: dict[str, str], text: str) -> t.Any:
        return self._call("HEAD", url, {"Accept": _ACCEPT, **headers}, text)

    def _call(self, method: str, url: str, headers: dict[str, str], text: str) -> t.Any:
        try:
            return self._pool.request(method, url, headers=headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ImageUnknown(failed("ask", f"the registry for {text}", cause_of(error))) from error

    def _authorise(self, challenge: str, image: Image, text: str) -> dict[str, str]:
        """Answer a registry's challenge: Basic with the credentials, Bearer with a token got for them."""
        basic = self._credentials(image.host)
        scheme, _space, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            return basic
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        if scheme.lower() != "bearer" or not asked.get("realm"):
            return {}
        scope = asked.get("scope") or f"repository:{image.repository}:pull"
        query = {"scope": scope, **({"service": asked["service"]} if asked.get("service") else {})}
        answer = self._call("GET", f"{asked['realm']}?{urlencode(query)}", basic, text)
        if answer.status != 200:
            what = f"registry {image.host} for {text}"
            remedy = "Name a docker_config with credentials for it."
            raise ImageUnknown(failed("log in to", what, f"its token service answers {answer.status}", remedy))
        told = json.loads(answer.data)
        return {"Authorization": f"Bearer {told.get('token') or told.get('access_token')}"}

    def _credentials(self, host: str) -> dict[str, str]:
        keys = _DOCKER_HUB_KEYS if host == _DOCKER_HUB else (host, f"https://{host}", f"https://{host}/v2/")
        helper = (self._config.get("credHelpers") or {}).get(host) or self._config.get("credsStore")
        for key in keys:
            entry = (self._config.get("auths") or {}).get(key) or {}
            if entry.get("auth"):
                return {"Authorization": f"Basic {entry['auth']}"}
            if entry.get("username"):
                return _basic(entry["username"], entry.get("password", ""))
        return _from_helper(helper, keys[0]) if helper else {}


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def _from_helper(helper: str, key: str) -> dict[str, str]:
    """Ask a Docker credential helper, as Docker does."""
    try:
        done = subprocess.run(
            [f"docker-credential-{helper}", "get"],
            input=key.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=True,
        )
        told = json.loads(done.stdout)
        return _basic(told["Username"], told["Secret"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        what = f"docker-credential-{helper} for {key}"
        raise ImageUnknown(failed("run", what, type(error).__name__, "Install it, or log in again.")) from error


def _docker_config(path: str | None) -> dict[str, t.Any]:
    if not path:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError) as error:
        raise RecoveryError(failed("read", f"docker_config {path}", error, "Name a Docker config.json.")) from error


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
