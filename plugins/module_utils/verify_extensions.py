# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where amcheck and pageinspect are in a database; in a scratch cluster they may be added.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from .errors import Refused, failed
from .scratch_owner import OWNER_FILE
from .verify_session import Limits, Session, Writer

SCHEMA = "dr_verify"

_WHERE = """
SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = %s
"""


class Extensions:
    """`added` lists `database: extension` of what was created."""

    def __init__(self, options: t.Mapping[str, t.Any], limits: Limits, scratch: bool, check_mode: bool) -> None:
        self._options, self._limits = options, limits
        self._scratch, self._check_mode = scratch, check_mode
        self.added: list[str] = []

    def schema(self, session: Session, name: str) -> str:
        """Return the quoted schema that holds extension `name`.

        Raises Refused where it is missing and may not be added, and as Session.rows() does.
        """
        found = session.rows(_WHERE, (name,))
        if found:
            return found[0][0]
        what = f"extension {name} of database {session.database}"
        if not self._scratch:
            remedy = f"Create it: CREATE EXTENSION {name}. In a scratch cluster say scratch: true."
            raise Refused(failed("use", what, "it is not installed", remedy))
        self._require_scratch(session, what)
        self.added.append(f"{session.database}: {name}")
        if self._check_mode:
            raise Refused(failed("use", what, "it is not installed, and check mode adds nothing"))
        Writer(self._options, session.database, self._limits).run(
            f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}", f"CREATE EXTENSION IF NOT EXISTS {name} SCHEMA {SCHEMA}"
        )
        return session.row(_WHERE, (name,))[0]

    def _require_scratch(self, session: Session, what: str) -> None:
        """Raise Refused unless the server says that its files lie in a scratch directory."""
        [(directory, in_recovery)] = session.rows("SELECT current_setting('data_directory'), pg_is_in_recovery()")
        if in_recovery:
            remedy = "End its recovery (promote the scratch), or create it in the source."
            raise Refused(failed("add", what, "the cluster is in recovery", remedy))
        if not owner_file(directory):
            cause = f"there is no {OWNER_FILE} above its data directory {directory}"
            raise Refused(
                failed("add", what, cause, "Verify on the host of a scratch cluster that has its owner file.")
            )


def owner_file(data_directory: str) -> Path | None:
    """Return the owner file of the scratch directory that holds a data directory."""
    above = list(Path(data_directory).parents)[:3]
    return next((path / OWNER_FILE for path in above if (path / OWNER_FILE).is_file()), None)
