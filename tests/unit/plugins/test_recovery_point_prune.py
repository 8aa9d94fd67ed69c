"""recovery_point_prune against real stores: what goes, and what never does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.both_ways import BothWays, run_action
from tests.unit.plugins.recovery_points_support import Vault, make_key
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


def prune(vault: Vault, check: bool = False, **more: Any) -> dict[str, Any]:
    found = run_action("recovery_point_prune", vault.pruning(**more), check)
    assert not found.get("failed"), found
    return found


def gone(found: dict[str, Any], store: str = "east") -> set[str]:
    return {one["id"] for one in found["removed"] if one["store"] == store}


def kinds(found: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in found["findings"]}


def old(vault: Vault, count: int = 1, **more: Any) -> list[str]:
    """Points past their retention, the oldest first, and three young ones: the least that has to stay."""
    made = [vault.seal((40 + count - number) * DAY, **more) for number in range(count)]
    for number in range(3):
        vault.seal(60 + number * 900)
    return made


def test_what_is_past_its_retention_goes_and_the_rest_stays(both: BothWays, vault: Vault) -> None:
    expired = old(vault, 2)
    vault.service = "shop2"
    elsewhere = [vault.seal(90 * DAY)]
    vault.service = "shop"
    elsewhere.append(vault.seal(90 * DAY, component="configuration2"))
    before = [vault.keys(0), vault.keys(1)]
    planned = both("recovery_point_prune", vault.pruning(), check=True)
    assert [vault.keys(0), vault.keys(1)] == before
    found = both("recovery_point_prune", vault.pruning())
    assert not found.get("failed"), found
    assert set(planned) == set(found)
    for key in ("changed", "removed", "bytes", "stays", "diff", "outcome"):
        assert planned[key] == found[key], key
    assert gone(found) == gone(found, "west") == set(expired)
    assert {one["why"] for one in found["removed"]} == {"expired"}
    assert (found["changed"], found["outcome"], found["findings"]) == (True, "passed", [])
    assert found["bytes"] == sum(one["bytes"] for one in found["removed"]) > 0
    for number in (0, 1):
        assert [key for key in before[number] if not any(one in key for one in expired)] == vault.keys(number)
        assert any(elsewhere[0] in key for key in vault.keys(number))
    again = both("recovery_point_prune", vault.pruning())
    assert (again["changed"], again["removed"]) == (False, [])


def _minimum(vault: Vault) -> tuple[set[str], str]:
    made = [vault.seal((40 + number) * DAY) for number in range(5)]
    return set(made[:3]), "one of the 3 newest"


def _proven(vault: Vault) -> tuple[set[str], str]:
    made = old(vault, 3)
    for number, (identifier, outcome) in enumerate(zip(made, ("passed", "passed", "failed"), strict=True)):
        run_action("recovery_point", vault.recording(identifier, f"run-{number}", proof={"outcome": outcome}))
    return {made[1]}, "newest proven"


def _held(vault: Vault) -> tuple[set[str], str]:
    made = old(vault, 2)
    vault.put(1, f"shop/configuration/{made[0]}/hold.json", b"{}")  # one store's hold protects all copies
    return {made[0]}, "held"


@pytest.mark.parametrize("protect", [_minimum, _proven, _held])
def test_what_is_protected_stays_however_old(vault: Vault, protect: Callable[[Vault], tuple[set[str], str]]) -> None:
    kept, why = protect(vault)
    found = prune(vault)
    assert found["removed"] and not gone(found) & kept and not gone(found, "west") & kept
    assert {one["id"] for one in found["stays"] if why in one["why"]} == kept
    assert all(any(one in key for key in vault.keys(number)) for one in kept for number in (0, 1))


@pytest.mark.parametrize("what", ["no signature", "another key", "another point"])
def test_a_seal_that_is_not_understood_keeps_its_copy(vault: Vault, what: str) -> None:
    from ansible_collections.terragon.disaster_recovery.plugins.module_utils.signatures import sign

    (expired,) = old(vault)
    prefix = f"shop/configuration/{expired}/"
    if what == "no signature":
        vault.remove(0, prefix + "manifest.json.sig")
    elif what == "another key":
        body = vault.store().get(prefix + "manifest.json").body
        vault.put(0, prefix + "manifest.json.sig", sign(body, make_key(vault.directory, "other")[0]))
    else:
        other = vault.seal(50 * DAY, component="other")
        for name in ("manifest.json", "manifest.json.sig"):
            vault.put(0, prefix + name, vault.store().get(f"shop/other/{other}/{name}").body)
    found = prune(vault)
    assert (gone(found), gone(found, "west"), found["outcome"]) == (set(), {expired}, "failed")
    assert kinds(found) <= {"signature_invalid", "foreign_manifest"}
    assert any(expired in key for key in vault.keys(0))


def test_nothing_goes_while_a_store_cannot_be_asked(both: BothWays, vault: Vault) -> None:
    old(vault)
    stores = [vault.stores[0], {**vault.stores[1], "endpoint_url": "http://127.0.0.1:9"}]
    before = vault.keys(0)
    found = both("recovery_point_prune", vault.pruning(stores=stores))
    assert (found["changed"], found["removed"], found["outcome"]) == (False, [], "unverified")
    assert vault.keys(0) == before


def test_nothing_goes_from_a_store_with_another_clock(vault: Vault, proxy: TcpProxy) -> None:
    (expired,) = old(vault)
    proxy.skew_seconds = 600.0
    stores = [{**vault.stores[0], "endpoint_url": proxy.endpoint_url}, vault.stores[1]]
    found = prune(vault, stores=stores)
    assert (gone(found), gone(found, "west")) == (set(), {expired})
    assert (found["outcome"], kinds(found)) == ("unverified", {"clock_skew"})


def test_leftovers_go_when_nobody_writes_to_them(vault: Vault) -> None:
    old(vault)
    left = "20260101T000000Z-0123abcd"
    for number in (0, 1):
        vault.put(number, f"shop/configuration/{left}/files/x", b"half")
    vault.put(0, "shop/configuration/latest/x", b"a stranger's")
    young = prune(vault)
    assert left not in gone(young) and "leftovers" in kinds(young) and young["outcome"] == "passed"
    found = prune(vault, leftover_hours=0)
    assert gone(found) == gone(found, "west") == {left}
    assert [one["why"] for one in found["removed"]] == ["leftovers", "leftovers"]
    assert any("latest" in key for key in vault.keys(0))


def test_an_upload_that_nobody_completed_is_ended(vault: Vault) -> None:
    old(vault)
    options = vault.stores[0]
    key = f"{options['prefix']}shop/configuration/20260101T000000Z-0123abcd/files/x"
    vault.client.create_multipart_upload(Bucket=options["bucket"], Key=key)
    assert "unfinished_uploads" not in {one["why"] for one in prune(vault)["removed"]}
    planned = prune(vault, check=True, leftover_hours=0)
    assert vault.store().uploads("shop/") != []
    found = prune(vault, leftover_hours=0)
    assert found["removed"] == planned["removed"] and [one["why"] for one in found["removed"]] == ["unfinished_uploads"]
    assert vault.store().uploads("shop/") == []


def test_a_hold_is_set_and_released(both: BothWays, vault: Vault) -> None:
    (expired,) = old(vault)
    planned = both("recovery_point_prune", vault.holding(expired), check=True)
    assert planned["changed"] and not any("hold.json" in key for key in vault.keys(0))
    held = both("recovery_point_prune", vault.holding(expired))
    assert set(planned) == set(held)
    assert (held["changed"], held["stores"]) == (True, ["east", "west"])
    assert both("recovery_point_prune", vault.holding(expired))["changed"] is False
    assert prune(vault)["removed"] == []
    assert both("recovery_point_prune", vault.holding(expired, state="released"))["changed"]
    assert both("recovery_point_prune", vault.holding(expired, state="released"))["changed"] is False
    assert gone(prune(vault)) == {expired}
    missing = both("recovery_point_prune", vault.holding(expired))
    assert missing["failed"] and "no store has it" in missing["msg"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"service": ""}, "Refused service"),
        ({"component": ".."}, "Refused component"),
        ({"component": "a/b"}, "Refused component"),
        ({"id": ""}, "no identifier"),
        ({"id": "20260101"}, "no identifier"),
        ({"reason": " "}, "reason is empty"),
    ],
)
def test_names_that_reach_further_are_refused(both: BothWays, vault: Vault, change: dict[str, str], says: str) -> None:
    (expired,) = old(vault)
    found = both("recovery_point_prune", vault.holding(expired, **change))
    assert found["failed"] and says in found["msg"]
    components = [{**vault.looking()["components"][0], **{key: change[key] for key in change if key != "id"}}]
    before = vault.keys(0)
    if change.keys() & {"service", "component"}:
        found = both("recovery_point_prune", vault.pruning(components=components))
        assert found["failed"] and says in found["msg"]
    assert vault.keys(0) == before


@pytest.fixture
def versioned(vault: Vault) -> Vault:
    """The first store keeps versions and has object lock."""
    vault.stores[0] = vault.server.store("points-locked", "east", object_lock=True, prefix=f"{vault.run}/")
    return vault


def versions(vault: Vault) -> list[str]:
    return [one.key for one in vault.store().versions("")]


def test_all_versions_and_markers_of_a_point_go(versioned: Vault) -> None:
    (expired,) = old(versioned)
    versioned.put(0, f"shop/configuration/{expired}/files/file", b"content")
    versioned.put(0, f"shop/configuration/{expired}/more", b"x")
    versioned.remove(0, f"shop/configuration/{expired}/more")
    planned = prune(versioned, check=True)
    found = prune(versioned)
    assert found["removed"] == planned["removed"]
    (mine,) = [one for one in found["removed"] if one["store"] == "east"]
    assert mine["objects"] == 6  # the file twice, signature, manifest, and one more with its marker
    assert not any(expired in key for key in versions(versioned))
    assert versions(versioned) != []


def test_what_a_marker_hides_is_a_finding_and_goes_after_its_retention(versioned: Vault) -> None:
    (expired,) = old(versioned)
    young = versioned.seal(10 * DAY)
    for identifier in (expired, young):
        for name in ("manifest.json", "manifest.json.sig", "files/file"):
            versioned.remove(0, f"shop/configuration/{identifier}/{name}")
    found = prune(versioned, leftover_hours=0)
    assert (found["outcome"], kinds(found)) == ("failed", {"hidden_point"})
    assert [one["id"] for one in found["findings"]] == [young]
    assert {(one["store"], one["id"], one["why"]) for one in found["removed"]} == {
        ("east", expired, "hidden"),
        ("west", expired, "expired"),
    }
    assert any(young in key for key in versions(versioned)) and not any(expired in key for key in versions(versioned))


def test_what_is_locked_stays_and_is_a_finding(versioned: Vault) -> None:
    (expired,) = old(versioned)
    options = versioned.stores[0]
    versioned.client.put_object_retention(
        Bucket=options["bucket"],
        Key=f"{options['prefix']}shop/configuration/{expired}/manifest.json",
        Retention={"Mode": "COMPLIANCE", "RetainUntilDate": dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)},
    )
    found = prune(versioned)
    assert (found["outcome"], kinds(found)) == ("failed", {"removal_refused"})
    assert (gone(found), gone(found, "west")) == (set(), {expired})
    look = run_action("recovery_point_info", versioned.looking())
    (point,) = [one for one in look["points"] if one["id"] == expired]
    assert [copy["state"] for copy in point["copies"]] == ["complete", "absent"]  # the seal goes first: it is whole
