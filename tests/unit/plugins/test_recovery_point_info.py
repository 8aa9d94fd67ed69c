"""recovery_point_info against real stores: what it lists, and each thing that it has to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.recovery_points_support import Vault, make_key, make_tree
from tests.unit.servers import S3Server
from tests.unit.tcp_proxy import TcpProxy

DAY = 86400.0


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def vault(s3_server: S3Server, tmp_path: Path) -> Vault:
    return Vault(s3_server, tmp_path)


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[TcpProxy]:
    proxy = TcpProxy(s3_server.endpoint_url)
    yield proxy
    proxy.close()


def look(vault: Vault, **more: Any) -> dict[str, Any]:
    found = run_action("recovery_point_info", vault.looking(**more))
    assert not found.get("failed"), found
    return found


def kinds(found: dict[str, Any], level: str | None = None) -> set[str]:
    return {one["kind"] for one in found["findings"] if level in (None, one["level"])}


def prove(vault: Vault, identifier: str, outcome: str = "passed", run: str = "run-1") -> str:
    found = run_action("recovery_point", vault.recording(identifier, run, proof={"outcome": outcome}))
    assert not found.get("failed"), found
    return f"{vault.service}/{vault.component}/{identifier}/proofs/{found['proof']}"


def test_what_was_taken_and_proven_is_listed_and_passes(both: BothWays, vault: Vault, tmp_path: Path) -> None:
    old = vault.seal(7200, facts={"window": {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}})
    tree = make_tree(tmp_path / "tree", {b"a": b"1", b"new\nline \xff": b"22", b"back\\slash/x": b"333"})
    taken = run_action("recovery_point", vault.taking(tree, facts={"kind": "git"}))
    prove(vault, taken["id"])
    found = both("recovery_point_info", vault.looking())
    assert not found.get("failed"), found
    assert (found["outcome"], found["findings"], found["changed"]) == ("passed", [], False)
    newest, older = found["points"]
    assert (newest["id"], newest["kind"], newest["bytes"], newest["count"]) == (taken["id"], "git", 6, 3)
    assert [(copy["store"], copy["state"]) for copy in newest["copies"]] == [("east", "complete"), ("west", "complete")]
    assert (newest["proof"]["outcome"], newest["proof"]["run"]) == ("passed", "run-1")
    assert (older["id"], older["window"]["to"], older["proof"]) == (old, "2026-01-02T00:00:00.000000Z", None)
    (component,) = found["components"]
    assert (component["newest"], component["usable_points"]) == (taken["id"], 2)
    assert component["window"]["from"].startswith("2026-01-01")
    assert (found["due"], found["proof_due"]) == ([], [])
    assert "shop/configuration" in found["table"] and found["table"].startswith("PASSED")


def _nothing(vault: Vault, _newest: str) -> None:
    for number in (0, 1):
        for key in vault.keys(number):
            vault.remove(number, key)


def _cut(name: str, number: int = 0) -> Callable[[Vault, str], None]:
    return lambda vault, newest: vault.remove(number, f"shop/configuration/{newest}/{name}")


def _write(name: str, body: bytes, number: int = 0) -> Callable[[Vault, str], None]:
    return lambda vault, newest: vault.put(number, f"shop/configuration/{newest}/{name}", body)


def _signed(body: bytes) -> Callable[[Vault, str], None]:
    def write(vault: Vault, newest: str) -> None:
        from ansible_collections.terragon.disaster_recovery.plugins.module_utils.signatures import sign

        vault.put(0, f"shop/configuration/{newest}/manifest.json", body)
        vault.put(0, f"shop/configuration/{newest}/manifest.json.sig", sign(body, vault.signing_key))

    return write


def _foreign(vault: Vault, newest: str) -> None:
    other = vault.seal(0, component="other", numbers=(0,))
    for name in ("manifest.json", "manifest.json.sig", "files/file"):
        body = vault.store().get(f"shop/other/{other}/{name}").body
        vault.put(0, f"shop/configuration/{newest}/{name}", body)


def _stranger_signed(vault: Vault, newest: str) -> None:
    from ansible_collections.terragon.disaster_recovery.plugins.module_utils.signatures import sign

    other, _public = make_key(vault.directory, "other")
    body = vault.store().get(f"shop/configuration/{newest}/manifest.json").body
    vault.put(0, f"shop/configuration/{newest}/manifest.json.sig", sign(body, other))


def _other_content(vault: Vault, newest: str) -> None:
    again = Vault(vault.server, vault.directory / "again", run=vault.run)
    again.signing_key = vault.signing_key
    other = again.seal(0, content=b"another", numbers=(1,))
    import json

    from ansible_collections.terragon.disaster_recovery.plugins.module_utils.checksums_manifest import Manifest
    from ansible_collections.terragon.disaster_recovery.plugins.module_utils.signatures import sign

    there = Manifest.parse(vault.store(1).get(f"shop/configuration/{other}/manifest.json").body)
    body = Manifest({**there.subject, "id": newest}, {}, there.files, "sha256", there.created).to_bytes()
    assert json.loads(body)["subject"]["id"] == newest
    vault.put(1, f"shop/configuration/{newest}/manifest.json", body)
    vault.put(1, f"shop/configuration/{newest}/manifest.json.sig", sign(body, vault.signing_key))
    vault.put(1, f"shop/configuration/{newest}/files/file", b"another")
    for name in ("manifest.json", "manifest.json.sig", "files/file"):
        vault.remove(1, f"shop/configuration/{other}/{name}")


def _leftovers(vault: Vault, _newest: str) -> None:
    vault.put(0, "shop/configuration/20260101T000000Z-0123abcd/files/x", b"half")


def _stranger(vault: Vault, _newest: str) -> None:
    vault.put(0, "shop/configuration/latest/files/x", b"x")


def _future(vault: Vault, _newest: str) -> None:
    vault.seal(-7200)


@pytest.mark.parametrize(
    ("defect", "kind", "level"),
    [
        (_nothing, "no_point", "failed"),
        (_cut("files/file"), "incomplete_copy", "failed"),
        (_write("files/more", b"x"), "incomplete_copy", "failed"),
        (_write("files/file", b"short"), "incomplete_copy", "failed"),
        (_cut("manifest.json"), "too_few_copies", "failed"),
        (_cut("manifest.json.sig"), "signature_invalid", "failed"),
        (_write("manifest.json.sig", b"x" * 64), "signature_invalid", "failed"),
        (_write("manifest.json", b"{}"), "signature_invalid", "failed"),
        (_stranger_signed, "signature_invalid", "failed"),
        (_signed(b"{}"), "manifest_unparsable", "failed"),
        (_foreign, "foreign_manifest", "failed"),
        (_other_content, "copies_differ", "failed"),
        (_future, "future_point", "failed"),
        (_leftovers, "leftovers", "notice"),
        (_stranger, "strangers", "notice"),
    ],
)
def test_each_defect_is_found_and_named(
    vault: Vault, defect: Callable[[Vault, str], None], kind: str, level: str
) -> None:
    (vault.directory / "again").mkdir()
    newest = vault.seal(60)
    prove(vault, newest)
    before = look(vault)
    assert (before["outcome"], before["findings"]) == ("passed", [])
    defect(vault, newest)
    found = look(vault)
    assert kind in kinds(found, level)
    assert found["outcome"] == {"notice": "passed"}.get(level, level)
    named = [one for one in found["findings"] if one["kind"] == kind]
    assert all(one["text"] and one["component"] == "configuration" for one in named)


def test_no_half_point_counts(vault: Vault) -> None:
    good = vault.seal(3000)
    half = vault.seal(60)
    for number in (0, 1):
        vault.remove(number, f"shop/configuration/{half}/files/file")
    found = look(vault)
    assert found["components"][0]["newest"] == good
    assert "overdue_backup" in kinds(found, "failed")
    assert [one["component"] for one in found["due"]] == ["configuration"]
    assert {point["id"]: point["usable"] for point in found["points"]} == {good: True, half: False}


@pytest.mark.parametrize(("ago", "due", "overdue"), [(60, False, False), (850, True, False), (2000, True, True)])
def test_a_backup_is_due_before_it_is_overdue(vault: Vault, ago: float, due: bool, overdue: bool) -> None:
    vault.seal(ago)
    found = look(vault)
    assert bool(found["due"]) is due
    assert ("overdue_backup" in kinds(found, "failed")) is overdue


def test_leftovers_that_stay_are_a_failure(vault: Vault) -> None:
    prove(vault, vault.seal(60))
    _leftovers(vault, "")
    assert look(vault, leftover_hours=1000)["outcome"] == "passed"
    found = look(vault, leftover_hours=-1)
    assert (found["outcome"], kinds(found)) == ("failed", {"leftovers"})
    (left,) = found["components"][0]["leftovers"]
    assert (left["store"], left["objects"], left["bytes"]) == ("east", 1, 4)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"endpoint_url": "http://127.0.0.1:9"}, "unreachable_store"),
        ({"bucket": "no-such-bucket"}, "unreachable_store"),
        ({"credentials_file": "wrong"}, "unreachable_store"),
    ],
)
def test_a_store_that_cannot_be_seen_is_unverified(
    both: BothWays, vault: Vault, tmp_path: Path, change: dict[str, str], kind: str
) -> None:
    if "credentials_file" in change:
        keys = "[default]\naws_access_key_id = AKIATESTTESTTEST0001\naws_secret_access_key = wrong\n"
        (tmp_path / "wrong").write_text(keys)
        change = {"credentials_file": str(tmp_path / "wrong")}
    newest = vault.seal(60)
    prove(vault, newest)
    found = both("recovery_point_info", vault.looking(stores=[vault.stores[0], {**vault.stores[1], **change}]))
    assert found["outcome"] == "unverified"
    assert kinds(found, "unverified") == {kind, "too_few_copies"}
    assert found["points"][0]["copies"][1]["state"] == "unreachable"
    gone = both("recovery_point_info", vault.looking(stores=[{**one, **change} for one in vault.stores]))
    assert gone["outcome"] == "failed" and "no_point" in kinds(gone)


@pytest.mark.parametrize("skew", [-600.0, 600.0])
def test_a_store_with_another_clock_is_unverified(vault: Vault, proxy: TcpProxy, skew: float) -> None:
    prove(vault, vault.seal(60))
    proxy.skew_seconds = skew
    found = look(vault, stores=[{**vault.stores[0], "endpoint_url": proxy.endpoint_url}, vault.stores[1]])
    assert (found["outcome"], kinds(found)) == ("unverified", {"clock_skew"})


def test_proofs_say_when_and_what(vault: Vault) -> None:
    older = vault.seal(600)
    never = look(vault)
    assert (never["outcome"], kinds(never)) == ("unverified", {"never_proven"})
    assert [one["id"] for one in never["proof_due"]] == [older]

    prove(vault, older, "failed", "run-1")
    failed = look(vault)
    assert kinds(failed, "failed") == {"failed_proof"} and failed["proof_due"] == []
    newest = vault.seal(30)
    assert [one["id"] for one in look(vault)["proof_due"]] == [newest]

    prove(vault, newest, "unverified", "run-2")
    assert kinds(look(vault)) == {"failed_proof", "unverified_proof"}
    key = prove(vault, newest, "passed", "run-3")
    passed = look(vault)
    assert (passed["outcome"], passed["proof_due"]) == ("passed", [])
    assert passed["components"][0]["last_proof"]["run"] == "run-3"

    body = vault.store().get(key).body
    for number in (0, 1):
        vault.put(number, key, body.replace(b'"passed"', b'"passes"'))
    forged = look(vault)
    assert "proof_invalid" in kinds(forged, "failed")
    assert forged["components"][0]["last_proof"]["run"] == "run-1"


def test_a_proof_of_another_point_proves_nothing(vault: Vault) -> None:
    proven, other = vault.seal(600), vault.seal(60)
    key = prove(vault, proven)
    for ending in ("", ".sig"):
        vault.put(0, key.replace(proven, other) + ending, vault.store().get(key + ending).body)
    assert "proof_invalid" in kinds(look(vault), "failed")


def test_a_proof_gets_old(vault: Vault) -> None:
    prove(vault, vault.seal(60))
    components = [{**vault.looking()["components"][0], "prove_every_seconds": 1}]
    assert look(vault)["outcome"] == "passed"
    from tests.unit.servers import eventually

    eventually(lambda: "overdue_proof" in kinds(look(vault, components=components), "failed"), "the proof to be old")
    vault.seal(5 * DAY)
    for key in [one for one in vault.keys(0) + vault.keys(1) if "/proofs/" in one]:
        for number in (0, 1):
            vault.remove(number, key)
    assert "overdue_proof" in kinds(look(vault), "failed")


def test_a_cache_is_asked_first_and_believes_no_other_key(vault: Vault, tmp_path: Path) -> None:
    prove(vault, vault.seal(60))
    cache = str(tmp_path / "cache" / "seals.sqlite")
    first, second = look(vault, cache=cache), look(vault, cache=cache)
    assert sum(second["calls"].values()) == sum(first["calls"].values()) - 2
    assert {**second, **dict.fromkeys(("calls", "seconds", "points", "components", "evidence", "table"))} == {
        **first,
        **dict.fromkeys(("calls", "seconds", "points", "components", "evidence", "table")),
    }
    _other, public = make_key(tmp_path, "other")
    assert "signature_invalid" in kinds(look(vault, cache=cache, public_keys=[public]), "failed")


INFO = {
    "name": "main", "status": {"code": 0, "message": "ok"}, "cipher": "aes-256-cbc",
    "db": [{"id": 1, "repo-key": 1, "system-id": 7, "version": "15"}],
    "repo": [{"key": 1, "cipher": "aes-256-cbc", "status": {"code": 0, "message": "ok"}}],
    "archive": [{"database": {"id": 1, "repo-key": 1}, "id": "15-1", "min": "0" * 24, "max": "0" * 24}],
}  # fmt: skip


def _backup(label: str, stop: float, error: bool = False) -> dict[str, Any]:
    return {
        "label": label, "type": "full", "timestamp": {"start": int(stop) - 5, "stop": int(stop)}, "error": error,
        "archive": {"start": "0" * 24, "stop": "0" * 24}, "database": {"id": 1, "repo-key": 1},
        "info": {"size": 1000, "delta": 1000, "repository": {"size": 300, "delta": 300}},
    }  # fmt: skip


def test_points_of_pgbackrest_are_listed_with_their_windows(both: BothWays, vault: Vault) -> None:
    import datetime as dt

    now = dt.datetime.now(dt.UTC)
    label = "20260101-000000F"
    document = {**INFO, "backup": [_backup(label, now.timestamp() - 4000)]}
    vault.component = "database"
    component = {**vault.looking()["components"][0], "kind": "pgbackrest"}
    entry = {"service": "shop", "repository": "repo1", "region": "us-east-1", "documents": [document]}
    until = (now - dt.timedelta(seconds=20)).isoformat()

    def ask(*entries: dict[str, Any]) -> dict[str, Any]:
        return both("recovery_point_info", vault.looking(components=[component], pgbackrest=list(entries)))

    silent = ask()
    assert (silent["outcome"], kinds(silent)) == ("unverified", {"not_observed"})
    fresh = {**entry, "archived_until": until}
    run_action("recovery_point", vault.recording(label))
    good = ask(fresh, {**fresh, "repository": "repo2"})
    assert (good["outcome"], good["findings"]) == ("passed", []), good["findings"]
    (point,) = good["points"]
    assert (point["id"], point["bytes"], point["proof"]["outcome"]) == (label, 1000, "passed")
    assert point["window"]["to"] > point["window"]["from"]
    assert kinds(ask(fresh), "failed") == {"too_few_copies"}
    assert kinds(ask(fresh, {**entry, "repository": "repo2"}), "failed") == {"too_few_copies", "overdue_backup"}
    away = ask(fresh, {**entry, "repository": "repo2", "documents": [], "error": "no route"})
    assert (away["outcome"], kinds(away)) == ("unverified", {"too_few_copies", "unreachable_store"})
    damaged = {**INFO, "backup": [_backup(label, now.timestamp() - 60, error=True)]}
    assert "incomplete_copy" in kinds(ask(fresh, {**fresh, "repository": "repo2", "documents": [damaged]}), "failed")
    broken = ask({**entry, "documents": [{"name": "main"}]})
    assert broken["failed"] and "Refused what pgbackrest said" in broken["msg"]
    for number in (0, 1):  # a proof of another backup proves nothing of this one
        for key in [one for one in vault.keys(number) if label in one]:
            body = vault.store(number).get(key).body
            vault.remove(number, key)
            vault.put(number, key.replace(label, "20260102-000000F"), body)
    moved = {**document, "backup": [_backup("20260102-000000F", now.timestamp() - 4000)]}
    assert "proof_invalid" in kinds(ask({**fresh, "documents": [moved]}), "failed")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"components": []}, "none is given"),
        ({"components": [{"service": "shop", "component": "x"}]}, "every_seconds"),
        ({"components": [{"component": "x", "every_seconds": 1}]}, "Refused service"),
        ({"public_keys": ["/nonexistent.pem"]}, "/nonexistent.pem"),
        ({"stores": []}, "Refused stores"),
    ],
)
def test_bad_options_are_named(both: BothWays, vault: Vault, change: dict[str, Any], says: str) -> None:
    found = both("recovery_point_info", vault.looking(**change))
    assert found["failed"] and says in found["msg"]


def test_a_thousand_points_take_few_calls(vault: Vault, tmp_path: Path) -> None:
    count = 1000
    vault.put = vault.put_quickly  # type: ignore[method-assign]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: vault.seal(60 + number * 900), range(count)))
    cache = str(tmp_path / "seals.sqlite")
    cold = look(vault, cache=cache)
    assert len(cold["points"]) == count and all(point["usable"] for point in cold["points"])
    # 3,000 objects are three pages (and the end of one); each seal is read once, though it is in both stores.
    assert cold["calls"]["east"] + cold["calls"]["west"] <= 2 * count + 10
    warm = look(vault, cache=cache)
    assert len(warm["points"]) == count
    assert sum(warm["calls"].values()) <= 10
