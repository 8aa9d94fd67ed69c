"""The five Regional endpoints of a cluster: each an HTTP server of its own that a fault can take away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

from moto.core.request import Request
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Response

from lab.aws.arc_cluster_api import ArcClusterApi
from lab.aws.arc_config import EndpointConfig, RecoveryConfig
from lab.aws.arc_state import ArcError, ArcStore, Endpoint
from lab.aws.arc_wire import CLUSTER_SERVICE, JsonWire, json_error
from lab.aws.errors import ApiError
from lab.aws.faults import Faults
from lab.aws.limits import TokenBucket
from lab.aws.signature import SignedRequest, Verifier

log = logging.getLogger(__name__)

PATH = "/v1"


def fault_of(region: str) -> str:
    """The name under which ``/_lab/faults`` knows one endpoint."""
    return f"{CLUSTER_SERVICE}:{region}"


def unavailable(message: str) -> ArcError:
    """EndpointTemporarilyUnavailableException."""
    return ArcError("EndpointTemporarilyUnavailableException", message, 400)


class ArcEndpoint:
    """One endpoint. It answers requests that are signed for its own region."""

    def __init__(self, config: EndpointConfig, cluster: ArcEndpoints) -> None:
        self.region = config.region
        self._cluster = cluster
        limit = TokenBucket(cluster.config.mutations)
        self._wire = JsonWire(CLUSTER_SERVICE, ArcClusterApi(cluster.store, lambda: _admit(limit)))
        self._server = make_server(config.host, config.port, self, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True, name=f"arc-{config.region}"
        )
        self.url = f"http://{config.host}:{self._server.server_port}{PATH}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return self._respond(Request(environ))(environ, start_response)

    def _respond(self, request: Request) -> Response:
        try:
            self._cluster.strike(self.region)
            self._verify(request)
            return self._wire.respond(request)
        except ApiError as error:
            return json_error(error)
        except ConnectionError:
            raise  # a fault that drops the connection: werkzeug closes it without an answer
        except Exception as error:
            log.exception("Failed to answer %s at %s", request.headers.get("X-Amz-Target"), self.region)
            return json_error(ArcError("InternalServerException", f"{type(error).__name__}: {error}", 500))

    def _verify(self, request: Request) -> None:
        parts = SignedRequest(
            method=request.method,
            host=request.host,
            raw_path=request.raw_path,
            query=request.query_string.decode(),
            headers=request.headers,
            body=request.get_data(cache=True),
        )
        caller = self._cluster.verifier.verify(parts)
        if (caller.service, caller.region) != (CLUSTER_SERVICE, self.region):
            scope = f"'{self.region}' and service '{CLUSTER_SERVICE}'"
            raise ApiError("InvalidSignatureException", f"Credential should be scoped to region {scope}.", 403)


class ArcEndpoints:
    """All endpoints of the cluster, over one state."""

    def __init__(self, config: RecoveryConfig, store: ArcStore, verifier: Verifier, faults: Faults) -> None:
        self.config = config
        self.store = store
        self.verifier = verifier
        self._faults = faults
        self._endpoints = [ArcEndpoint(one, self) for one in config.endpoints]
        store.endpoints = tuple(Endpoint(one.region, one.url) for one in self._endpoints)

    def start(self) -> None:
        """Begin to answer."""
        for endpoint in self._endpoints:
            endpoint.start()

    def stop(self) -> None:
        """Stop them all."""
        for endpoint in self._endpoints:
            endpoint.stop()

    def strike(self, region: str) -> None:
        """Do to a request what the faults say; without a majority of the endpoints the others do not answer either."""
        try:
            self._faults.strike(CLUSTER_SERVICE)
            self._faults.strike(fault_of(region))
        except ApiError as error:
            throttled = error.code == "Throttling"
            raise (
                ArcError("ThrottlingException", error.message) if throttled else unavailable(error.message)
            ) from error
        faults = {one.region: self._faults.of(fault_of(one.region)) for one in self._endpoints}
        down = [region for region, fault in faults.items() if fault.error == "503" or fault.blackhole]
        if 2 * len(down) > len(self._endpoints):
            raise unavailable(f"No quorum: {', '.join(down)} are away")


def _admit(limit: TokenBucket) -> None:
    if not limit.take():
        raise ArcError("ThrottlingException", "Rate exceeded")


class _Quiet(WSGIRequestHandler):
    """Logs no request: the process's log is for what happens, not for every poll."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""
