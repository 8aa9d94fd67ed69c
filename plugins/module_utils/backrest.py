# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Physical backups and the WAL archive by pgBackRest: looked at, taken, checked, expired, restored beside.

PRIVATE to the collection.
"""

from __future__ import annotations

from . import needs
from .backrest_command import Tell
from .backrest_states import Call
from .connections import postgres_option, record_option
from .errors import RecoveryError
from .execution import Params, Result, Specification

_SCHEDULE = {"full": {"type": "float"}, "diff": {"type": "float"}, "incr": {"type": "float"}}
_RETENTION = {
    "full_days": {"type": "float", "required": True},
    "diff_days": {"type": "float"},
    "archive_days": {"type": "float"},
    "minimum_full": {"type": "int", "default": 2},
    "keep": {"type": "list", "elements": "str", "default": []},
}
_TARGET = {
    "time": {"type": "str"},
    "lsn": {"type": "str"},
    "name": {"type": "str"},
    "xid": {"type": "str"},
    "immediate": {"type": "bool", "default": False},
    "timeline": {"type": "str"},
    "action": {"type": "str", "choices": ["pause", "promote", "shutdown"], "default": "pause"},
    "exclusive": {"type": "bool", "default": False},
}

SPECIFICATION = Specification(
    argument_spec={
        "state": {
            "type": "str",
            "choices": ["present", "created", "checked", "archived", "taken", "verified", "expired", "restored"],
            "default": "present",
        },
        "config": {"type": "path", "default": "/etc/pgbackrest/pgbackrest.conf"},
        "stanza": {"type": "str", "default": "main"},
        "program": {"type": "str", "default": "pgbackrest"},
        "repositories": {"type": "list", "elements": "str", "default": []},
        "copies": {"type": "list", "elements": "str", "default": []},
        "postgres": postgres_option(required=False),
        "rpo_seconds": {"type": "float"},
        "required": {"type": "bool", "default": True},
        "type": {"type": "str", "choices": ["due", "full", "diff", "incr"], "default": "due"},
        "schedule": {"type": "dict", "options": _SCHEDULE},
        "retention": {"type": "dict", "options": _RETENTION},
        "directory": {"type": "path"},
        "repository": {"type": "str"},
        "label": {"type": "str"},
        "target": {"type": "dict", "options": _TARGET},
        "processes": {"type": "int"},
        "lock_timeout": {"type": "float", "default": 60.0},
        "query_timeout": {"type": "float", "default": 20.0},
        "timeout": {"type": "float", "default": 14400.0},
        "record": record_option(),
    },
    required_if=[
        ("state", "created", ("postgres",)),
        ("state", "checked", ("postgres",)),
        ("state", "archived", ("postgres",)),
        ("state", "taken", ("postgres",)),
        ("state", "expired", ("retention",)),
        ("state", "restored", ("directory",)),
    ],
    needs=needs.all_of(needs.postgres(), needs.recorded()),
)


def run(params: Params, check_mode: bool, tell: Tell | None = None) -> Result:
    """Serve the module pg_backrest. Whatever goes wrong, what is known goes with the error."""
    call = Call(params, check_mode, tell)
    try:
        getattr(call, params["state"])()
    except RecoveryError as error:
        error.facts = {**call.result(), **error.facts}
        raise
    return call.result()
