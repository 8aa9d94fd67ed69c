# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Service of git_bundle: a Git repository as one file that is proven by cloning from it.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import typing as t
from dataclasses import asdict
from pathlib import Path

from . import needs
from .clock import to_iso, utc_now
from .connections import record_option
from .errors import RecoveryError, Refused, TimedOut, failed
from .execution import Params, Result, Specification
from .git_bundle_proof import Facts, clone, count_objects, differences, prove, size_and_digest
from .git_bundle_repository import Git, head_of, not_contained, refs_of

FINDINGS = ("dirty", "submodules", "lfs")
_SHOWN = 10

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["present", "proven"], "default": "present"},
        "repository": {"type": "str"},
        "directory": {"type": "path", "required": True},
        "name": {"type": "str", "required": True},
        "allowed": {"type": "list", "elements": "str", "choices": list(FINDINGS), "default": []},
        "scratch_directory": {"type": "path"},
        "timeout": {"type": "float", "default": 600.0},
        "record": record_option(),
    },
    required_if=[("state", "present", ["repository"])],
    needs=needs.all_of(needs.given("Git", needs.DATA, "repository"), needs.recorded()),
)


class Bundle:
    """A bundle's two files and the scratch directory that belongs to them."""

    def __init__(self, params: Params) -> None:
        """Take the options. Raises Refused for a name that leads elsewhere."""
        self.name: str = params["name"]
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise Refused(failed("make", f"bundle {self.name!r}", "it is no file name", "Use letters, digits and ._-"))
        directory = Path(params["directory"]).expanduser()
        self.directory = directory
        self.bundle = directory / f"{self.name}.bundle"
        self.facts = directory / f"{self.name}.json"
        self.writing = directory / f".{self.name}.bundle.writing"
        self.timeout: float = params["timeout"]
        base = Path(params["scratch_directory"] or tempfile.gettempdir()).expanduser()
        mark = hashlib.sha256(str(self.bundle.absolute()).encode()).hexdigest()[:12]
        self._scratch = base / f"dr-git-bundle-{os.getuid()}-{mark}"

    @contextlib.contextmanager
    def scratch(self) -> t.Iterator[Path]:
        """Hold the scratch directory, empty: what a killed run left there is removed. It is removed at the end, too."""
        try:
            self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._scratch, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            what = f"scratch directory {self._scratch}"
            raise RecoveryError(failed("make", what, error, "Set scratch_directory.")) from error
        try:
            if os.fstat(handle).st_uid != os.getuid():
                raise Refused(failed("use", f"scratch directory {self._scratch}", "it is another user's", "Remove it."))
            self._lock(handle)
            self._empty()
            yield self._scratch
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._empty()
            os.close(handle)

    def _lock(self, handle: int) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(failed("use", str(self.bundle), "another run works on it", "Let it finish.")) from None

    def _empty(self) -> None:
        for path in self._scratch.iterdir():
            shutil.rmtree(path)


def run(params: Params, check_mode: bool) -> Result:
    """Make and prove a bundle, or prove the one that is there."""
    files = Bundle(params)
    with files.scratch() as scratch:
        source = _source(params, scratch) if params["repository"] else None
        if params["state"] == "proven":
            return _proven(files, source, params, scratch)
        if source is None:
            raise Refused(failed("make", str(files.bundle), "repository is not set", "Set it."))
        return _present(files, source, params, scratch, check_mode)


def _source(params: Params, scratch: Path) -> Git:
    """Return the repository; one that is not a directory here is mirrored into scratch first. Raises RecoveryError."""
    named: str = params["repository"]
    path = Path(named).expanduser()
    if path.is_dir():
        git = Git(path, params["timeout"])
    elif "://" in named or re.match(r"[^/]+:", named):
        if re.search(r"://[^/@]*:[^/@]*@", named):
            remedy = "Use a credential helper or an SSH key."
            raise Refused(failed("read", "the repository", "its URL holds a password", remedy))
        Git(scratch, params["timeout"], remote=True).line("clone", "-q", "--mirror", "--", named, "source")
        git = Git(scratch / "source", params["timeout"])
    else:
        raise RecoveryError(failed("read", f"repository {named}", "there is no such directory", "Name it or its URL."))
    if not git.says("rev-parse", "--git-dir"):
        raise RecoveryError(failed("read", f"repository {named}", "it is no Git repository", "Name another."))
    return git


def _present(files: Bundle, source: Git, params: Params, scratch: Path, check_mode: bool) -> Result:
    refs, head = _require_whole(source, params["repository"]), head_of(source)
    old = _facts_of(files)
    findings = _findings(source, params["allowed"])
    if old and _is_current(files, old, refs, head):
        problems, _restored = prove(files.bundle, old, scratch, params["timeout"])
        if not problems:
            return _result(files, old, findings, [], False, old)
    if check_mode:
        predicted = Facts(to_iso(utc_now()), params["repository"], _format(source), head, refs, 0, 0, "")
        return _result(files, predicted, findings, ["not made in check mode"], True, old)
    facts = _make(files, source, params, scratch)
    return _result(files, facts, findings, [], True, old)


