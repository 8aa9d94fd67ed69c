# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One Kubernetes API as JSON, over the official client's kubeconfig, TLS and credentials.

The client's typed API classes are left out on purpose: importing CoreV1Api and AppsV1Api with their models costs
0.4 s beside the 0.5 s of its configuration and transport, and nothing here needs a model.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import typing as t
from urllib.parse import urlencode

from .clock import Deadline
from .errors import RecoveryError, Unreachable, failed, require

try:
    import kubernetes as _kubernetes
    import urllib3
    from kubernetes import config as kube_config
    from kubernetes.client.configuration import Configuration
    from kubernetes.client.rest import RESTClientObject

    kubernetes: t.Any = _kubernetes
except ImportError:  # KubernetesApi() names the missing library
    kubernetes = None

Json = dict[str, t.Any]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # of which JSON is a part
#: Asks for names and labels only, so that the content of a Secret never leaves the API server.
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
FIELD_MANAGER = "terragon-disaster-recovery"

#: Answers that are worth another try: too many requests, and gateways before a server that starts.
_PASSING = {429, 502, 503, 504}
_CONNECTIONS = 32
#: <urllib3.connection.HTTPConnection object at 0x7f>:  or  HTTPConnection(host='127.0.0.1', port=9):
_OBJECT = re.compile(r"^(<[^>]*>|\w+\([^)]*\)): ")


