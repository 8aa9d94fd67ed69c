"""Route 53's wire format: which operation a request is, its parameters, and the answer's XML.

The formats come from botocore's service model through moto's parser and serialiser; no other file knows them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

from botocore import xform_name
from moto.core.parse import RestXMLParser
from moto.core.request import Request
from moto.core.routing import RestRouter
from moto.core.serialize import RestXMLSerializer
from moto.core.utils import get_service_model
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from lab.aws.errors import ApiError

NAMESPACE = "https://route53.amazonaws.com/doc/2013-04-01/"

Admit = Callable[[str], None]


def error_response(error: ApiError) -> Response:
    """An error in the form of the REST-XML and query APIs."""
    kind = "Sender" if error.status < 500 else "Receiver"
    body = (
        f'<?xml version="1.0"?>\n<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>{kind}</Type>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{uuid.uuid4()}</RequestId></ErrorResponse>"
    )
    return Response(body, status=error.status, mimetype="text/xml")


class Route53Wire:
    """Finds the operation of a request among the given providers' methods and answers in XML."""

    def __init__(self, providers: Sequence[object], admit: Admit) -> None:
        model = get_service_model("route53")
        self._router = RestRouter(model)
        self._providers = providers
        self._admit = admit

    def respond(self, request: Request) -> Response:
        """Answer one request; ``admit`` may refuse it by the operation's name."""
        try:
            operation, uri_params = self._router.match(request)
        except NotFound:
            self._admit("")
            raise ApiError("InvalidAction", f"No operation {request.method} {request.path}", 404) from None
        self._admit(operation.name)
        handler = self._handler(operation.name)
        result = handler(self._params(operation, request, uri_params))
        serialised = RestXMLSerializer(operation).serialize(result)
        return Response(serialised["body"], status=serialised["status_code"], headers=dict(serialised["headers"]))

    def _handler(self, operation: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        method = xform_name(operation)
        for provider in self._providers:
            found: Callable[[dict[str, Any]], dict[str, Any]] | None = getattr(provider, method, None)
            if found is not None:
                return found
        raise ApiError("NotImplemented", f"The lab's Route 53 does not serve {operation}", 501)

    @staticmethod
    def _params(operation: Any, request: Request, uri_params: dict[str, Any]) -> dict[str, Any]:
        if operation.input_shape is None:
            return {}
        try:
            parsed: dict[str, Any] = RestXMLParser(operation).parse(
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
            raise ApiError("MalformedInput", f"The request is not well formed: {error}") from error
        missing = [name for name in operation.input_shape.required_members if parsed.get(name) is None]
        if missing:
            raise ApiError("InvalidInput", f"Missing parameters: {', '.join(missing)}")
        return parsed
