"""The JSON protocols of Application Recovery Controller, both from botocore's service models by moto's parsers."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from botocore import xform_name
from moto.core.parse import JSONParser, RestJSONParser
from moto.core.request import Request
from moto.core.routing import JSONRouter, RestRouter
from moto.core.serialize import JSONSerializer, RestJSONSerializer
from moto.core.utils import get_service_model
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from lab.aws.arc_state import ArcError, invalid
from lab.aws.errors import ApiError

CONFIG_SERVICE = "route53-recovery-control-config"
CLUSTER_SERVICE = "route53-recovery-cluster"

Admit = Callable[[str], None]


def speaks_json(request: Request) -> bool:
    """Whether whoever signed this request expects an error of these APIs."""
    return "/route53-recovery-" in request.headers.get("Authorization", "")


def json_error(error: ApiError) -> Response:
    """An error in JSON, its code where both protocols look for it."""
    members = error.members if isinstance(error, ArcError) else {}
    body = {"__type": error.code, "message": error.message, **members}
    headers = {"X-Amzn-Errortype": error.code, "x-amzn-RequestId": str(uuid.uuid4())}
    return Response(json.dumps(body) + "\n", status=error.status, mimetype="application/json", headers=headers)


class JsonWire:
    """Finds a request's operation among the provider's methods and answers in JSON."""

    def __init__(self, service: str, provider: object) -> None:
        model = get_service_model(service)
        rest = model.metadata["protocol"] == "rest-json"
        self._router = RestRouter(model) if rest else JSONRouter(model)
        self._parser = RestJSONParser if rest else JSONParser
        self._serializer = RestJSONSerializer if rest else JSONSerializer
        self._provider = provider

    def respond(self, request: Request) -> Response:
        """Answer one request. Raises ApiError."""
        try:
            operation, uri_params = self._router.match(request)
        except NotFound:
            raise invalid(f"No operation {request.method} {request.path}") from None
        handler = getattr(self._provider, xform_name(operation.name), None)
        if handler is None:
            raise ApiError("NotImplemented", f"The lab does not serve {operation.name}", 501)
        serialised = self._serializer(operation).serialize(
            handler(_params(self._parser, operation, request, uri_params))
        )
        return Response(serialised["body"], status=serialised["status_code"], headers=dict(serialised["headers"]))


def _params(parser: Any, operation: Any, request: Request, uri_params: dict[str, Any]) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = parser(operation).parse(
            {
                "method": request.method,
                "values": request.args,
                "headers": request.headers,
                "body": request.get_data(),
                "url_path": request.path,
                "url_params": uri_params,
            }
        )
    except Exception as error:
        raise invalid(f"The request is not well formed: {error}") from error
    missing = [name for name in operation.input_shape.required_members if parsed.get(name) is None]
    if missing:
        raise invalid(f"Missing parameters: {', '.join(missing)}")
    return parsed
