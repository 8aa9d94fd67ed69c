"""Who asks, and the reviews that tell a client what it may do.

Every user of the configuration may do everything: the lab has no roles to enforce, so reviews of known users answer
``allowed`` and everyone else is refused at the door.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .config import User
from .requests import Result

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


def is_review(plural: str) -> bool:
    return plural in _REVIEWS


def review(plural: str, user: User, body: Json) -> Result:
    """Answer a review; nothing is stored."""
    return Result({**body, "metadata": body.get("metadata") or {}, "status": _REVIEWS[plural](user, body)}, 201)
