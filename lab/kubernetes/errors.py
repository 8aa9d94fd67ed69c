"""The API's errors: each becomes a ``Status`` object with the code and reason that clients branch on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .resources import Resource

Json = dict[str, Any]


@dataclass
class ApiError(Exception):
    """A refused request.

    ``code`` is the HTTP status, ``reason`` the machine-readable word, ``details`` what is said about the object.
    """

    code: int
    reason: str
    message: str
    details: Json | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    def status(self) -> Json:
        """The ``Status`` object that the client receives."""
        body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


@dataclass(frozen=True)
class Cause:
    """One invalid field: its path, what is wrong with it, and the reason clients see."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def as_json(self) -> Json:
        return {"reason": self.reason, "message": self.message, "field": self.field}


def _details(resource: Resource, name: str, *, kind: str | None = None) -> Json:
    details: Json = {"name": name, "group": resource.group, "kind": kind or resource.plural}
    if not resource.group:
        del details["group"]
    return details


def qualified(resource: Resource) -> str:
    """``deployments.apps``, or ``pods`` for the core group: how messages name a resource."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def not_found(resource: Resource, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{qualified(resource)} "{name}" not found', _details(resource, name))


def already_exists(resource: Resource, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{qualified(resource)} "{name}" already exists', _details(resource, name))


def conflict(resource: Resource, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {qualified(resource)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(resource, name))


def modified(resource: Resource, name: str) -> ApiError:
    """The resourceVersion that the client read is no longer the newest."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def invalid(resource: Resource, name: str, causes: list[Cause]) -> ApiError:
    """422: the object breaks a rule. Each cause names one field."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    parts = [f"{cause.field}: {cause.message}" for cause in causes]
    text = parts[0] if len(parts) == 1 else "[" + ", ".join(parts) + "]"
    details = _details(resource, name, kind=resource.kind)
    details["causes"] = [cause.as_json() for cause in causes]
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def forbidden(resource: Resource, name: str, why: str, causes: list[Json] | None = None) -> ApiError:
    details = _details(resource, name)
    if causes:
        details["causes"] = causes
    return ApiError(403, "Forbidden", f'{qualified(resource)} "{name}" is forbidden: {why}', details)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def no_such_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def not_part_of_this(resource: Resource, subresource: str) -> ApiError:
    """A subresource that the real server has and this one does not (logs, exec and the like go through a kubelet)."""
    message = f"{resource.plural}/{subresource} is not part of this emulator"
    return ApiError(501, "NotImplemented", message, {})


def invalid_option(kind: str, option: str, message: str) -> ApiError:
    """422 for a query parameter that may not have its value."""
    cause = Cause(option, message, "FieldValueRequired" if message.startswith("Required") else "FieldValueForbidden")
    details = {"group": "meta.k8s.io", "kind": kind, "causes": [cause.as_json()]}
    return ApiError(422, "Invalid", f'{kind}.meta.k8s.io "" is invalid: {option}: {message}', details)


def patch_rejected() -> ApiError:
    """A JSON patch that does not apply; the real server gives no more detail than this."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def unsupported_media_type(given: str, accepted: tuple[str, ...]) -> ApiError:
    message = (
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
        f" (was {given or 'not given'})"
    )
    return ApiError(415, "UnsupportedMediaType", message)


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def too_many_requests(message: str, details: Json, retry_seconds: int) -> ApiError:
    details = {**details, "retryAfterSeconds": retry_seconds}
    return ApiError(429, "TooManyRequests", message, details, {"Retry-After": str(retry_seconds)})
