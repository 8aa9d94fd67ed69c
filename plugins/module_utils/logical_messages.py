# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pg_restore and psql say, as findings: of what kind, about which object, and what to do.

The exit status alone lies both ways: 1 may be one missing role, 0 a table without its rows.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from collections import Counter
from dataclasses import asdict, dataclass, field

#: problems that are kept word by word; further ones are counted
_KEPT = 100
_COPY = "Fetch another copy of the recovery point, or use another one."

#: pattern of the message, kind, remedy; the first that fits. Groups of the pattern may stand in the remedy.
_KINDS: tuple[tuple[str, str, str], ...] = (
    (r'role "([^"]+)" does not exist', "missing_role",
     "Create role {0}, or take the globals of the backup's own cluster."),
    (r'extension "([^"]+)" is not available|could not open extension control file "[^"]*/([^/"]+)\.control"',
     "missing_extension", "Install the packages of extension {0} in the target's image."),
    (r'extension "([^"]+)" has no installation script|has no update path', "missing_extension",
     "Install the source's version of the extension."),
    (r'could not access file "([^"]+)"', "missing_library", "Install the library {0} in the target's image."),
    (r'extension "([^"]+)" must be loaded via shared_preload_libraries', "missing_preload",
     "Name {0} in shared_preload_libraries (option preload)."),
    (r"unsupported version \(([\d.]+)\) in file header", "newer_than_tool",
     "Restore with the pg_restore of the version that wrote it."),
    (r'unrecognized configuration parameter "([^"]+)"', "newer_than_server",
     "Restore into a server of the source's version, or a newer one; or load the library that has {0}."),
    (r"(does not support compression|not built with|compression is not supported)", "missing_compression",
     "Use a pg_restore that was built with the dump's compression."),
    (r'could not open (?:input )?file "([^"]+)": No such file', "missing_file", _COPY),
    (r'could not open (?:TOC |large object TOC )?file "?([^"\s]+)"?.*: No such file', "missing_file", _COPY),
    (r"could not (?:uncompress|decompress|read from input file|read input file|close (?:data|blobs TOC) file)"
     r"|unexpected end of file|could not read from file|invalid compressed data|zstd|lz4", "damaged_file", _COPY),
    (r"did not find magic string|does not appear to be a valid archive|file header|TOC entry|bad dumpId"
     r"|unexpected section code|entry ID \d+ out of range|corrupt|directory \S+ does not appear", "damaged_toc", _COPY),
    (r"No space left on device|could not extend file", "full_disk",
     "Free space, or name a scratch directory on another disk."),
    (r"invalid locale name|locale .* does not exist|could not create locale|encoding .* does not match locale"
     r"|could not open collator", "missing_locale", "Install the locale in the target's image."),
    (r'tablespace "([^"]+)" does not exist', "missing_tablespace", "Take the globals of the backup's own cluster."),
    (r'COPY failed for table "([^"]+)"|invalid input syntax|missing data for column|extra data after last expected'
     r"|invalid byte sequence|unexpected message type|unterminated CSV|literal newline|value too long", "bad_rows",
     _COPY),
    (r"violates foreign key constraint|violates check constraint|could not create unique index"
     r"|violates unique constraint|violates not-null constraint|is violated by some row", "broken_constraint",
     "Rows are missing or doubled. " + _COPY),
    (r"already exists", "exists", "Restore into an empty database."),
    (r"permission denied|must be owner|must be superuser|permission to"
     r"|must be (?:a )?member of|must be able to SET ROLE", "no_permission",
     "Restore as a superuser of the target."),
    (r"server closed the connection|connection to server|terminating connection|could not connect", "connection_lost",
     "Look at the server's log: it may have crashed on what it was given."),
    (r"does not exist", "missing_object", "What it needs was not restored: see the problems before it."),
)  # fmt: skip


#: pg_dumpall writes hashes of passwords unless it is told not to
_SECRET = re.compile(r"PASSWORD E?'(?:[^']|'')*'", re.I)
#: what says that the restore could not be tried here, and nothing of the backup
_NOT_TRIED = ("full_disk", "newer_than_tool", "missing_compression")


def outcome_of(problems: t.Sequence[t.Mapping[str, str]]) -> str:
    """Return passed without problems, unverified when all of them are of the place and not of the backup."""
    if not problems:
        return "passed"
    return "unverified" if all(one["kind"] in _NOT_TRIED for one in problems) else "failed"


