"""The HTTP door: authentication, bodies, and which operation a request is."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import yaml  # type: ignore[import-untyped]
from aiohttp import web

from . import access, discovery, errors
from .cluster import Cluster
from .config import Config, User
from .errors import ApiError
from .http_watch import WatchStream
from .patching import json_patch, merge_patch, strategic_merge
from .reading import Selection, get, list_objects, selection
from .requests import Result, WriteOptions, boolean, delete_options, write_options
from .routing import Target, find_target
from .schema import SCHEMA, Node
from .subresources import bind, evict, scale_of, write_scale

Json = dict[str, Any]
log = logging.getLogger(__name__)
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC_PATCH, APPLY_PATCH = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
MAX_BODY_BYTES = 3 * 1024 * 1024
# Subresources that are this object seen through a narrower door.
_VIEWS = frozenset({"", "status", "scale"})


class ApiServer:
    """Handles every request against one cluster."""

    def __init__(self, cluster: Cluster, config: Config) -> None:
        self._cluster = cluster
        self._config = config
        self._address = f"{config.host}:{config.port}"

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            response = await self._answer(request)
        except ApiError as problem:
            response = _json(problem.status(), problem.code, headers=problem.headers)
        except web.HTTPRequestEntityTooLarge:
            too_large = ApiError(413, "RequestEntityTooLarge", f"limit is {MAX_BODY_BYTES} bytes")
            response = _json(too_large.status(), 413)
        except (ConnectionError, web.HTTPException):
            raise
        except Exception as problem:
            log.exception("Failed to answer %s %s", request.method, request.path_qs)
            response = _json(ApiError(500, "InternalError", f"Internal error occurred: {problem}").status(), 500)
        if self._config.log_requests:
            log.info("%s %s %s", request.method, request.path_qs, response.status)
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path in discovery.HEALTH_PATHS:
            return web.Response(text="ok")
        user = self._authenticate(request)
        if request.method == "GET":
            found = discovery.document(path.rstrip("/") or "/", self._address)
            if found is not None:
                return _json(found, 200)
        target = find_target(path)
        if target is None:
            raise errors.no_such_path()
        if request.method == "GET":
            return await self._read(request, target)
        body = await _body(request)
        result = self._write(request, target, body, user)
        return _json(result.object, result.code, result.warnings)

    def _authenticate(self, request: web.Request) -> User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        user = self._config.tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise errors.unauthorized()
        return user

    async def _read(self, request: web.Request, target: Target) -> web.StreamResponse:
        store, query, resource = self._cluster.store, request.query, target.resource
        if target.name and not boolean(query, "watch"):
            if target.subresource not in _VIEWS:
                raise errors.not_part_of_this(target.resource, target.subresource)
            obj = get(store, resource, target.namespace or "", target.name)
            return _json(scale_of(obj) if target.subresource == "scale" else obj, 200)
        if "list" not in resource.verbs:
            raise errors.method_not_allowed()
        chosen = self._selection(request, target)
        if boolean(query, "watch"):
            if "watch" not in resource.verbs:
                raise errors.method_not_allowed()
            return await WatchStream(store, self._cluster.hub, resource, chosen, query).run(request)
        limit = query.get("limit") or "0"
        if not limit.isdigit():
            raise errors.bad_request(f"invalid limit {limit!r}: give a number")
        return _json(list_objects(store, resource, chosen, int(limit), query.get("continue", "")), 200)

    @staticmethod
    def _selection(request: web.Request, target: Target) -> Selection:
        fields = request.query.get("fieldSelector", "")
        if target.name:
            fields = ",".join(filter(None, [fields, f"metadata.name={target.name}"]))
        return selection(target.resource, target.namespace, request.query.get("labelSelector", ""), fields)

    def _write(self, request: web.Request, target: Target, body: Any, user: User) -> Result:
        method = request.method
        options = write_options(request.query, request.headers.get("User-Agent", ""))
        if method == "POST":
            return self._post(target, body, user, options)
        if method == "PUT" and target.name:
            return self._put(target, body, options)
        if method == "PATCH" and target.name:
            return self._patch(request.content_type, target, body, options)
        if method == "DELETE" and not target.subresource:
            return self._delete(request, target, body)
        raise errors.method_not_allowed()

    def _post(self, target: Target, body: Any, user: User, options: WriteOptions) -> Result:
        resource, namespace = target.resource, target.namespace or ""
        if not isinstance(body, dict):
            raise errors.bad_request("the body of the request is not an object")
        if access.is_review(resource):
            return access.review(resource, user, body, options)
        if target.subresource == "eviction":
            return evict(self._cluster.store, self._cluster.deleter, namespace, target.name, body)
        if target.subresource == "binding":
            return bind(self._cluster.store, namespace, target.name, body)
        if target.name or "list" not in resource.verbs or (resource.namespaced and target.namespace is None):
            raise errors.method_not_allowed()
        return self._cluster.writer.create(resource, namespace, body, options)

    def _put(self, target: Target, body: Any, options: WriteOptions) -> Result:
        writer, namespace = self._cluster.writer, target.namespace or ""
        if target.subresource == "scale":
            return write_scale(writer, target.resource, namespace, target.name, lambda _: dict(body), options)
        self._refuse_other_doors(target)
        return writer.replace(target.resource, namespace, target.name, body, options, target.subresource)

    def _patch(self, content_type: str, target: Target, body: Any, options: WriteOptions) -> Result:
        writer, resource, namespace, name = self._cluster.writer, target.resource, target.namespace or "", target.name
        if content_type not in PATCHES:
            raise errors.unsupported_media_type(content_type, PATCHES)
        if options.force and content_type != APPLY_PATCH:
            raise errors.invalid_option("PatchOptions", "force", "Forbidden: may not be specified for non-apply patch")
        if content_type == APPLY_PATCH and not options.is_named:
            raise errors.invalid_option("PatchOptions", "fieldManager", "Required value: is required for apply patch")
        is_scale = target.subresource == "scale"
        kind = ("autoscaling/v1", "Scale") if is_scale else (resource.api_version, resource.kind)
        if content_type == APPLY_PATCH and not is_scale:
            self._refuse_other_doors(target)
            return writer.apply(resource, namespace, name, _object(body), options, target.subresource)
        change = _patcher(content_type, body, SCHEMA.of_kind(*kind))
        if is_scale:
            return write_scale(writer, resource, namespace, name, change, options)
        self._refuse_other_doors(target)
        return writer.modify(resource, namespace, name, change, options, target.subresource)

    @staticmethod
    def _refuse_other_doors(target: Target) -> None:
        if target.subresource not in ("", "status", "finalize"):
            raise errors.not_part_of_this(target.resource, target.subresource)

    def _delete(self, request: web.Request, target: Target, body: Any) -> Result:
        options = delete_options(request.query, body if isinstance(body, dict) else None)
        deleter, resource = self._cluster.deleter, target.resource
        if target.name:
            return deleter.delete(resource, target.namespace or "", target.name, options)
        if "deletecollection" not in resource.verbs or (resource.namespaced and target.namespace is None):
            raise errors.method_not_allowed()
        return deleter.delete_collection(resource, self._selection(request, target), options)


def _patcher(content_type: str, body: Any, node: Node) -> Callable[[Json], Json]:
    if content_type == JSON_PATCH:
        return lambda obj: json_patch(obj, body)
    patch = _object(body)
    if content_type == STRATEGIC_PATCH:
        return lambda obj: dict(strategic_merge(obj, patch, node))
    return lambda obj: dict(merge_patch(obj, patch))


def _object(body: Any) -> Json:
    if not isinstance(body, dict):
        raise errors.bad_request("error decoding patch: the patch is not an object")
    return body


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    if not raw:
        return None
    try:
        if "yaml" in request.content_type:
            return _yaml(raw)
        return json.loads(raw)
    except (ValueError, yaml.YAMLError) as problem:
        raise errors.bad_request(f"the object provided is unrecognized: {problem}") from problem


def _yaml(raw: bytes) -> Any:
    """YAML with JSON's types: dates stay text. JSON, which most clients send as apply patches, is read as such."""
    try:
        return json.loads(raw)
    except ValueError:
        return yaml.load(raw, Loader=_JsonTypesLoader)


class _JsonTypesLoader(yaml.SafeLoader):
    pass


_JsonTypesLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _json(
    body: Json, code: int, warnings: list[str] | None = None, headers: dict[str, str] | None = None
) -> web.Response:
    response = web.Response(
        body=json.dumps(body, separators=(",", ":")).encode() + b"\n",
        status=code,
        content_type="application/json",
        headers={"Cache-Control": "no-cache, private", **(headers or {})},
    )
    for warning in warnings or []:
        response.headers.add("Warning", f"299 - {json.dumps(warning)}")
    return response