class ApiError(RecoveryError):
    """The API answered with an error."""

    def __init__(self, message: str, status: int, reason: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        #: what the API says beside its message: `causes` with `reason`, `message` and `field` each
        self.details = details or {}


class NotFound(ApiError):
    """404: no such object."""


class Conflict(ApiError):
    """409: the object is not what the caller read."""


class Denied(ApiError):
    """401 or 403: the credentials are not known, or may not do this."""


class Gone(ApiError):
    """410: the API no longer knows the changes since a resource version."""


_ERRORS = {401: Denied, 403: Denied, 404: NotFound, 409: Conflict, 410: Gone}


class KubernetesApi:
    """One cluster. Holds no global state of the client; safe to call from several threads."""

    def __init__(self, options: t.Mapping[str, t.Any]) -> None:
        """`options` are those of the shared `kubernetes` option. Raises RecoveryError for an unusable kubeconfig."""
        require(kubernetes, "kubernetes")
        self._timeout = float(options.get("timeout") or 10.0)
        try:
            self._configuration = _configuration(options)
            self._pool = _pool(self._configuration)
        finally:
            # The client puts a kubeconfig's embedded certificates and keys into files and removes them when the
            # interpreter exits in an orderly way, which Ansible's forked workers never do.
            kube_config.kube_config._cleanup_temp_files()
        self._host = str(self._configuration.host).rstrip("/")
        context = options.get("context")
        self.name = self._host + (f" (context {context})" if context else "")

    def get(self, path: str, accept: str = "application/json", **query: str) -> Json:
        """Return an object or a list."""
        return self._request("GET", path, query, accept=accept)

    def patch(self, path: str, body: Json, kind: str, dry_run: bool) -> Json:
        """Patch an object and return it; with `dry_run` the API validates and answers, and keeps nothing."""
        query = {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}
        return self._request("PATCH", path, query, body=body, kind=kind)

    def apply(self, path: str, body: Json, force: bool, dry_run: bool) -> Json:
        """Apply an object server-side and return it. Fields that the API does not know are refused."""
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", "force": str(force).lower()}
        query |= {"dryRun": "All"} if dry_run else {}
        return self._request("PATCH", path, query, body=body, kind=APPLY_PATCH)

    def watch(self, path: str, resource_version: str, seconds: float) -> Watch:
        """Open a watch on a collection from a resource version. Raises Gone when that is too old."""
        query = {
            "watch": "1",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        timeout = urllib3.Timeout(connect=self._timeout, read=seconds + self._timeout)
        answer = self._send("GET", path, query, timeout=timeout)
        if answer.status != 200:
            raise self._error("watch", path, answer.status, answer.read())
        return Watch(answer, path)

    def _request(
        self,
        method: str,
        path: str,
        query: t.Mapping[str, str],
        *,
        accept: str = "application/json",
        body: Json | None = None,
        kind: str = "application/json",
    ) -> Json:
        deadline = Deadline(self._timeout)
        headers = {"Accept": accept, **({"Content-Type": kind} if body is not None else {})}
        pause = 0.1
        while True:
            timeout = urllib3.Timeout(total=max(deadline.remaining, 0.001))
            answer = self._send(method, path, query, timeout=timeout, headers=headers, body=body)
            data = self._read(answer, path)
            if answer.status < 300:
                return t.cast("Json", json.loads(data))
            error = self._error(_verb(method), path, answer.status, data)
            wait = _seconds(answer.headers.get("Retry-After"), pause)
            if answer.status not in _PASSING or wait >= deadline.remaining:
                raise error
            deadline.rest(wait)
            pause *= 2

    def _send(
        self,
        method: str,
        path: str,
        query: t.Mapping[str, str],
        *,
        timeout: t.Any,
        headers: t.Mapping[str, str] | None = None,
        body: Json | None = None,
    ) -> t.Any:
        sent = {"User-Agent": FIELD_MANAGER, "Accept": "application/json", **(headers or {})}
        for setting in self._configuration.auth_settings().values():
            if setting["in"] == "header" and setting["value"]:
                sent[setting["key"]] = setting["value"]
        url = self._host + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        try:
            return self._pool.request(
                method,
                url,
                body=data,
                headers=sent,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unreachable(path, error) from error

    def _read(self, answer: t.Any, path: str) -> bytes:
        try:
            return bytes(answer.read())
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unreachable(path, error) from error
        finally:
            answer.release_conn()

    def _unreachable(self, path: str, error: Exception) -> Unreachable:
        remedy = "Check that the cluster runs and that the kubeconfig names it."
        return Unreachable(failed("reach", f"the Kubernetes API {self.name} for {path}", cause_of(error), remedy))

    def _error(self, verb: str, path: str, status: int, data: bytes) -> ApiError:
        message, reason, details = data[:200].decode("utf-8", "replace"), "", None
        with contextlib.suppress(ValueError, AttributeError):
            told = json.loads(data)
            message, reason = str(told.get("message") or message), str(told.get("reason") or "")
            details = told.get("details")
        remedy = {
            401: "Renew the credentials that the kubeconfig names.",
            403: "Grant that to the kubeconfig's user.",
        }.get(status, "")
        what = f"{path} of the Kubernetes API {self.name}"
        cause = f"{status} {reason}: {message}" if reason else f"{status}: {message}"
        return _ERRORS.get(status, ApiError)(failed(verb, what, cause, remedy), status, reason, details)


class Watch:
    """The events of one open watch; it ends when the server ends it, or somebody closes it."""

    def __init__(self, answer: t.Any, path: str) -> None:
        self._answer = answer
        self._path = path

    def __iter__(self) -> t.Iterator[tuple[str, Json]]:
        """Yield (type, object), bookmarks too. Raises Gone, ApiError or Unreachable."""
        rest = b""
        try:
            for chunk in self._answer.stream(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    yield self._event(json.loads(line))
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise Unreachable(failed("watch", self._path, cause_of(error))) from error

    def _event(self, event: Json) -> tuple[str, Json]:
        if event["type"] == "ERROR":
            status = event["object"]
            code = int(status.get("code") or 500)
            message = failed("watch", self._path, status.get("message") or status)
            raise _ERRORS.get(code, ApiError)(message, code, str(status.get("reason") or ""))
        return event["type"], event["object"]

    def close(self) -> None:
        """End the watch, also under a thread that waits for its next event."""
        with contextlib.suppress(OSError, AttributeError):
            self._answer.connection.sock.shutdown(socket.SHUT_RDWR)


def _configuration(options: t.Mapping[str, t.Any]) -> t.Any:
    configuration = Configuration()
    configuration.connection_pool_maxsize = _CONNECTIONS
    path, context = options.get("kubeconfig"), options.get("context")
    if path and not os.path.isfile(path):
        raise RecoveryError(failed("read", f"kubeconfig {path}", "no such file", "Create it or name another."))
    default = os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
    inside = not path and not context and not any(map(os.path.exists, default.split(os.pathsep)))
    try:
        if inside:
            kube_config.load_incluster_config(client_configuration=configuration)
        else:
            kube_config.load_kube_config(
                config_file=path, context=context, client_configuration=configuration, persist_config=False
            )
    except Exception as error:  # the client raises ConfigException, yaml's, base64's and its own TypeErrors
        what = f"kubeconfig {path or default}" + (f", context {context}" if context else "")
        remedy = "Name a kubeconfig and one of its contexts."
        raise RecoveryError(failed("read", what, cause_of(error), remedy)) from error
    return configuration


def _pool(configuration: t.Any) -> t.Any:
    """Return the client's own connection pool, with its certificates and key in memory instead of in files."""
    pool = RESTClientObject(configuration).pool_manager
    settings = pool.connection_pool_kw
    authorities, certificate, key = (settings.pop(name, None) for name in ("ca_certs", "cert_file", "key_file"))
    if authorities or certificate:
        context = urllib3.util.ssl_.create_urllib3_context(cert_reqs=settings.get("cert_reqs"))
        try:
            if authorities:
                context.load_verify_locations(authorities)
            if certificate:
                context.load_cert_chain(certificate, key)
        except (OSError, ValueError) as error:
            what = f"the certificates for {configuration.host}"
            raise RecoveryError(failed("read", what, cause_of(error), "Correct the kubeconfig.")) from error
        settings["ssl_context"] = context
    return pool


def _verb(method: str) -> str:
    return {"GET": "read", "PATCH": "change"}[method]


def _seconds(text: str | None, otherwise: float) -> float:
    return float(text) if text and text.isdigit() else otherwise


def cause_of(error: BaseException) -> str:
    """Say what went wrong, without the objects that urllib3 puts before it."""
    reason = getattr(error, "reason", None) or error
    return _OBJECT.sub("", " ".join(str(reason).split())) or type(error).__name__
