"""The lab's Application Recovery Controller put together: control plane, data plane, one state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moto.core.request import Request
from werkzeug.wrappers import Response

from lab.aws.arc_config import RecoveryConfig
from lab.aws.arc_config_api import HOME_REGION, ArcConfigApi
from lab.aws.arc_endpoints import ArcEndpoints
from lab.aws.arc_seed import seed
from lab.aws.arc_state import ArcStore
from lab.aws.arc_wire import CONFIG_SERVICE, JsonWire
from lab.aws.errors import ApiError
from lab.aws.faults import Faults
from lab.aws.signature import Caller, Verifier


class RecoveryControl:
    """Control plane behind the common AWS address, data plane at addresses of its own."""

    def __init__(
        self,
        config: RecoveryConfig,
        path: Path,
        verifier: Verifier,
        faults: Faults,
        health_checks_of: Callable[[str], list[str]],
    ) -> None:
        self.store = ArcStore(path)
        self._api = ArcConfigApi(self.store, health_checks_of)
        self._wire = JsonWire(CONFIG_SERVICE, self._api)
        self._endpoints = ArcEndpoints(config, self.store, verifier, faults)
        seed(config, self.store, self._api)

    def start(self) -> None:
        """Begin to serve the data plane."""
        self._endpoints.start()

    def stop(self) -> None:
        """Stop serving it."""
        self._endpoints.stop()

    def respond(self, request: Request, caller: Caller) -> Response:
        """Answer a request to the control plane, which is at home in one region. Raises ApiError."""
        if caller.region != HOME_REGION:
            raise ApiError("InvalidSignatureException", f"Credential should be scoped to region '{HOME_REGION}'.", 403)
        return self._wire.respond(request)
