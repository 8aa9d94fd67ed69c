"""What pgBackRest said reaches the list of recovery points, also what it could not say."""

from __future__ import annotations

from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.filter.catalogue import FilterModule
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso, utc_now

repositories = FilterModule().filters()["backup_repositories"]
COMPONENTS = [
    {"service": "main", "component": "database", "kind": "pgbackrest", "stanza": "main"},
    {"service": "api", "component": "configuration", "kind": "git"},
]
INFO = {"name": "main", "backup": [], "archive": []}
RESULT: dict[str, Any] = {
    "seconds": 1.5,
    "repositories": [
        {"name": "east", "number": 1, "status_code": 0, "info": [INFO], "reasons": []},
        {"name": "west", "number": 2, "status_code": None, "info": None, "reasons": ["connection refused"]},
    ],
    "archive": {"repositories": [{"name": "east", "seconds_behind": 60.0}, {"name": "west", "seconds_behind": None}]},
}


def look(result: Any, *names: str) -> dict[str, Any]:
    return {"stanza": "main", "names": list(names), "result": result}


def test_a_repository_comes_with_what_it_said_and_how_far_its_archive_reaches() -> None:
    east, west = repositories(COMPONENTS, [look(RESULT, "east", "west")])
    assert {key: east[key] for key in east if key != "archived_until"} == {
        "service": "main", "component": "database", "repository": "east", "repository_key": 1, "documents": [INFO],
    }  # fmt: skip
    assert 61.5 <= (utc_now() - from_iso(east["archived_until"])).total_seconds() < 120
    assert west == {"service": "main", "component": "database", "repository": "west", "error": "connection refused"}


def test_one_that_is_missing_or_was_never_asked_says_why() -> None:
    told = repositories(COMPONENTS, [look({"failed": True, "msg": "no such program"}, "east", "west")])
    assert [(one["repository"], one["error"]) for one in told] == [
        ("east", "no such program"),
        ("west", "no such program"),
    ]
    assert "stanza main" in repositories(COMPONENTS, [])[0]["error"]
    assert repositories(COMPONENTS[1:], []) == []
