"""secrets_backup against two real Kubernetes APIs of the lab and an AWS, as a module and as an action."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.age_files import Identities, Recipients
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.encrypted_backup import open_and_prove
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.encrypted_backup_index import (
    INDEX,
    SEALED,
    Index,
)

from tests.unit.lab.kubernetes_server import running
from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.secrets_support import (
    NAMESPACE,
    SECRET,
    SECRETS,
    Region,
    age,
    aws_of,
    client_of,
    leaks,
    moto_server,
    new_key,
    secret,
)

KEYS = {
    "changed", "directory", "outcome", "problems", "unverified", "recipients", "items", "added", "updated", "removed",
    "diff", "evidence",
}  # fmt: skip
DB, TLS = f"kubernetes/{NAMESPACE}/db", f"kubernetes/{NAMESPACE}/tls"


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[tuple[Region, Region]]:
    one, other = tmp_path_factory.mktemp("east"), tmp_path_factory.mktemp("west")
    with running(one) as east, running(other) as west:
        yield Region(east, one), Region(west, other)


@pytest.fixture(scope="module")
def aws_url() -> t.Iterator[str]:
    with moto_server() as url:
        yield url


class Backup:
    """One backup with its options."""

    def __init__(self, both: BothWays, east: Region, west: Region, directory: Path) -> None:
        self.both, self.east, self.west = both, east, west
        self.directory, self.key = directory / "backup", directory / "age.key"
        self.recipient = new_key(self.key)

    def do(self, state: str, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        given: dict[str, t.Any] = {"state": state, "directory": str(self.directory), "namespaces": [NAMESPACE]}
        if state == "present":
            given |= {"recipients": [self.recipient], "kubernetes": self.east.connection}
        else:
            given["identity_file"] = str(self.key)
        if state == "restored":
            given["kubernetes"] = self.west.connection
        result = self.both("secrets_backup", {**given, **options}, check)
        if not result.get("failed"):
            assert set(result) >= KEYS
        return result

    def path(self, name: str) -> Path:
        return self.directory / f"kubernetes/{NAMESPACE}/{name}.age"


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def backup(both: BothWays, regions: tuple[Region, Region], tmp_path: Path) -> Backup:
    east, west = regions
    east.fresh()
    west.fresh()
    east.put(secret("db", {"password": SECRET, "user": "app"}, labels={"tier": "1"}))
    east.put(secret("tls", {"tls.crt": "certificate", "tls.key": SECRET}, "kubernetes.io/tls"))
    annotations = {"kubernetes.io/service-account.name": "default"}
    east.put(secret("token", {"token": SECRET}, "kubernetes.io/service-account-token", annotations=annotations))
    return Backup(both, east, west, tmp_path)


def test_taken_proven_restored(backup: Backup) -> None:
    check = backup.do("present", check=True)
    assert (check["changed"], backup.directory.exists()) == (True, False)
    taken = backup.do("present")
    assert not taken.get("failed"), taken
    assert taken["added"] == check["added"] == [DB, TLS]
    assert taken["outcome"] == "unverified"
    assert [item["keys"] for item in taken["items"]] == [["password", "user"], ["tls.crt", "tls.key"]]
    proven = backup.do("proven", compare_live=True, kubernetes=backup.east.connection)
    assert (proven["outcome"], proven["problems"], proven["unverified"]) == ("passed", [], [])
    predicted = backup.do("restored", check=True)
    assert (predicted["changed"], predicted["added"], backup.west.data()) == (True, [DB, TLS], {})
    restored = backup.do("restored")
    assert restored["added"] == [DB, TLS], restored
    east = {name: data for name, data in backup.east.data().items() if name != "token"}
    assert backup.west.data() == east
    again = backup.do("restored")
    assert (again["changed"], again["added"], again["updated"]) == (False, [], [])


def test_unchanged_is_left_alone_and_the_rest_follows(backup: Backup) -> None:
    backup.do("present")
    before = {path: path.stat().st_mtime_ns for path in backup.directory.rglob("*.age")}
    again = backup.do("present")
    assert (again["changed"], again["added"], again["updated"], again["removed"]) == (False, [], [], [])
    assert again["diff"]["before"] == again["diff"]["after"]
    assert before == {path: path.stat().st_mtime_ns for path in backup.directory.rglob("*.age")}
    backup.east.put(secret("db", {"password": "another"}))
    backup.east.server.send("DELETE", f"{SECRETS}/tls")
    backup.east.put(secret("new", {"a": "b"}))
    for check in (True, False):
        result = backup.do("present", check=check)
        assert (result["added"], result["updated"], result["removed"]) == ([f"kubernetes/{NAMESPACE}/new"], [DB], [TLS])
    assert not backup.path("tls").exists()
    assert backup.do("proven")["outcome"] == "passed"


def test_other_recipients_encrypt_anew(backup: Backup, tmp_path: Path) -> None:
    backup.do("present")
    second = new_key(tmp_path / "second.key")
    result = backup.do("present", recipients=[backup.recipient, second])
    assert result["updated"] == [DB, TLS]
    for key in (backup.key, tmp_path / "second.key"):
        assert backup.do("proven", identity_file=str(key))["outcome"] == "passed"


#: What would not go to a recipient, and what the refusal says.
NO_RECIPIENTS = [
    pytest.param([], "there is no recipient", id="none"),
    pytest.param(["age1qqqq"], "age1qqqq", id="broken"),
    pytest.param(["ssh-ed25519 AAAA"], "number 1", id="another-kind"),
]


@pytest.mark.parametrize(("recipients", "told"), NO_RECIPIENTS)
def test_nothing_is_written_without_a_recipient(backup: Backup, recipients: list[str], told: str) -> None:
    result = backup.do("present", recipients=recipients)
    assert result["failed"]
    assert told in result["msg"]
    assert not backup.directory.exists()


def test_a_secret_key_among_the_recipients_is_not_repeated(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    key = (tmp_path / "key").read_text().split()[-1]
    with pytest.raises(Exception, match="it is a secret key") as refused:
        Recipients([key])
    assert key not in str(refused.value)


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def edit_index(backup: Backup, change: t.Callable[[dict[str, t.Any]], object]) -> None:
    index = json.loads((backup.directory / INDEX).read_text())
    change(index)
    (backup.directory / INDEX).write_text(json.dumps(index))


def swap(backup: Backup) -> None:
    one, other = backup.path("db"), backup.path("tls")
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)


def swap_with_the_index(backup: Backup) -> None:
    swap(backup)

    def exchange(index: dict[str, t.Any]) -> None:
        one, other = index["entries"]
        for name in ("size", "digest"):
            one[name], other[name] = other[name], one[name]

    edit_index(backup, exchange)


def take_out(backup: Backup) -> None:
    backup.path("tls").unlink()
    edit_index(backup, lambda index: (index["entries"].pop(), index.update(count=1)))


def bring_back_an_older_one(backup: Backup) -> None:
    old = backup.path("db").read_bytes()
    backup.east.put(secret("db", {"password": "another"}))
    assert backup.do("present")["updated"] == [DB]
    backup.path("db").write_bytes(old)


def forge(backup: Backup) -> None:
    """What anybody can make who knows the public key."""
    backup.path("db").write_bytes(Recipients([backup.recipient]).encrypt(b'{"kind": "Secret"}'))


def lose_the_key(backup: Backup) -> None:
    backup.key.unlink()


def another_key(backup: Backup) -> None:
    new_key(backup.key)


def garble_the_key(backup: Backup) -> None:
    backup.key.write_text("AGE-SECRET-KEY-1" + SECRET)


# how it is broken, the outcome, what is said
DEFECTS = [
    ("lost-key", lose_the_key, "unverified", "No such file"),
    ("open-key", lambda one: one.key.chmod(0o640), "unverified", "chmod 600"),
    ("garbled-key", garble_the_key, "unverified", "no X25519 secret key"),
    ("wrong-identity", another_key, "failed", "wrong identity"),
    ("truncated", lambda one: os.truncate(one.path("db"), 250), "failed", f"{DB}: truncated: 250 of"),
    ("empty", lambda one: os.truncate(one.path("db"), 0), "failed", f"{DB}: truncated: 0 of"),
    ("flipped-payload", lambda one: flip(one.path("db"), -3), "failed", f"{DB}: changed"),
    ("flipped-header", lambda one: flip(one.path("db"), 60), "failed", f"{DB}: changed"),
    ("swapped", swap, "failed", f"{DB}: swapped: the file holds {TLS}"),
    ("swapped-with-index", swap_with_the_index, "failed", f"{DB}: swapped: the file holds {TLS}"),
    ("stale", bring_back_an_older_one, "failed", f"{DB}: stale"),
    ("forged", forge, "failed", f"{DB}: changed: it decrypts, but is no envelope"),
    ("missing", lambda one: one.path("db").unlink(), "failed", f"{DB}: missing"),
    ("extra", lambda one: (one.path("db").with_name("x.age")).write_bytes(b"x"), "failed", "x.age: extra"),
    ("entry-taken-out", take_out, "failed", f"tampered index: {TLS} was taken out"),
    ("entry-changed",
     lambda one: edit_index(one, lambda index: index["entries"][0]["facts"]["keys"].append("more")),
     "failed", f"tampered index: {DB} was changed"),
    ("index-gone", lambda one: (one.directory / INDEX).unlink(), "failed", "there is no index"),
    ("index-garbled", lambda one: (one.directory / INDEX).write_text("{"), "failed", "it is no index"),
    ("sealed-index-gone", lambda one: (one.directory / SEALED).unlink(), "failed", "nothing vouches"),
    ("sealed-index-flipped", lambda one: flip(one.directory / SEALED, -3), "failed", "index.age: changed"),
    ("directory-gone", lambda one: shutil.rmtree(one.directory), "failed", "no such directory"),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "outcome", "told"), [pytest.param(*case[1:], id=case[0]) for case in DEFECTS])
def test_planted_defects(backup: Backup, plant: t.Callable[[Backup], object], outcome: str, told: str) -> None:
    backup.do("present")
    plant(backup)
    proven = backup.do("proven")
    assert not proven.get("failed"), proven
    assert proven["outcome"] == outcome
    reasons = proven["problems"] + proven["unverified"]
    assert any(told in reason for reason in reasons), reasons
    assert leaks(SECRET, json.dumps(proven)) == []
    refused = backup.do("restored", only=[DB] if DB in str(reasons) else [])
    if outcome == "unverified" or DB in str(reasons):
        assert refused["failed"]
        assert backup.west.data() == {}


def test_what_is_broken_is_put_right_by_the_next_run(backup: Backup) -> None:
    backup.do("present")
    flip(backup.path("db"), -3)
    backup.path("db.age").with_name("gone.age").write_bytes(b"left over")
    backup.path("db").with_name("db.age.writing").write_bytes(b"left by a killed run")
    (backup.directory / SEALED).unlink()
    (backup.directory / "notes.txt").write_text("not ours")
    result = backup.do("present")
    assert (result["updated"], result["changed"]) == ([DB], True)
    names = sorted(path.name for path in backup.directory.rglob("*") if path.is_file())
    assert names == ["db.age", "index.age", "index.json", "notes.txt", "tls.age"]


def test_broken_files_do_not_hold_up_the_others(backup: Backup) -> None:
    backup.do("present")
    flip(backup.path("tls"), -3)
    assert backup.do("restored")["failed"]
    result = backup.do("restored", only=[f"kubernetes/{NAMESPACE}/d*"])
    assert (result["added"], list(backup.west.data())) == ([DB], ["db"])


def test_what_is_live_is_compared(backup: Backup) -> None:
    backup.do("present")
    backup.east.put(secret("db", {"password": "another"}))
    backup.east.put(secret("new", {"a": "b"}))
    backup.east.server.send("DELETE", f"{SECRETS}/tls")
    proven = backup.do("proven", compare_live=True, kubernetes=backup.east.connection)
    assert proven["outcome"] == "failed"
    assert proven["problems"] == [
        f"{DB}: stale: what is live is not what was backed up",
        f"kubernetes/{NAMESPACE}/new: not backed up: it is live, and the index does not name it",
        f"{TLS}: stale: it is backed up, and is live no more",
    ]


def test_a_source_that_does_not_answer_is_unverified(backup: Backup, tmp_path: Path) -> None:
    backup.do("present")
    config = yaml.safe_load(Path(backup.east.connection["kubeconfig"]).read_text())
    config["clusters"][0]["cluster"]["server"] = "http://127.77.1.4:9"
    (tmp_path / "dead").write_text(yaml.safe_dump(config))
    dead = {"kubeconfig": str(tmp_path / "dead"), "timeout": 2}
    proven = backup.do("proven", compare_live=True, kubernetes=dead)
    assert (proven["outcome"], proven["problems"]) == ("unverified", [])
    assert "not compared" in proven["unverified"][0]
    before = sorted(backup.directory.rglob("*"))
    assert backup.do("present", kubernetes=dead)["failed"]
    assert sorted(backup.directory.rglob("*")) == before


# options that match nothing, what is said
EMPTY = [
    pytest.param({"namespaces": ["nowhere"]}, "no such namespace", id="namespace"),
    pytest.param({"label_selector": "tier=9"}, "there is no Secret as asked for", id="selector"),
    pytest.param({"types": ["kubernetes.io/service-account-token"]}, "there is no Secret as asked for", id="tokens"),
]


@pytest.mark.parametrize(("options", "told"), EMPTY)
def test_nothing_found_is_no_backup(backup: Backup, options: dict[str, t.Any], told: str) -> None:
    backup.do("present")
    result = backup.do("present", **options)
    assert result["failed"]
    assert told in result["msg"]
    assert backup.do("proven")["outcome"] == "passed"


def test_types_and_selectors_choose(backup: Backup) -> None:
    assert backup.do("present", types=["kubernetes.io/tls"])["added"] == [TLS]
    assert backup.do("present", label_selector="tier=1")["added"] == [DB]
    assert backup.do("present", excluded_types=["Opaque"])["added"] == [TLS]


def test_more_than_a_page(backup: Backup) -> None:
    for number in range(105):
        backup.east.put(secret(f"many-{number:03}", {"n": str(number)}))
    assert len(backup.do("present")["items"]) == 107


def test_a_namespace_that_is_missing_where_it_is_restored(backup: Backup) -> None:
    backup.do("present")
    backup.west.server.send("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
    for check in (True, False):
        result = backup.do("restored", check=check)
        assert result["failed"]
        assert f"Create namespace {NAMESPACE} there first" in result["msg"]
        assert leaks(SECRET, json.dumps(result)) == []


def test_the_value_is_nowhere(
    backup: Backup, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    written: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[t.Any, ...]) -> None:
        if watching and event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            written.append(str(arguments[0]))

    sys.addaudithook(hook)
    results = [backup.do("present"), backup.do("proven"), backup.do("restored"), backup.do("restored", check=True)]
    results += [backup.do("proven", compare_live=True, kubernetes=backup.east.connection)]
    flip(backup.path("db"), -3)
    results += [backup.do("proven"), backup.do("restored")]
    watching = False
    printed = capsys.readouterr()
    assert leaks(SECRET, backup.directory, json.dumps(results), printed.out, printed.err, caplog.text) == []
    assert leaks("AGE-SECRET-KEY", backup.directory, json.dumps(results), printed.out, printed.err) == []
    ours = [Path(name) for name in written if Path(name).is_file() and not name.startswith(("/dev/", "/proc/"))]
    assert leaks(SECRET, *ours) == []
    inside = {Path(name).name for name in written if str(backup.directory) in name}
    assert inside == {"db.age.writing", "tls.age.writing", "index.age.writing", "index.json.writing", "db.age"}
    files = [path for path in backup.directory.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o077 for path in [backup.directory, *files]} == {0}


@pytest.mark.skipif(shutil.which("age") is None, reason="the age program is not installed")
def test_age_reads_ours_and_we_read_its(backup: Backup) -> None:
    backup.do("present")
    plain = json.loads(age("-d", "-i", str(backup.key), str(backup.path("db"))))
    assert (plain["path"], plain["content"]["data"]) == (DB, backup.east.data()["db"])
    theirs = age("-r", backup.recipient, data=b"from the program")
    assert Identities(str(backup.key)).decrypt(theirs, "it") == b"from the program"
    index = Index.read(backup.directory)
    assert index is not None
    assert age("-d", "-i", str(backup.key), str(backup.directory / SEALED)) == index.body()


def test_secrets_and_parameters_of_aws(both: BothWays, aws_url: str, tmp_path: Path) -> None:
    home, away = aws_of(aws_url, tmp_path), aws_of(aws_url, tmp_path, "us-west-2")
    manager, ssm = client_of("secretsmanager", home), client_of("ssm", home)
    base = f"shop-{both.way}"
    manager.create_secret(Name=f"{base}/db", SecretString=SECRET)
    manager.create_secret(Name=f"{base}/binary", SecretBinary=SECRET.encode())
    ssm.put_parameter(Name=f"/{base}/key", Value=SECRET, Type="SecureString")
    ssm.put_parameter(Name=f"/{base}/deep/plain", Value="a,b", Type="StringList")
    recipient = new_key(tmp_path / "age.key")
    sources = {"secretsmanager_prefixes": [f"{base}/"], "ssm_paths": [f"/{base}"]}
    common = {"directory": str(tmp_path / "backup"), **sources}
    taken = both("secrets_backup", {**common, "recipients": [recipient], "aws": home})
    assert not taken.get("failed"), taken
    assert [item["path"] for item in taken["items"]] == [
        f"secretsmanager/{base}%2Fbinary",
        f"secretsmanager/{base}%2Fdb",
        f"ssm/%2F{base}%2Fdeep%2Fplain",
        f"ssm/%2F{base}%2Fkey",
    ]
    assert not both("secrets_backup", {**common, "recipients": [recipient], "aws": home})["changed"]
    opened = {**common, "identity_file": str(tmp_path / "age.key")}
    proven = both("secrets_backup", {**opened, "state": "proven", "compare_live": True, "aws": home})
    assert proven["outcome"] == "passed", proven
    check = both("secrets_backup", {**opened, "state": "restored", "aws": away}, check=True)
    restored = both("secrets_backup", {**opened, "state": "restored", "aws": away})
    assert len(check["added"]) == len(restored["added"]) == 4, restored
    assert not both("secrets_backup", {**opened, "state": "restored", "aws": away})["changed"]
    far_manager, far_ssm = client_of("secretsmanager", away), client_of("ssm", away)
    assert far_manager.get_secret_value(SecretId=f"{base}/db")["SecretString"] == SECRET
    assert far_manager.get_secret_value(SecretId=f"{base}/binary")["SecretBinary"] == SECRET.encode()
    got = far_ssm.get_parameter(Name=f"/{base}/key", WithDecryption=True)["Parameter"]
    assert (got["Value"], got["Type"]) == (SECRET, "SecureString")
    manager.put_secret_value(SecretId=f"{base}/db", SecretString="newer")
    proven = both("secrets_backup", {**opened, "state": "proven", "compare_live": True, "aws": home})
    assert proven["problems"] == [f"secretsmanager/{base}%2Fdb: stale: what is live is not what was backed up"]
    assert leaks(SECRET, tmp_path, json.dumps([taken, proven, restored])) == []
    none = both("secrets_backup", {**common, "recipients": [recipient], "aws": home, "ssm_paths": ["/nothing"]})
    assert "there is none" in none["msg"]


def test_killed_at_any_moment_the_next_run_converges(tmp_path: Path) -> None:
    """Kill a run that changes two items and drops one, before each of its renames and removals."""
    program = (
        "import sys, os; sys.path.insert(0, 'collections')\n"
        "from pathlib import Path\n"
        "from ansible_collections.terragon.disaster_recovery.plugins.module_utils import (\n"
        "    encrypted_backup_directory as d)\n"
        "at, version, names = int(sys.argv[1]), sys.argv[2], sys.argv[3].split(',')\n"
        "count = [0]\n"
        "def hook(event, arguments):\n"
        "    if event in ('os.rename', 'os.remove'):\n"
        "        count[0] += 1\n"
        "        if count[0] == at: os.kill(os.getpid(), 9)\n"
        "sys.addaudithook(hook)\n"
        "items = [d.Item(f'ssm/{n}', 'ssm', version, {'name': n}, {'name': n, 'value': version}) for n in names]\n"
        "d.write(Path(sys.argv[4]), iter(items), d.Recipients([sys.argv[5]]), ('ssm',), False)\n"
    )
    root, directory = Path(__file__).resolve().parents[3], tmp_path / "backup"
    recipient = new_key(tmp_path / "key")

    def run(at: int, version: str, names: str) -> int:
        places = [str(at), version, names, str(directory), recipient]
        return subprocess.run([sys.executable, "-c", program, *places], cwd=root, check=False).returncode

    def outcome() -> str:
        return open_and_prove(directory, str(tmp_path / "key"), lambda item: [])[1].outcome

    assert run(0, "1", "a,b,gone") == 0
    at, ended = 0, -9
    while ended == -9:
        at += 1
        shutil.rmtree(directory)
        assert run(0, "1", "a,b,gone") == 0
        ended = run(at, "2", "a,b")
        assert ended in (0, -9)
        assert outcome() == ("failed" if at <= 5 else "passed")  # four renames, and the file that is dropped
        assert run(0, "2", "a,b") == 0
        assert outcome() == "passed"
        assert sorted(path.name for path in (directory / "ssm").iterdir()) == ["a.age", "b.age"]
    assert at > 5
