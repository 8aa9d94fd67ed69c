# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pgBackRest's errors mean: one class a cause, each with its remedy.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t

from .errors import RecoveryError, Refused, TimedOut, Unreachable, failed

#: pgBackRest quotes what it could not read, which may be megabytes of noise
_LINE, _LINES = 240, 6
_SKIPPED = re.compile(r"^(\*\*\*|[a-z-]+: |GET |PUT |HEAD |POST |DELETE |<\?xml|WARN: )")


class RepositoryUnreachable(Unreachable):
    """A repository's store did not answer, or could not prove who it is."""


class RepositoryRefused(RecoveryError):
    """A repository's store answers, and does not let us: wrong key, no such bucket."""


class WrongCipherPass(Refused):
    """The cipher pass does not open the repository (or its first file is damaged)."""


class StanzaMissing(Refused):
    """The repository has no such stanza."""


class OtherSystem(Refused):
    """The repository belongs to another PostgreSQL cluster, or to another version of it."""


class Locked(RecoveryError):
    """Another pgBackRest works on the stanza."""


class NoRoom(RecoveryError):
    """A disk or a store is full."""


class NewerServer(Refused):
    """PostgreSQL is newer than this pgBackRest knows."""


class ServerUnreachable(Unreachable):
    """PostgreSQL did not let pgBackRest in."""


class SegmentMissing(RecoveryError):
    """A WAL segment did not reach a repository."""


class NoBackup(Refused):
    """The repository has no backup that could serve."""


class Damaged(RecoveryError):
    """What a repository holds is not what was stored."""


class BackrestFailed(RecoveryError):
    """pgBackRest failed in another way."""


#: cause, what is said, what to do; the first that matches counts
_RULES: tuple[tuple[type[RecoveryError], str, str], ...] = (
    (Locked, r"unable to acquire lock", "Another pgBackRest is at work: wait for it, or raise lock_timeout."),
    # a write that ends short of its length, with no other cause, is a full disk, too
    (NoRoom, r"No space left|File too large|InsufficientStorage|failed with 507|unable to write '[^']+'$",
     "Make room, then run again."),
    (ServerUnreachable, r"DbConnectError|unable to connect to 'dbname|unable to find primary cluster|DbQueryError",
     "Check the option postgres, the grants of roles/postgresql_backup/files/schema.sql, and that it is a primary."),
    (RepositoryUnreachable, r"unable to verify certificate|certificate .*(host name|expired)",
     "Correct ca_file, or renew the store's certificate."),
    (RepositoryRefused, r"failed with 40[134]|AccessDenied|NoSuchBucket|InvalidAccessKeyId|SignatureDoesNotMatch",
     "Correct the repository's bucket and the keys in its credentials_file."),
    (RepositoryUnreachable, r"HostConnectError|unable to connect to '|timeout|unable to get address|ServiceError"
     r"|failed with 5\d\d|unexpected eof|Connection re|FileReadError.*TLS", "Check the store and the network to it."),
    (WrongCipherPass, r"found outside of section|CryptoError|cipher header|unable to flush|bad decrypt",
     "Correct the repository's cipher_pass_file; if it is right, the repository's info file is damaged."),
    (SegmentMissing, r"WAL segment [0-9A-F]{24} was not archived|unable to find WAL segment",
     "Read PostgreSQL's log for what archive_command says."),
    (NewerServer, r"unexpected (control|catalog) version|version .* not supported|invalid PostgreSQL version",
     "Install a pgBackRest that knows this PostgreSQL."),
    (Damaged, r"ChecksumError|expected checksum|invalid checksum|data corruption|Data corruption|invalid size",
     "Use another copy: another label, or another repository."),
    (OtherSystem, r"system-id|does not match|do not match|ArchiveMismatch|BackupMismatch",
     "The repository holds another cluster: name another stanza or path. Never overwrite it."),
    (StanzaMissing, r"stanza-create been performed|missing stanza|stanza .* not", "Create it: state=created."),
    (NoBackup, r"no backup set found|is not valid|no prior backup|BackupSetInvalid", "Name a backup that exists."),
)  # fmt: skip

#: pgBackRest 2.45 and so on, by the newest major version of PostgreSQL that it knows
_KNOWS = (((2, 57), 18), ((2, 54), 17), ((2, 48), 16), ((2, 41), 15))


def words(said: str) -> str:
    """Return the telling lines of what pgBackRest said, printable and short."""
    lines = []
    for line in said.splitlines():
        text = "".join(letter for letter in line.strip() if letter.isprintable() and letter != "�")[:_LINE]
        text = re.sub(r"^ERROR: \[\d+\]: ", "", text)
        if text and not _SKIPPED.match(text) and text not in lines:
            lines.append(text)
    return "; ".join(lines[:_LINES]) or "it said nothing"


def explain(verb: str, what: str, said: str, **facts: t.Any) -> RecoveryError:
    """Return the error that pgBackRest's words amount to; `error_kind` in its facts names the class."""
    for kind, pattern, remedy in _RULES:
        if re.search(pattern, said, re.M):
            return kind(failed(verb, what, words(said), remedy), error_kind=kind.__name__, **facts)
    return BackrestFailed(failed(verb, what, words(said)), error_kind=BackrestFailed.__name__, **facts)


def late(what: str, seconds: float) -> TimedOut:
    """Return the error of a command that took too long."""
    return TimedOut(f"Timed out after {seconds:g} s waiting for {what}. Raise timeout.", error_kind="TimedOut")


def newest_known(version: str) -> int | None:
    """Return the newest major version of PostgreSQL that a pgBackRest knows; None where that is not known here."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if len(numbers) < 2 or numbers > (2, 57):
        return None
    return next((major for since, major in _KNOWS if numbers >= since), 14)
