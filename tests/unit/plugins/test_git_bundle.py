"""git_bundle with real repositories and git itself, as a module and as an action."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from tests.unit.plugins.both_ways import BothWays

KEYS = {
    "changed", "outcome", "problems", "unverified", "bundle", "created", "repository", "object_format", "head", "refs",
    "objects", "size", "digest", "diff", "evidence",
}  # fmt: skip
ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "a"), ("EMAIL", "a@b"))
    },
}


def git(where: Path, *arguments: str, data: bytes | None = None) -> str:
    command = ["git", "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(command, cwd=where, env=ENVIRONMENT, input=data, capture_output=True, check=True)
    return done.stdout.decode().strip()


def commit(where: Path, name: str, text: str) -> str:
    (where / name).write_text(text)
    git(where, "add", "--", name)
    git(where, "commit", "-q", "-m", f"Change {name}")
    return git(where, "rev-parse", "HEAD")


def repository(where: Path, object_format: str = "sha1") -> Path:
    """Two branches, two kinds of tags, a note, a file with an odd name."""
    where.mkdir()
    git(where, "init", "-q", "-b", "main", f"--object-format={object_format}")
    for number in range(3):
        commit(where, "settings.yml", f"replicas: {number}\n" + "# long\n" * 2000)
    git(where, "tag", "-a", "v1", "-m", "first")
    git(where, "tag", "light")
    git(where, "checkout", "-q", "-b", "next")
    commit(where, "a name\nwith ümläut", "x")
    git(where, "checkout", "-q", "main")
    git(where, "notes", "add", "-m", "a note")
    return where


class Case:
    """A repository, and where its bundle is."""

    def __init__(self, both: BothWays, directory: Path, object_format: str = "sha1") -> None:
        self.both = both
        self.source = repository(directory / "source", object_format)
        self.directory = directory / "backup"
        self.scratch = directory / "scratch"
        self.bundle = self.directory / "configuration.bundle"
        self.facts = self.directory / "configuration.json"

    def do(self, state: str, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        given = {"state": state, "directory": str(self.directory), "name": "configuration"}
        given["scratch_directory"] = str(self.scratch)
        if state == "present":
            given["repository"] = str(self.source)
        result = self.both("git_bundle", {**given, **options}, check)
        if not result.get("failed"):
            assert set(result) >= KEYS
        assert not [path for path in self.scratch.rglob("*") if path.is_file()]
        return result


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def case(both: BothWays, tmp_path: Path) -> Case:
    return Case(both, tmp_path)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_made_proven_and_left_alone(both: BothWays, tmp_path: Path, object_format: str) -> None:
    case = Case(both, tmp_path, object_format)
    check = case.do("present", check=True)
    assert (check["changed"], check["outcome"], case.bundle.exists()) == (True, "unverified", False)
    made = case.do("present")
    assert not made.get("failed"), made
    assert (made["changed"], made["outcome"], made["problems"]) == (True, "passed", [])
    assert made["refs"] == check["refs"]
    assert sorted(made["refs"]) == [
        "refs/heads/main", "refs/heads/next", "refs/notes/commits", "refs/tags/light", "refs/tags/v1",
    ]  # fmt: skip
    assert made["head"] == {"ref": "refs/heads/main", "object": git(case.source, "rev-parse", "HEAD")}
    assert (made["object_format"], made["size"]) == (object_format, case.bundle.stat().st_size)
    again = case.do("present")
    assert (again["changed"], again["digest"], again["outcome"]) == (False, made["digest"], "passed")
    assert again["diff"]["before"] == again["diff"]["after"]
    proven = case.do("proven", repository=str(case.source))
    assert (proven["outcome"], proven["problems"], proven["changed"]) == ("passed", [], False)
    git(tmp_path, "clone", "-q", str(case.bundle), "back")
    assert (tmp_path / "back/settings.yml").read_text() == (case.source / "settings.yml").read_text()
    commit(case.source, "more.yml", "y")
    assert case.do("present", check=True)["changed"]
    newer = case.do("present")
    assert (newer["changed"], newer["outcome"], newer["objects"]) == (True, "passed", made["objects"] + 3)


def test_bare_detached_and_mirrored(case: Case, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--mirror", str(case.source), "bare.git")
    bare = case.do("present", repository=str(tmp_path / "bare.git"))
    assert (bare["outcome"], bare["problems"]) == ("passed", [])
    url = case.do("present", repository=f"file://{tmp_path}/bare.git")
    assert (url["outcome"], url["changed"], url["refs"]) == ("passed", False, bare["refs"])
    alone = git(case.source, "rev-parse", "HEAD~1")
    git(case.source, "checkout", "-q", "--detach", alone)
    detached = case.do("present")
    assert (detached["outcome"], detached["problems"], detached["head"]["object"]) == ("passed", [], alone)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def as_new(case: Case, *what: str) -> None:
    """Another bundle, with facts that say it is the right one: what bundles a tool that is wrong, not a disk."""
    git(case.source, "bundle", "create", "-q", str(case.bundle), *what)
    facts = json.loads(case.facts.read_text())
    data = case.bundle.read_bytes()
    facts.update(size=len(data), digest=hashlib.sha256(data).hexdigest())
    case.facts.write_text(json.dumps(facts))


def edit_facts(case: Case, **values: t.Any) -> None:
    case.facts.write_text(json.dumps({**json.loads(case.facts.read_text()), **values}))


# how it is broken, what is said
DEFECTS = [
    ("truncated", lambda case: os.truncate(case.bundle, case.bundle.stat().st_size - 100), "truncated: "),
    ("only-a-header", lambda case: os.truncate(case.bundle, 400), "truncated: 400 of"),
    ("empty", lambda case: os.truncate(case.bundle, 0), "truncated: 0 of"),
    ("flipped-in-the-pack", lambda case: flip(case.bundle, -400), "changed: "),
    ("flipped-in-the-pack", lambda case: flip(case.bundle, -400), "not restorable: "),
    ("flipped-in-a-name", lambda case: flip(case.bundle, case.bundle.read_bytes().index(b"light")), "missing ref"),
    ("missing-ref", lambda case: as_new(case, "main", "v1"), "missing ref: refs/heads/next is not in the bundle"),
    ("thin", lambda case: as_new(case, "--all", "^main~2"), "prerequisite missing"),
    ("facts-of-another", lambda case: edit_facts(case, refs={"refs/heads/main": "0" * 40}), "different ref"),
    ("facts-counted-otherwise", lambda case: edit_facts(case, objects=1), "in place of 1"),
    ("facts-gone", lambda case: case.facts.unlink(), "no such file"),
    ("facts-garbled", lambda case: case.facts.write_text("{"), "no bundle's facts"),
    ("bundle-gone", lambda case: case.bundle.unlink(), "missing: there is no bundle"),
    ("no-bundle", lambda case: case.bundle.write_bytes(b"PK" * 5000), "not restorable"),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "told"), [pytest.param(*case[1:], id=case[0]) for case in DEFECTS])
def test_planted_defects(case: Case, plant: t.Callable[[Case], object], told: str) -> None:
    case.do("present")
    plant(case)
    proven = case.do("proven")
    assert not proven.get("failed"), proven
    assert proven["outcome"] == "failed"
    assert any(told in problem for problem in proven["problems"]), proven["problems"]
    healed = case.do("present")
    assert (healed["changed"], healed["outcome"]) == (True, "passed")
    assert case.do("proven")["outcome"] == "passed"


def test_a_stale_bundle_is_found_with_the_source(case: Case) -> None:
    case.do("present")
    new = commit(case.source, "settings.yml", "replicas: 9\n")
    git(case.source, "branch", "-D", "next")
    assert case.do("proven")["outcome"] == "passed"
    proven = case.do("proven", repository=str(case.source))
    assert proven["outcome"] == "failed"
    assert any(one.startswith("stale: different ref: refs/heads/main") and new in one for one in proven["problems"])
    assert "stale: extra ref: refs/heads/next is in the bundle" in proven["problems"]


def make_shallow(case: Case) -> str:
    git(case.source.parent, "clone", "-q", "--depth=1", f"file://{case.source}", "shallow")
    return str(case.source.parent / "shallow")


def make_partial(case: Case) -> str:
    git(case.source, "config", "uploadpack.allowFilter", "true")
    git(case.source.parent, "clone", "-q", "--bare", "--filter=blob:none", f"file://{case.source}", "partial")
    return str(case.source.parent / "partial")


def make_empty(case: Case) -> str:
    git(case.source.parent, "init", "-q", "empty")
    return str(case.source.parent / "empty")


REFUSED = [
    pytest.param(make_shallow, "it is shallow", id="shallow"),
    pytest.param(make_partial, "it is a partial clone", id="partial"),
    pytest.param(make_empty, "it is empty", id="empty"),
    pytest.param(lambda case: str(case.directory.parent), "it is no Git repository", id="no-repository"),
    pytest.param(lambda case: str(case.directory / "no"), "no such directory", id="nowhere"),
    pytest.param(lambda case: "https://me:pass-4711@127.0.0.1:9/x.git", "its URL holds a password", id="password"),
]


@pytest.mark.parametrize(("make", "told"), REFUSED)
def test_refused(case: Case, make: t.Callable[[Case], str], told: str) -> None:
    result = case.do("present", repository=make(case))
    assert result["failed"]
    assert told in result["msg"]
    assert "pass-4711" not in result["msg"]
    assert not case.bundle.exists()


def test_what_a_bundle_lacks_is_a_finding(case: Case, tmp_path: Path) -> None:
    (case.source / "settings.yml").write_text("not committed")
    (case.source / "new.yml").write_text("not added")
    dirty = case.do("present")
    assert (dirty["outcome"], dirty["changed"], case.bundle.exists()) == ("failed", True, True)
    assert dirty["problems"] == ["dirty: settings.yml, new.yml not committed, so not in the bundle"]
    assert case.do("present", allowed=["dirty"])["outcome"] == "passed"
    git(case.source, "checkout", "-q", "settings.yml")
    (case.source / "new.yml").unlink()
    repository(tmp_path / "other")
    git(case.source, "submodule", "--quiet", "add", str(tmp_path / "other"), "deep/other")
    (case.source / "deep/.gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    git(case.source, "add", ".")
    git(case.source, "commit", "-q", "-m", "more")
    for state in ("present", "proven"):
        told = case.do(state)["problems"]
        assert told == [
            "submodules: deep/other not in the bundle: back them up themselves",
            "lfs: files that deep/.gitattributes name are only pointers in the bundle",
        ]
    assert case.do("proven", allowed=["submodules", "lfs"])["outcome"] == "passed"


def test_the_repositorys_own_programs_do_not_run(case: Case, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    for name in ("core.fsmonitor", "core.sshCommand", "core.askPass"):
        git(case.source, "config", name, str(hook))
    for name in ("reference-transaction", "post-checkout", "post-index-change"):
        (case.source / ".git/hooks" / name).write_text(hook.read_text())
        (case.source / ".git/hooks" / name).chmod(0o755)
    (tmp_path / "ran").unlink(missing_ok=True)
    assert case.do("present")["outcome"] == "passed"
    assert not (tmp_path / "ran").exists()


def test_a_timeout_is_unverified(case: Case) -> None:
    case.do("present")
    proven = case.do("proven", timeout=0.0001)
    assert (proven["outcome"], proven["problems"]) == ("unverified", [])
    assert "Raise timeout" in proven["unverified"][0]


def test_killed_at_any_moment_the_next_run_converges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kill it before every fifth program and rename, the last ones of which are those that put the files in place."""
    case = Case(BothWays("action", capsys), tmp_path)
    program = (
        "import sys; sys.path.insert(0, 'collections')\n"
        "from ansible_collections.terragon.disaster_recovery.plugins.module_utils import git_bundle\n"
        "import os, sys\n"
        "at, real, n = int(sys.argv[1]), {}, [0]\n"
        "def hook(event, arguments):\n"
        "    if event in ('subprocess.Popen', 'os.rename'):\n"
        "        n[0] += 1\n"
        "        if n[0] == at: os.kill(os.getpid(), 9)\n"
        "sys.addaudithook(hook)\n"
        "git_bundle.run(dict(state='present', repository=sys.argv[2], directory=sys.argv[3], name='configuration',\n"
        "    allowed=[], scratch_directory=sys.argv[4], timeout=60.0), False)\n"
    )
    root = Path(__file__).resolve().parents[3]
    ended = -signal.SIGKILL
    at = 0
    while ended == -signal.SIGKILL:
        at += 5
        before = case.do("proven")["outcome"] if case.facts.exists() else None
        commit(case.source, "settings.yml", f"at: {at}\n")
        places = [str(at), str(case.source), str(case.directory), str(case.scratch)]
        ended = subprocess.run([sys.executable, "-c", program, *places], cwd=root, check=False).returncode
        if case.facts.exists() and before == "passed":
            assert case.do("proven")["outcome"] in ("passed", "failed")
        made = case.do("present")
        assert (made["outcome"], made["problems"]) == ("passed", [])
        assert sorted(path.name for path in case.directory.iterdir()) == ["configuration.bundle", "configuration.json"]
    assert ended == 0
    assert at > 12