@dataclass(frozen=True)
class Problem:
    """One finding. `object` names what it is about, as the tool does; `message` is the tool's."""

    kind: str
    object: str
    message: str
    remedy: str

    @classmethod
    def of(cls, about: str, message: str) -> Problem:
        """Classify a message."""
        for pattern, kind, remedy in _KINDS:
            found = re.search(pattern, message)
            if found:
                groups = [group for group in found.groups() if group] or ["it"]
                return cls(kind, about, message, remedy.format(*groups))
        return cls("other", about, message, "See the message; the object may be missing from the restore.")

    @classmethod
    def of_statement(cls, about: str, statement: str, message: str) -> Problem:
        """Classify what a statement of ours met with."""
        shown = _SECRET.sub("PASSWORD '...'", " ".join(statement.split()))
        return cls.of(f"{about}: {shown[:160]}", message)

    def as_dict(self) -> dict[str, str]:
        """Return JSON-safe members."""
        return asdict(self)


@dataclass
class Problems:
    """Findings, at most a hundred word by word. The same one twice is one."""

    kept: list[Problem] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, problem: Problem) -> None:
        """Take one."""
        if problem in self.kept:
            return
        self.kinds[problem.kind] += 1
        if len(self.kept) < _KEPT:
            self.kept.append(problem)

    def __bool__(self) -> bool:
        return bool(self.kinds)

    def as_list(self) -> list[dict[str, str]]:
        """Return JSON-safe findings; the last says how many more there were."""
        found = [one.as_dict() for one in self.kept]
        more = sum(self.kinds.values()) - len(self.kept)
        if more > 0:
            told = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
            found.append(Problem("more", "", f"{more} more; in all {told}", "").as_dict())
        return found


_ENTRY = re.compile(r"pg_restore: from TOC entry \d+; \d+ \d+ (.+)$")
_ERROR = re.compile(r"(?:pg_restore|psql)(?:[:\d]*|:[^ ]*:\d+): (?:error|fatal): (.*)$", re.I)
_SERVER_ERROR = re.compile(r"^(?:psql:[^ ]*:\d+: )?(?:ERROR|FATAL|PANIC):\s+(.*)$")
_IGNORED = re.compile(r"errors ignored on restore: (\d+)")
#: a setting of the session that a server before 17 does not know
_HARMLESS = re.compile(r"Command was: SET transaction_timeout = 0;$")
_MORE = re.compile(r"^(?:DETAIL|CONTEXT|HINT):\s+(.*)$")
#: workers share one stderr and write a line in pieces: another's line may stand behind the beginning of the first
_TORN = re.compile(r"^(pg_restore: (?:error: |warning: |detail: |hint: )?)(pg_restore: .*)$")


class Reader:
    """Takes the messages of one run of pg_restore line by line; what is no message of its own continues the last."""

    def __init__(self, problems: Problems, on_note: t.Callable[[str], None] = lambda line: None) -> None:
        self.problems = problems
        self.ignored = 0  # errors that pg_restore itself counted
        self.harmless = 0
        self._note = on_note
        self._entry = ""
        self._message: list[str] = []
        self._about = ""
        self._connected = False
        self._torn: list[str] = []

    def line(self, text: str) -> None:
        """Take one line, or the two that a torn one is."""
        torn = _TORN.match(text)
        while torn:
            self._torn.append(torn[1])
            text = torn[2]
            torn = _TORN.match(text)
        if self._torn and not text.startswith("pg_restore: "):
            text = self._torn.pop(0) + text
        self._line(text)

    def _line(self, text: str) -> None:
        entry, error = _ENTRY.match(text), _ERROR.match(text) or _SERVER_ERROR.match(text)
        if entry:
            self.end()
            self._entry = entry[1]
        elif error:
            self.end()
            self._message, self._about = [error[1]], self._entry
            self._entry = ""
        elif text.startswith("pg_restore: "):
            self.end()
            ignored = _IGNORED.search(text)
            self.ignored += int(ignored[1]) if ignored else 0
            if text.startswith("pg_restore: processing data for table "):
                self._data(text)
            self._connected = self._connected or text.startswith("pg_restore: connecting to")
            self._note(text)
        elif self._message and _HARMLESS.match(text):
            self._message, self.harmless = [], self.harmless + 1
        elif self._message and len(self._message) < 4 and _MORE.match(text):
            self._message.append(text)

    def _data(self, text: str) -> None:
        self._about = text.removeprefix("pg_restore: processing data for table ").strip('"')

    def _classified(self, message: str) -> Problem:
        found = Problem.of(self._about or "the dump", message)
        if not self._connected and found.kind in ("damaged_file", "missing_file"):
            return Problem("damaged_toc", found.object, message, _COPY)  # it is read before anybody is asked
        return found

    def end(self) -> None:
        """No more lines belong to the last message."""
        if self._message:
            message = re.sub(r"^could not execute query: (ERROR|FATAL):\s+", "", " ".join(self._message))
            if message != "a worker process died unexpectedly" or not self.problems:
                self.problems.add(self._classified(message))
        self._message = []
