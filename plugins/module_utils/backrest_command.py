# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pgBackRest as a program: with one configuration and stanza, as the configuration's owner, and never without an end.

PRIVATE to the collection.
"""

from __future__ import annotations

import collections
import configparser
import os
import re
import shutil
import subprocess
import threading
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .backrest_errors import Locked, NewerServer, explain, late, newest_known
from .clock import Deadline
from .errors import Refused, failed

#: seconds between two lines of progress, and between two looks at a lock that another holds
TELL_SECONDS, LOCK_SECONDS = 5.0, 0.5
#: pgBackRest tries a store that is away four times, each for its I/O timeout
_TRIES = 4
#: lines of errors that are kept
_KEPT = 100
Tell = t.Callable[[str], None]
Watch = t.Callable[[str], None]


@dataclass(frozen=True)
class Repository:
    """One of the configuration's repositories, by its number there and the name that people know it by."""

    number: int
    name: str

    @property
    def option(self) -> str:
        """The option that chooses it."""
        return f"--repo={self.number}"

    def __str__(self) -> str:
        return f"repository {self.name} (repo{self.number})"


@dataclass
class Backrest:
    """One configuration file and one stanza. Raises RecoveryError throughout."""

    config: Path
    stanza: str
    names: t.Sequence[str] = ()
    #: the option `postgres`, for the commands that ask the server
    postgres: t.Mapping[str, t.Any] | None = None
    program: str = "pgbackrest"
    lock_timeout: float = 0.0
    repositories: list[Repository] = field(init=False)
    pg_path: Path = field(init=False)

    def __post_init__(self) -> None:
        found = shutil.which(self.program)
        if found is None:
            remedy = "Install it: apt-get install pgbackrest, or correct the option program."
            raise Refused(failed("find", self.program, "there is no such program", remedy))
        self.program = found  # the restored cluster's restore_command gets the whole path
        self._read_configuration()

    def _read_configuration(self) -> None:
        """Learn whom the file belongs to, its repositories' numbers and the data directory; secrets stay in it."""
        try:
            owner = os.stat(self.config)
            text = self.config.read_text(encoding="utf-8")
        except OSError as error:
            remedy = "Write it with pg_backrest_config, or run as its owner (become_user: postgres)."
            raise Refused(failed("read", f"pgBackRest's configuration {self.config}", error.strerror, remedy)) from None
        if owner.st_mode & 0o077:
            remedy = f"It holds secrets: chmod 0600 {self.config}."
            raise Refused(failed("use", f"pgBackRest's configuration {self.config}", "others may read it", remedy))
        self.uid, self.gid = owner.st_uid, owner.st_gid
        if os.geteuid() not in (0, self.uid):
            remedy = "Run the task as that user, or as root."
            raise Refused(failed("use", str(self.config), f"it belongs to user id {self.uid}", remedy))
        parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
        try:
            parser.read_string(text)
        except configparser.Error:  # its text would quote the line
            remedy = "Write it with pg_backrest_config."
            raise Refused(failed("read", str(self.config), "it is no INI file", remedy)) from None
        keys = [key for section in parser.sections() for key in parser[section]]
        numbers = sorted({int(found[1]) for key in keys if (found := re.match(r"repo(\d+)-", key))})
        if self.names and len(self.names) != len(numbers):
            cause = f"{len(self.names)} names for {len(numbers)} repositories"
            raise Refused(failed("name", f"the repositories of {self.config}", cause, "Correct repositories."))
        names = self.names or [f"repo{number}" for number in numbers]
        self.repositories = [Repository(number, name) for number, name in zip(numbers, names, strict=True)]
        path = parser.get(self.stanza, "pg1-path", fallback=None)
        if path is None:
            remedy = f"Its stanzas are {', '.join(s for s in parser.sections() if not s.startswith('global'))}."
            raise Refused(failed("find", f"stanza {self.stanza} in {self.config}", "it has no pg1-path", remedy))
        self.pg_path = Path(path)

    def repository(self, name: str) -> Repository:
        """Return a repository by its name."""
        for one in self.repositories:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.repositories)
        raise Refused(failed("find", f"repository {name}", f"{self.config} has {known}", "Name one of them."))

    def version(self) -> str:
        """Return the program's version, for example 2.45."""
        said = self.run("ask", "pgBackRest's version", "version", stanza=False, timeout=10)
        return said.split()[-1] if said.split() else ""

    def require_known_server(self) -> None:
        """Raise NewerServer where the data directory is of a PostgreSQL that this pgBackRest does not know."""
        try:
            major = int((self.pg_path / "PG_VERSION").read_text(encoding="ascii").split(".")[0])
        except (OSError, ValueError):
            return  # it says so itself, of whatever is there
        version = self.version()
        newest = newest_known(version)
        if newest is not None and major > newest:
            cause = f"pgBackRest {version} knows PostgreSQL up to {newest}, and {self.pg_path} is of {major}"
            raise NewerServer(
                failed("back up", f"stanza {self.stanza}", cause, "Install a newer pgBackRest."),
                error_kind="NewerServer",
            )

    def run(
        self, verb: str, what: str, command: str, *options: str, timeout: float, asks_server: bool = False,
        watch: Watch | None = None, stanza: bool = True, io_timeout: float | None = None,
    ) -> str:  # fmt: skip
        """Run one command to its end and return its output; with `watch`, every line goes there and none is kept.

        Waits `lock_timeout` seconds at most for another pgBackRest. Raises what backrest_errors names, TimedOut.
        """
        argv = [self.program]
        if stanza:
            argv += [f"--config={self.config}", f"--stanza={self.stanza}", "--log-level-stderr=warn"]
            argv += ["--log-level-console=detail" if watch else "--log-level-console=off"]
        if io_timeout:
            argv += [f"--io-timeout={max(1.0, io_timeout):g}"]
        named = [one for one in options if one.startswith("--")]
        argv += [*(self._server_options() if asks_server else []), *named, command]
        argv += [one for one in options if one not in named]
        patience = Deadline(self.lock_timeout)
        while True:
            code, said, errors = self._once(argv, what, timeout, watch)
            if code == 0:
                return said
            error = explain(verb, what, errors or said, pgbackrest_code=code)
            if not isinstance(error, Locked) or patience.expired:
                raise error
            patience.rest(LOCK_SECONDS)

    def io_timeout(self, seconds: float) -> float:
        """Return the I/O timeout with which a store that is away is given up after so many seconds."""
        return seconds / _TRIES

    def _once(self, argv: list[str], what: str, timeout: float, watch: Watch | None) -> tuple[int, str, str]:
        errors: collections.deque[str] = collections.deque(maxlen=_KEPT)
        lines: list[str] = []
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace",
            **self._as_owner(),
        )  # fmt: skip
        readers = [
            threading.Thread(target=_drain, args=(process.stdout, watch or lines.append), daemon=True),
            threading.Thread(target=_drain, args=(process.stderr, errors.append), daemon=True),
        ]
        for one in readers:
            one.start()
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise late(what, timeout) from None
        finally:
            _end(process)
            for one in readers:
                one.join(5.0)
        return code, "".join(lines), "".join(errors)

    def _server_options(self) -> list[str]:
        if not self.postgres:
            return []
        given = {"port": "port", "user": "user", "database": "database"}
        return [f"--pg1-{ours}={self.postgres[name]}" for name, ours in given.items() if self.postgres.get(name)]

    def _as_owner(self) -> dict[str, t.Any]:
        """Return subprocess's arguments: the owner's identity, and of our environment only where programs are."""
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC", "HOME": "/"}
        server = self.postgres or {}
        for name, option in (("PGHOST", "host"), ("PGPASSFILE", "passfile"), ("PGSSLMODE", "sslmode")):
            if server.get(option):
                env[name] = str(server[option])
        if server:
            env["PGCONNECT_TIMEOUT"] = str(server.get("connect_timeout") or 3)
        given: dict[str, t.Any] = {"env": env, "cwd": "/", "stdin": subprocess.DEVNULL}
        if os.geteuid() == 0 and self.uid != 0:
            given.update(user=self.uid, group=self.gid, extra_groups=[])
        return given


