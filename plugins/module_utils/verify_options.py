# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a cluster is expected to be, as pg_verify's option `expectations`.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

_QUERY: dict[str, t.Any] = {
    "database": {"type": "str"},
    "query": {"type": "str", "required": True},
    "expect": {"type": "str", "required": True},
}

EXPECTATIONS: dict[str, t.Any] = {
    "facts": {"type": "dict"},
    "physical": {"type": "bool", "default": False},
    "system_identifier": {"type": "str"},
    "identity": {"type": "list", "elements": "dict", "options": _QUERY},
    "ignore": {"type": "list", "elements": "str", "default": []},
    "page_checksums": {"type": "str", "choices": ["required", "optional"], "default": "required"},
    "in_recovery": {"type": "bool", "default": False},
    "invariants": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, **_QUERY},
    },
    "row_counts": {
        "type": "list",
        "elements": "dict",
        "options": {
            "database": {"type": "str", "required": True},
            "table": {"type": "str", "required": True},
            "minimum": {"type": "int"},
            "maximum": {"type": "int"},
            "relative": {"type": "float"},
        },
        "required_one_of": [["minimum", "maximum", "relative"]],
    },
    "as_of": {"type": "str"},
    "canaries": {
        "type": "list",
        "elements": "dict",
        "options": {
            "database": {"type": "str"},
            "table": {"type": "str", "required": True},
            "column": {"type": "str", "required": True},
            "max_age_seconds": {"type": "float", "required": True},
            "as_of": {"type": "str"},
        },
    },
    "pitr": {
        "type": "list",
        "elements": "dict",
        "options": {
            "database": {"type": "str"},
            "table": {"type": "str", "required": True},
            "key": {"type": "str", "default": "id", "no_log": False},  # a column
            "present": {"type": "list", "elements": "str", "default": []},
            "absent": {"type": "list", "elements": "str", "default": []},
            "column": {"type": "str"},
            "target": {"type": "str"},
            "before": {"type": "str"},
            "after": {"type": "str"},
        },
    },
}
