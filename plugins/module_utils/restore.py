# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restores a dump into a serving PostgreSQL, beside the live database: looks at everything first, then acts.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
from pathlib import Path

from . import needs
from .connections import postgres_option, record_option
from .errors import RecoveryError
from .execution import Params, Result, Specification
from .logical_process import Tell, silent
from .restore_act import Act
from .restore_look import Look

SPECIFICATION = Specification(
    argument_spec={
        "postgres": postgres_option(),
        "src": {"type": "path", "required": True},
        "database": {"type": "str", "required": True},
        "into_existing": {"type": "str"},
        "tables": {"type": "list", "elements": "str"},
        "jobs": {"type": "int"},
        "globals": {"type": "path"},
        "no_tablespaces": {"type": "bool", "default": False},
        "analyze": {"type": "bool", "default": True},
        "needed_bytes": {"type": "int"},
        "keep_failed": {"type": "bool", "default": False},
        "bin_directory": {"type": "path"},
        "timeout": {"type": "float", "default": 21600.0},
        "progress_file": {"type": "path"},
        "record": record_option(),
    },
    needs=needs.all_of(needs.postgres("postgres"), needs.recorded()),
)

_EVIDENCE = (
    "outcome", "database", "format", "source", "dumped", "server_version", "dump_server_version", "dump_version",
    "tool_version", "created", "left_behind", "bytes", "roles", "sequences", "refreshed", "foreign_keys",
)  # fmt: skip


def run(params: Params, check_mode: bool, tell: Tell | None = None) -> Result:
    """Restore; in check mode say what would be created, and refuse what would be refused."""
    return _Service(params, check_mode, tell or silent).run()


class _Service:
    def __init__(self, params: Params, check_mode: bool, tell: Tell) -> None:
        self.params, self.check_mode, self.tell = params, check_mode, tell
        self.begun = time.monotonic()
        self.result: Result = {
            "changed": False, "outcome": "unverified", "problems": [], "database": params["database"],
            "connection": {**params["postgres"], "database": params["database"]}, "src": str(Path(params["src"])),
            "source": None, "format": None, "dumped": None, "server_version": None, "dump_server_version": None,
            "dump_version": None, "tool_version": None, "jobs": None, "created": False, "left_behind": False,
            "bytes": None, "tables": [], "definitions_only": [], "left_out": [], "roles": [], "subscriptions": [],
            "sequences": [], "refreshed": [], "validated": [], "foreign_keys": None, "space": None, "waits": [],
        }  # fmt: skip

    def run(self) -> Result:
        """Raise RecoveryError with everything that is known, so that a failed restore fails the task."""
        look = Look(self.params, self.result)
        try:
            look.at_everything()
            act = Act(self.params, self.result, look, self.tell)
            if look.finished:
                self.result["outcome"] = "passed"
            elif self.check_mode:
                self.result.update(changed=True, created=look.creates)
            else:
                act.restore()
        except RecoveryError as error:
            raise RecoveryError(str(error), **{**self._finished(), **error.facts}) from error
        finally:
            look.close()
        return self._finished()

    def _finished(self) -> Result:
        made = self.result["changed"] and (self.result["created"] or self.result["left_behind"])
        return {
            **self.result,
            "seconds": round(time.monotonic() - self.begun, 3),
            "evidence": {name: self.result[name] for name in _EVIDENCE},
            "diff": {
                "before": {"databases": []},
                "after": {"databases": [self.result["database"]] if made else []},
            },
        }
