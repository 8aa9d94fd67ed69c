# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One Git repository, asked with git itself: no prompt, no hook, no setting that runs a program.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import typing as t
from pathlib import Path

from .errors import MissingLibrary, RecoveryError, TimedOut, failed

#: Settings of a repository that would run programs, or fetch what is not there.
_QUIET = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "protocol.ext.allow=never"),
    *("-c", "gc.auto=0"),
    *("-c", "safe.directory=*"),  # somebody else's repository is only read here
)
_LAST = 2000


class Git:
    """Runs git in one directory. `remote` leaves the user's own settings in force, which hold credentials' helpers."""

    def __init__(self, directory: Path, timeout: float, remote: bool = False) -> None:
        self.directory = directory
        self.timeout = timeout
        self._environment = _environment(remote)

    def lines(self, *arguments: str) -> t.Iterator[str]:
        """Yield what git prints, line by line. Raises RecoveryError with git's own words, TimedOut."""
        with tempfile.TemporaryFile() as out:
            self._run(arguments, out)
            out.seek(0)
            for line in out:
                yield line.rstrip(b"\n").decode("utf-8", "surrogateescape")

    def line(self, *arguments: str) -> str:
        """Return the first line that git prints, or an empty text."""
        return next(self.lines(*arguments), "")

    def says(self, *arguments: str) -> bool:
        """Return whether git ends well; its words do not matter."""
        try:
            self.line(*arguments)
        except TimedOut:
            raise
        except RecoveryError:
            return False
        return True

    def _run(self, arguments: t.Sequence[str], out: t.IO[bytes]) -> None:
        command = ["git", *_QUIET, *arguments]
        what = f"git {' '.join(arguments[:2])} in {self.directory}"
        with tempfile.TemporaryFile() as errors:
            try:
                status = subprocess.run(
                    command,
                    cwd=self.directory,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=errors,
                    timeout=self.timeout,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                raise TimedOut(f"Timed out after {self.timeout:g} s waiting for {what}. Raise timeout.") from None
            except FileNotFoundError as error:
                if error.filename == "git":
                    raise MissingLibrary(failed("run", what, "git is not installed", "Install git.")) from None
                raise RecoveryError(failed("run", what, error.strerror or error, "Name a directory.")) from error
            except OSError as error:
                raise RecoveryError(failed("run", what, error.strerror or error)) from error
            if status != 0:
                raise RecoveryError(failed("run", what, _words(errors) or f"it ended with {status}"))


def refs_of(git: Git) -> dict[str, str]:
    """Return every ref with its object, tags as the tag object that they are."""
    listed = (line.split(" ", 1) for line in git.lines("for-each-ref", "--format=%(objectname) %(refname)"))
    return {name: value for value, name in listed}


def head_of(git: Git) -> dict[str, str]:
    """Return {ref, object}: where HEAD points to. `ref` is empty where it is detached, `object` on a branch unborn."""
    ref = git.line("symbolic-ref", "-q", "HEAD") if git.says("symbolic-ref", "-q", "HEAD") else ""
    value = git.line("rev-parse", "HEAD") if git.says("rev-parse", "--verify", "-q", "HEAD^{object}") else ""
    return {"ref": ref, "object": value}


def not_contained(git: Git) -> dict[str, list[str]]:
    """Name what HEAD refers to and no bundle has: `submodules` and files that `lfs` keeps elsewhere."""
    if not git.says("rev-parse", "--verify", "-q", "HEAD^{commit}"):
        return {"submodules": [], "lfs": []}
    listed = git.lines("-c", "core.quotePath=false", "ls-tree", "-r", "HEAD")
    submodules = [line.split("\t", 1)[1] for line in listed if line.startswith("160000 ")]
    grep = ("grep", "-l", "-E", "filter=lfs", "HEAD", "--", ":(glob)**/.gitattributes")
    lfs = [line.removeprefix("HEAD:") for line in git.lines(*grep)] if git.says(*grep) else []
    return {"submodules": submodules, "lfs": lfs}


def _environment(remote: bool) -> dict[str, str]:
    """Return the environment without what would point git elsewhere; a local repository gets no settings at all."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    kept.update(GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0", GIT_NO_LAZY_FETCH="1", LC_ALL="C")
    if remote:
        kept.update({name: value for name, value in os.environ.items() if name.startswith("GIT_SSH")})
        kept.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    else:
        kept.update(GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL=os.devnull)
    return kept


def _words(errors: t.IO[bytes]) -> str:
    errors.seek(0, os.SEEK_END)
    errors.seek(max(0, errors.tell() - _LAST))
    said = errors.read().decode("utf-8", "replace").splitlines()
    told = [line for line in said if line.startswith(("fatal:", "error:"))] or said[-3:]
    return "; ".join(dict.fromkeys(line.strip() for line in told if line.strip()))
