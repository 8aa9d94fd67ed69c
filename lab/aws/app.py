"""The WSGI application: signatures and faults in front of Route 53 and moto, and the lab's own endpoints."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.request import Request
from werkzeug.wrappers import Response

from lab.aws.arc import RecoveryControl
from lab.aws.arc_wire import CONFIG_SERVICE, json_error, speaks_json
from lab.aws.errors import ApiError
from lab.aws.faults import Faults, Swallowed
from lab.aws.signature import SignedRequest, Verifier
from lab.aws.wire import Route53Wire, error_response

log = logging.getLogger(__name__)

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
UNSIGNED = ("/moto-api",)


class Application:
    """Routes each request: ``/_lab/...`` to the lab, Route 53 to our own, every other service to moto."""

    def __init__(
        self,
        verifier: Verifier,
        faults: Faults,
        route53: Route53Wire,
        moto: Wsgi,
        status: Callable[[], dict[str, Any]],
        recovery: RecoveryControl,
    ) -> None:
        self._verifier = verifier
        self._faults = faults
        self._route53 = route53
        self._moto = moto
        self._status = status
        self._recovery = recovery

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        body = request.get_data(cache=True)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        return self._dispatch(request, body)(environ, start_response)

    def _dispatch(self, request: Request, body: bytes) -> Wsgi:
        if request.path.startswith("/_lab/"):
            return self._lab(request, body)
        if request.path.startswith(UNSIGNED):
            return self._moto
        try:
            caller = self._verifier.verify(_signed_parts(request, body))
            self._faults.strike(caller.service)
            if caller.service == CONFIG_SERVICE:
                return self._recovery.respond(request, caller)
            return self._route53.respond(request) if caller.service == "route53" else self._moto
        except ApiError as error:
            return _error_for(request, error)
        except Swallowed:
            raise
        except Exception as error:
            log.exception("Failed to answer %s %s", request.method, request.path)
            return _error_for(request, ApiError("InternalFailure", f"{type(error).__name__}: {error}", 500))

    def _lab(self, request: Request, body: bytes) -> Response:
        if (request.path, request.method) == ("/_lab/status", "GET"):
            return _json(self._status())
        if request.path != "/_lab/faults" or request.method not in ("GET", "PUT"):
            return _json({"error": "only GET /_lab/status and GET or PUT /_lab/faults exist"}, 404)
        if request.method == "PUT":
            try:
                self._faults.replace(json.loads(body))
            except (ValueError, TypeError) as error:
                return _json({"error": f"Failed to set faults: {error}"}, 400)
            log.info("faults in force: %s", self._faults.to_dict())
        return _json(self._faults.to_dict())


def _signed_parts(request: Request, body: bytes) -> SignedRequest:
    return SignedRequest(
        method=request.method,
        host=request.host,
        raw_path=request.raw_path,
        query=request.query_string.decode(),
        headers=request.headers,
        body=body,
    )


def _json(data: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(data) + "\n", status=status, mimetype="application/json")


def _error_for(request: Request, error: ApiError) -> Response:
    """The error in the form that the caller's protocol expects."""
    if speaks_json(request):
        return json_error(error)
    if "X-Amz-Target" in request.headers:
        return _json({"__type": error.code, "message": error.message}, error.status)
    return error_response(error)
