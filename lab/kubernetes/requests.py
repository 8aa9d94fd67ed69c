"""What a request asks for beyond its object: who writes, dry run, strictness, how to delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import ApiError, bad_request

Json = dict[str, Any]
STRICT, WARN, IGNORE = "Strict", "Warn", "Ignore"
PROPAGATION = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True)
class WriteOptions:
    """``manager`` owns the fields written (``is_named``: the client named it); ``dry_run`` does all but store."""

    manager: str = "unknown"
    dry_run: bool = False
    validation: str = WARN
    force: bool = False
    is_named: bool = False


@dataclass(frozen=True)
class DeleteOptions:
    """``grace_seconds`` None means the object's own grace; the two preconditions must match where given."""

    grace_seconds: int | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False


@dataclass
class Result:
    """An answer: the object, the HTTP status, and warnings for the client."""

    object: Json
    code: int = 200
    warnings: list[str] = field(default_factory=list)


def is_dry_run(values: list[str]) -> bool:
    if any(value != "All" for value in values):
        raise ApiError(422, "Invalid", 'dryRun: Unsupported value: supported values: "All"', {})
    return bool(values)


def write_options(query: Mapping[str, str], user_agent: str) -> WriteOptions:
    """Read the options of a create, update or patch. ApiError 400 or 422 for values that the API does not know."""
    validation = query.get("fieldValidation") or WARN
    if validation not in (STRICT, WARN, IGNORE):
        raise ApiError(422, "Invalid", f'fieldValidation: Unsupported value: "{validation}"', {})
    return WriteOptions(
        manager=query.get("fieldManager") or user_agent.partition("/")[0] or "unknown",
        dry_run=is_dry_run([query["dryRun"]] if query.get("dryRun") else []),
        validation=validation,
        force=boolean(query, "force"),
        is_named=bool(query.get("fieldManager")),
    )


def boolean(query: Mapping[str, str], name: str) -> bool:
    """A query parameter that is on when present, unless it says otherwise."""
    return name in query and query[name].lower() not in ("false", "0")


def delete_options(query: Mapping[str, str], body: Json | None) -> DeleteOptions:
    """Read the options of a deletion from its body and, where that is silent, from the query."""
    body = body or {}
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    propagation = body.get("propagationPolicy", query.get("propagationPolicy"))
    orphan = body.get("orphanDependents")
    if propagation is None and orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    if propagation is not None and propagation not in PROPAGATION:
        raise bad_request(f'invalid propagationPolicy "{propagation}": use one of {", ".join(PROPAGATION)}')
    preconditions = body.get("preconditions") or {}
    dry_run = list(body.get("dryRun") or ([query["dryRun"]] if query.get("dryRun") else []))
    try:
        seconds = None if grace is None else max(0, int(grace))
    except ValueError as problem:
        raise bad_request(f"invalid gracePeriodSeconds {grace!r}: give whole seconds") from problem
    return DeleteOptions(
        grace_seconds=seconds,
        propagation=propagation,
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=is_dry_run(dry_run),
    )
