# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was the last transaction before the damage? Found by asking probes of restored moments.

PRIVATE to the collection.
"""

from __future__ import annotations

import os

from . import needs
from .bisect_call import Call
from .bisect_probes import PROBE
from .connections import record_option
from .errors import RecoveryError
from .execution import Params, Result, Specification
from .logical_process import Tell, silent

SPECIFICATION = Specification(
    argument_spec={
        "config": {"type": "path", "default": "/etc/pgbackrest/pgbackrest.conf"},
        "stanza": {"type": "str", "default": "main"},
        "program": {"type": "str", "default": "pgbackrest"},
        "repositories": {"type": "list", "elements": "str", "default": []},
        "repository": {"type": "str"},
        "directory": {"type": "path", "required": True},
        "run": {"type": "str", "required": True},
        "probes": {"type": "list", "elements": "dict", "required": True, "options": PROBE},
        "missing": {"type": "str", "choices": ["bad", "good"], "default": "bad"},
        "not_before": {"type": "str"},
        "not_after": {"type": "str"},
        "timeline": {"type": "str", "default": "latest"},
        "superuser": {"type": "str", "default": "postgres"},
        "bin_directory": {"type": "path"},
        "processes": {"type": "int"},
        "max_probes": {"type": "int", "default": 500},
        "statement_timeout": {"type": "float", "default": 600.0},
        "lock_timeout": {"type": "float", "default": 5.0},
        "query_timeout": {"type": "float", "default": 20.0},
        "max_age_hours": {"type": "float", "default": 24.0},
        "timeout": {"type": "float", "default": 14400.0},
        "progress_file": {"type": "path"},
        "owner": {"type": "dict"},
        "record": record_option(),
    },
    needs=needs.recorded(),
)


def run(params: Params, check_mode: bool, tell: Tell | None = None) -> Result:
    """Serve the module pg_bisect. Whatever goes wrong, what is known goes with the error."""
    call = Call(params, check_mode, tell or silent, os.cpu_count() or 1)
    try:
        call.find()
    except RecoveryError as error:
        error.facts = {**call.result(), **error.facts}
        raise
    return call.result()
