"""Data that is wrong while everything runs: what a bad release writes, a table that somebody drops."""

from __future__ import annotations

import json
from typing import Any

from lab.catalogue import REGIONS
from lab.errors import LabError
from lab.faults.fault import Fault
from lab.layout import Lab, write_text

#: of the lab's first service
DATABASE = "counterfactual_lab"
#: where the damage is written down, for a drill to compare with what was found without being told
RECORD = "damage.json"
#: the bad release empties what it touches, and goes on doing so
_ROWS = (
    "UPDATE writes SET payload = '' WHERE id IN (SELECT id FROM writes ORDER BY written_at DESC LIMIT 20)",
    """
    CREATE FUNCTION bad_release() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.seq % 3 = 0 THEN NEW.payload := ''; END IF;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER bad_release BEFORE INSERT ON writes FOR EACH ROW EXECUTE FUNCTION bad_release()",
)


def _damage_rows(lab: Lab, region: str) -> str:
    with _primary(lab, region) as cursor:
        cursor.execute("BEGIN")
        for statement in _ROWS:
            cursor.execute(statement)
        cursor.execute("SELECT txid_current() % (2 ^ 32)::bigint, clock_timestamp()")
        xid, moment = cursor.fetchone()
        cursor.execute("COMMIT")
    write_text(lab.directory / RECORD, json.dumps({"xid": int(xid), "time": moment.isoformat()}))
    return f"bad release in {region}: transaction {xid} emptied rows of {DATABASE}, and every third new one is empty"


def _no_way_back(lab: Lab, region: str) -> str:
    return f"what was damaged in {region} stays so: recover the database"


def _primary(lab: Lab, region: str) -> Any:
    from lab.postgres import session  # noqa: PLC0415 needs the database driver

    with session(lab, region) as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        if cursor.fetchone()[0]:
            raise LabError(
                f"Failed to damage data in {region}: its PostgreSQL is a standby. Name the primary's region."
            )
    return session(lab, region, DATABASE)


FAULTS = {
    "rows": Fault(
        help="a bad release empties rows of the first service's database, and goes on; nothing notices by itself",
        subjects=REGIONS,
        break_it=_damage_rows,
        heal_it=_no_way_back,
    ),
}