def _make(files: Bundle, source: Git, params: Params, scratch: Path) -> Facts:
    """Write the bundle beside its place, clone from it, compare with the source, and only then rename it."""
    try:
        files.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise RecoveryError(failed("make", str(files.directory), error)) from error
    before = refs_of(source)
    try:
        source.line("bundle", "create", "-q", str(files.writing.absolute()), "--all")
        restored = clone(files.writing.absolute(), _format(source), scratch, params["timeout"])
        refs = refs_of(restored)
        # The repository may move meanwhile: each ref must be as it was before or as it is after.
        after = refs_of(source)
        wanted = {name: value for name, value in before.items() if after.get(name) == value}
        if wrong := [told for told in differences(wanted, refs, "the bundle") if not told.startswith("extra")]:
            raise RecoveryError(failed("make", str(files.bundle), "; ".join(wrong), "Run it again."))
        size, digest = size_and_digest(files.writing)
        facts = Facts(
            to_iso(utc_now()),
            params["repository"],
            _format(source),
            head_of(restored),
            refs,
            count_objects(restored),
            size,
            digest,
        )
        _keep(files, facts)
    except OSError as error:
        raise RecoveryError(failed("write", str(files.bundle), error, "Make room.")) from error
    finally:
        files.writing.unlink(missing_ok=True)
    return facts


def _keep(files: Bundle, facts: Facts) -> None:
    """Put both files in place. A run that is killed in between leaves a bundle that its facts contradict."""
    beside = files.facts.with_name(f".{files.facts.name}.writing")
    beside.write_bytes(facts.to_bytes())
    for path in (files.writing, beside):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    os.replace(files.writing, files.bundle)
    os.replace(beside, files.facts)


def _proven(files: Bundle, source: Git | None, params: Params, scratch: Path) -> Result:
    try:
        facts = Facts.read(files.facts)
    except RecoveryError as error:
        return _result(files, None, [], [], False, None, [str(error)])
    findings: list[str] = []
    try:
        problems, restored = prove(files.bundle, facts, scratch, params["timeout"])
        if restored is not None:
            findings = _findings(restored, params["allowed"])
    except TimedOut as error:
        return _result(files, facts, findings, [str(error)], False, facts)
    if source is not None:
        problems += [f"stale: {told}" for told in differences(refs_of(source), facts.refs, "the bundle")]
    return _result(files, facts, findings, [], False, facts, problems)


def _require_whole(source: Git, named: str) -> dict[str, str]:
    """Return the refs. Raises Refused for a repository that has not all of its history, or none."""
    refs = refs_of(source)
    cause = ""
    if source.line("rev-parse", "--is-shallow-repository") == "true":
        cause, remedy = "it is shallow: history is missing", "Run git fetch --unshallow there."
    elif source.says("config", "--get-regexp", r"^(extensions\.partialclone|remote\..*\.promisor)$"):
        cause, remedy = "it is a partial clone: objects are missing", "Clone it again without --filter."
    elif not refs:
        cause, remedy = "it is empty", "Name the repository that has the configuration."
    if cause:
        raise Refused(failed("bundle", f"repository {named}", cause, remedy))
    return refs


def _findings(git: Git, allowed: list[str]) -> list[str]:
    """Name what the bundle lacks although the repository's users would miss it."""
    told = []
    bare = git.line("rev-parse", "--is-bare-repository") == "true"
    changed = [] if bare else list(git.lines("-c", "core.quotePath=false", "status", "--porcelain"))
    if changed and "dirty" not in allowed:
        told.append(f"dirty: {_some([line[3:] for line in changed])} not committed, so not in the bundle")
    elsewhere = not_contained(git)
    if elsewhere["submodules"] and "submodules" not in allowed:
        told.append(f"submodules: {_some(elsewhere['submodules'])} not in the bundle: back them up themselves")
    if elsewhere["lfs"] and "lfs" not in allowed:
        told.append(f"lfs: files that {_some(elsewhere['lfs'])} name are only pointers in the bundle")
    return told


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _format(git: Git) -> str:
    return git.line("rev-parse", "--show-object-format")


def _facts_of(files: Bundle) -> Facts | None:
    with contextlib.suppress(RecoveryError):
        return Facts.read(files.facts)
    return None


def _is_current(files: Bundle, old: Facts, refs: dict[str, str], head: dict[str, str]) -> bool:
    return files.bundle.is_file() and old.refs == refs and old.head["object"] == head["object"]


def _result(
    files: Bundle,
    facts: Facts | None,
    findings: list[str],
    unverified: list[str],
    changed: bool,
    old: Facts | None,
    problems: list[str] | None = None,
) -> Result:
    told = [*(problems or []), *findings]
    outcome = "failed" if told else "unverified" if unverified else "passed"
    values: dict[str, t.Any] = asdict(facts) if facts else dict.fromkeys(Facts.__dataclass_fields__)
    values.update(refs=values["refs"] or {}, head=values["head"] or {"ref": "", "object": ""})
    now = values["refs"] if changed else (old.refs if old else {})
    return {
        "changed": changed,
        "outcome": outcome,
        "problems": told,
        "unverified": unverified,
        "bundle": str(files.bundle),
        **values,
        "diff": {"before": {"refs": old.refs if old else {}}, "after": {"refs": now}},
        "evidence": {
            "outcome": outcome,
            "problems": told,
            "refs": len(values["refs"]),
            "head": values["head"],
            "digest": values["digest"],
            "objects": values["objects"],
        },
    }
