"""Who asks, and the reviews that tell a client what it may do.

Every user of the configuration may do everything: the lab has no roles to enforce, so reviews of known users answer
``allowed`` and everyone else is refused at the door.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .config import User
from .managed import UPDATE, Manager, track_update
from .requests import Result, WriteOptions
from .resources import Resource
from .schema import SCHEMA

Json = dict[str, Any]


def self_subject_access_review(user: User, body: Json) -> Json:
    return {"allowed": True}


def subject_access_review(user: User, body: Json) -> Json:
    """Whether another user may: only masters may, as there are no other grants."""
    spec = body.get("spec") or {}
    allowed = "system:masters" in (spec.get("groups") or []) or spec.get("user") == user.name
    return {"allowed": allowed} if allowed else {"allowed": False, "reason": "no grant names this user"}


def self_subject_rules_review(user: User, body: Json) -> Json:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
    return {
        "resourceRules": [everything],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "incomplete": False,
    }


_REVIEWS: dict[str, Callable[[User, Json], Json]] = {
    "selfsubjectaccessreviews": self_subject_access_review,
    "subjectaccessreviews": subject_access_review,
    "localsubjectaccessreviews": subject_access_review,
    "selfsubjectrulesreviews": self_subject_rules_review,
}


def is_review(resource: Resource) -> bool:
    return resource.group == "authorization.k8s.io" and resource.plural in _REVIEWS


def review(resource: Resource, user: User, body: Json, options: WriteOptions) -> Result:
    """Answer a review; nothing is stored."""
    identity = {"kind": resource.kind, "apiVersion": resource.api_version}
    answer = {**identity, **body, "metadata": dict(body.get("metadata") or {})}
    manager = Manager(options.manager, UPDATE, resource.api_version)
    track_update({"metadata": {}}, answer, manager, SCHEMA.of_kind(resource.api_version, resource.kind))
    answer["status"] = _REVIEWS[resource.plural](user, body)
    return Result(answer, 201)
