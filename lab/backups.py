"""A lab that archives and takes backups (DR_LAB_BACKUPS=1): pgBackRest with a repository in each region's store.

What is deployed, the collection's own role postgresql_backup deploys; here is what a machine would have before that.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.backrest_errors import newest_known

from lab import certificates
from lab.account import give
from lab.catalogue import BACKUP_BUCKET, REGIONS, REPOSITORY_BUCKET, other
from lab.errors import LabError
from lab.keys import Keys
from lab.layout import Lab, write_text

STANZA = "main"
PROGRAM = "pgbackrest"
INSTALL = "Install it: apt-get install pgbackrest."
#: so often a segment is ended although it is not full: what is lost with a region's disks and its store
ARCHIVE_TIMEOUT_SECONDS = 20
#: how long archive_command tries, and how long one answer of a store may take
ARCHIVE_SECONDS, IO_SECONDS = 10, 3
SETTINGS = """\
archive_mode = on
archive_timeout = {timeout}
archive_command = '{program} --config={config} --stanza={stanza} archive-push %p'
"""


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether a lab has backups, by DR_LAB_BACKUPS. Raises LabError for what is neither 0 nor 1."""
    text = environment.get("DR_LAB_BACKUPS") or "0"
    if text not in ("0", "1"):
        raise LabError(f"Failed to start the lab: DR_LAB_BACKUPS is {text!r}. Set it to 0 or 1.")
    return text == "1"


def require_programs(lab: Lab) -> None:
    """Raise LabError where pgBackRest is missing, or does not know the lab's PostgreSQL."""
    what = "Failed to start the lab with DR_LAB_BACKUPS=1"
    if shutil.which(PROGRAM) is None:
        raise LabError(f"{what}: there is no program {PROGRAM}. {INSTALL}")
    versions = [_version([PROGRAM, "version"]), _version([str(lab.postgres_bin / "postgres"), "--version"])]
    newest = newest_known(versions[0])
    if newest is not None and int(versions[1].split(".")[0]) > newest:
        raise LabError(
            f"{what}: pgBackRest {versions[0]} knows PostgreSQL up to {newest}, and {lab.postgres_bin} has "
            f"{versions[1]}. Put PostgreSQL {newest} first on PATH, or install a newer pgBackRest."
        )


def _version(argv: list[str]) -> str:
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+(\.\d+)?", said)
    return found[0] if found else "0"


def config(lab: Lab, region: str) -> Path:
    """Where a region's pgBackRest has its configuration."""
    return lab.backup_directory(region) / "pgbackrest.conf"


def settings(lab: Lab, region: str) -> str:
    """PostgreSQL's settings. A standby archives once it is promoted."""
    return SETTINGS.format(
        timeout=f"{ARCHIVE_TIMEOUT_SECONDS}s", program=shutil.which(PROGRAM), config=config(lab, region), stanza=STANZA
    )


def write_secrets(lab: Lab, keys: Keys) -> None:
    """Write what pgBackRest needs in each region for PostgreSQL's user alone, and make the stores' certificates."""
    from lab import tls  # noqa: PLC0415 a library that a lab without backups does not load

    places = {region: [lab.inner("store", region), lab.address("store", region)] for region in REGIONS}
    for region in REGIONS:
        places[region].append(lab.outbound("store", other(region)))
    authority = tls.issue(lab.certificates, places)
    for region in REGIONS:
        directory = lab.backup_directory(region)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        give(directory, lab.account)
        files = {
            "cipher-pass": keys.cipher_pass + "\n",
            "credentials": keys.credentials(("backup",)),
            "pgpass": keys.passfile(["dr_backup"]),
            certificates.AUTHORITY: authority.read_text(),
        }
        for name, text in files.items():
            write_text(directory / name, text)
            give(directory / name, lab.account)


def describe(lab: Lab, region: str) -> dict[str, Any]:
    """What the inventory needs of a region's backups."""
    from lab.configs import postgres_options  # noqa: PLC0415 that module needs the catalogue's other half
    from lab.stores import store_option  # noqa: PLC0415 needs boto3, which postgres.py's callers may not have

    directory = lab.backup_directory(region)
    postgres = postgres_options(lab, region, "dr_backup", seen_from=region)
    return {
        "store": store_option(lab, region, region, BACKUP_BUCKET, "orchestrator"),
        "postgres": {**postgres, "passfile": str(directory / "pgpass")},
        "pgbackrest": {
            "config": str(config(lab, region)),
            "owner": lab.postgres_data(region).owner() if lab.postgres_data(region).exists() else lab.account,
            "stanza": STANZA,
            "repositories": [_repository(lab, one, region) for one in (region, other(region))],
            "spool_path": str(directory / "spool"),
            "lock_path": str(directory / "lock"),
            "log_path": str(directory / "log"),
            "archive_seconds": ARCHIVE_SECONDS,
            "io_seconds": IO_SECONDS,
        },
    }


def _repository(lab: Lab, region: str, seen_from: str) -> dict[str, Any]:
    """One repository as a region reaches it: the other one's through the borders."""
    directory = lab.backup_directory(seen_from)
    return {
        "name": region,
        "bucket": REPOSITORY_BUCKET,
        "region": region,
        "endpoint_url": lab.store_tls_url(region, seen_from),
        "prefix": STANZA,
        "profile": "backup",
        "credentials_file": str(directory / "credentials"),
        "ca_file": str(directory / certificates.AUTHORITY),
        "uri_style": "path",
        "cipher_pass_file": str(directory / "cipher-pass"),
    }