class Progress:
    """Tells how far a backup or a restore is, from pgBackRest's line for each file."""

    _PERCENT = re.compile(r"([0-9.]+)%\)")

    def __init__(self, what: str, total: int | None, tell: Tell | None) -> None:
        self.what, self.total, self.tell = what, total, tell
        self.percent = 0.0
        self.messages: collections.deque[str] = collections.deque(maxlen=_KEPT)
        self._deadline, self._told = Deadline(0), 0.0

    def __call__(self, line: str) -> None:
        """Take one line of pgBackRest's."""
        found = self._PERCENT.search(line)
        if found:
            self.percent = float(found[1])
        elif " INFO: " in line or " WARN: " in line:
            self.messages.append(line.strip())
        if self.tell and self._deadline.elapsed - self._told >= TELL_SECONDS:
            self._told = self._deadline.elapsed
            self.tell(f"{self.what}: {self.said()}")

    def said(self) -> str:
        """Return how far it is, as people read it."""
        seconds = self._deadline.elapsed
        if not self.total:
            return f"{self.percent:.1f} % after {seconds:.0f} s"
        done = self.total * self.percent / 100
        rate = done / seconds / 1e6 if seconds else 0.0
        return f"{self.percent:.1f} % of {self.total / 1e9:.2f} GB after {seconds:.0f} s, {rate:.0f} MB/s"


def _drain(stream: t.IO[str] | None, take: Watch) -> None:
    if stream is None:
        return
    with stream:
        for line in stream:
            take(line)


def _end(process: subprocess.Popen[str]) -> None:
    """End it if it still runs: asked first, because it then takes its lock and its session with it."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
