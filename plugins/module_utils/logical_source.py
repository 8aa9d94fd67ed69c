# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The server that a logical backup is taken from: what it is, what may not be read, and one snapshot of it.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import asdict, dataclass

from .clock import to_iso
from .errors import Refused, failed
from .sql import Postgres

_LOOK = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_is_in_recovery(),
       current_setting('data_checksums') = 'on', pg_encoding_to_char(db.encoding), db.datcollate, db.datctype,
       to_jsonb(db) ->> 'datlocprovider',
       coalesce(to_jsonb(db) ->> 'datlocale', to_jsonb(db) ->> 'daticulocale'),
       (SELECT rolname FROM pg_roles WHERE oid = 10),
       (SELECT system_identifier::text FROM pg_control_system()),
       (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relpersistence <> 't' AND NOT {system}),
       pg_database_size(db.oid)
FROM pg_database AS db WHERE datname = current_database()
"""

#: what pg_dump reads and this role may not; members of extensions count only where the extension has them dumped
_UNREADABLE = """
SELECT format('%I.%I', nspname, relname),
       CASE WHEN NOT has_schema_privilege(nsp.oid, 'USAGE') THEN 'no USAGE on its schema'
            WHEN relkind = 'S' AND NOT has_sequence_privilege(rel.oid, 'SELECT') THEN 'no SELECT'
            WHEN relkind <> 'S' AND NOT has_table_privilege(rel.oid, 'SELECT') THEN 'no SELECT'
            ELSE 'row-level security hides rows' END
FROM pg_class AS rel JOIN pg_namespace AS nsp ON nsp.oid = relnamespace
WHERE relkind IN ('r', 'p', 'S') AND relpersistence <> 't' AND NOT {system}
  AND NOT EXISTS (SELECT FROM pg_depend AS dep LEFT JOIN pg_extension AS ext ON ext.oid = dep.refobjid
                  WHERE dep.classid = 'pg_class'::regclass AND dep.objid = rel.oid AND dep.deptype = 'e'
                    AND NOT coalesce(rel.oid = ANY (ext.extconfig), false))
  AND (NOT has_schema_privilege(nsp.oid, 'USAGE')
       OR CASE WHEN relkind = 'S' THEN NOT has_sequence_privilege(rel.oid, 'SELECT')
               ELSE NOT has_table_privilege(rel.oid, 'SELECT') OR row_security_active(rel.oid) END)
ORDER BY 1 LIMIT 21
"""
#: pg_read_all_data does not reach large objects
_UNREADABLE_OBJECTS = """
SELECT 'large object ' || oid, 'no SELECT' FROM pg_largeobject_metadata
WHERE NOT pg_has_role(lomowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM aclexplode(lomacl) AS acl WHERE acl.privilege_type = 'SELECT'
                    AND (acl.grantee = 0 OR pg_has_role(acl.grantee, 'USAGE')))
ORDER BY oid LIMIT 21
"""
_SYSTEM = "(relnamespace::regnamespace::text ~ '^(pg_catalog|information_schema|pg_toast.*|pg_temp.*)$')"

#: the time before the snapshot, so that nothing committed by then is missing
_SNAPSHOT = "SELECT pg_export_snapshot(), now()"
_PRIMARY_POSITION = "SELECT pg_current_wal_insert_lsn()::text, NULL::timestamptz"
#: a standby has all of the primary until the last commit it replayed, or until the primary's last word if it is past it
_STANDBY_POSITION = """
SELECT pg_last_wal_replay_lsn()::text,
       greatest(pg_last_xact_replay_timestamp(),
                (SELECT latest_end_time FROM pg_stat_wal_receiver WHERE latest_end_lsn <= pg_last_wal_replay_lsn()))
"""


@dataclass(frozen=True)
class Server:
    """One look at the server and at the database. The size is in bytes, with indexes."""

    server_version: str
    server_version_num: int
    in_recovery: bool
    checksums: bool
    encoding: str
    collate: str
    ctype: str
    locale_provider: str | None
    locale: str | None
    bootstrap_role: str
    system_identifier: str
    tables: int
    database_bytes: int

    @property
    def major(self) -> int:
        """The major version, for example 15."""
        return self.server_version_num // 10000

    @property
    def role(self) -> str:
        """What it is now: primary or standby."""
        return "standby" if self.in_recovery else "primary"

    def as_dict(self) -> dict[str, t.Any]:
        """Return JSON-safe members."""
        return asdict(self)


@dataclass(frozen=True)
class Snapshot:
    """One exported snapshot. `lsn` is where the WAL was just before; `moment` is the time up to which it has all."""

    name: str
    lsn: str
    taken_at: str
    moment: str | None


class Source:
    """One database of one server, over SQL."""

    def __init__(self, options: t.Mapping[str, t.Any], timeout: float) -> None:
        self.options = options
        self.timeout = timeout
        self.sql = Postgres(options)

    @property
    def name(self) -> str:
        """Name the database in messages."""
        return f"database {self.options.get('database') or 'postgres'} of {self.sql.name}"

    def look(self) -> Server:
        """Ask what the server is. Raises as Postgres.rows() does."""
        return Server(*self.sql.row(_LOOK.format(system=_SYSTEM), timeout=self.timeout))

    def require_readable(self) -> None:
        """Raise Refused naming what the role may not read: pg_dump would stop at the first, minutes later."""
        found = self.sql.rows(_UNREADABLE.format(system=_SYSTEM), timeout=self.timeout)
        found += self.sql.rows(_UNREADABLE_OBJECTS, timeout=self.timeout)
        if not found:
            return
        named = ", ".join(f"{name} ({why})" for name, why in found[:20])
        more = " and more" if len(found) > 20 else ""
        user = self.options["user"]
        remedy = f'GRANT pg_read_all_data TO "{user}"'
        if any("row-level" in why for _name, why in found):
            remedy += f'; for row-level security, ALTER ROLE "{user}" BYPASSRLS'
        if any(name.startswith("large object ") for name, _why in found):
            remedy += f'; GRANT SELECT ON LARGE OBJECT <number> TO "{user}", or use a superuser'
        raise Refused(failed("read", f"{self.name} as {user}", f"not readable: {named}{more}", f"{remedy}."))

    def open_snapshot(self, server: Server) -> Snapshot:
        """Begin a transaction and export its snapshot, which lasts until `close`."""
        position = _STANDBY_POSITION if server.in_recovery else _PRIMARY_POSITION
        lsn, replayed = self.sql.row(position, timeout=self.timeout)
        self.sql.rows("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", timeout=self.timeout)
        self.sql.rows("SET LOCAL idle_in_transaction_session_timeout = 0", timeout=self.timeout)
        name, taken = self.sql.row(_SNAPSHOT, timeout=self.timeout)
        moment = replayed if server.in_recovery else taken
        return Snapshot(name, lsn, to_iso(taken), to_iso(moment) if moment else None)

    def close(self) -> None:
        """End the transaction, and with it the snapshot."""
        self.sql.close()
