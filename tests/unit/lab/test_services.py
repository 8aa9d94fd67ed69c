"""A lab of many services: each has a place of its own in everything that the lab is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab import configs, state
from lab.catalogue import MOST_SERVICES, REGIONS, SERVICES, count_from, services
from lab.errors import LabError
from lab.keys import Keys
from lab.layout import POD_ADDRESS_START, Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    kinds = ("postgres", "registry", "kubernetes", "loadbalancer", "aws", "authority", "resolver", "recovery")
    return Lab(
        directory=tmp_path,
        id="0123456789ab",
        subnet="127.20",
        zone_id="Z0123456789",
        python="python3",
        postgres_bin=tmp_path / "bin",
        data=tmp_path,
        account=None,
        ports={kind: 5000 + number for number, kind in enumerate(kinds)},
        service_count=20,
    )


def test_the_first_services_are_those_of_the_catalogue() -> None:
    assert services(len(SERVICES)) == SERVICES
    assert services(20)[: len(SERVICES)] == SERVICES
    assert services(1) == SERVICES[:1]


def test_no_two_services_share_anything() -> None:
    many = services(MOST_SERVICES)
    for name in ("name", "host", "database"):
        assert len({getattr(one, name) for one in many}) == MOST_SERVICES


def test_every_service_has_addresses_of_its_own_in_a_regions_network(lab: Lab) -> None:
    most = replace(lab, service_count=MOST_SERVICES)
    kinds = ("border", "postgres", "store", "registry", "kubernetes", "node", *(one.name for one in most.services))
    for region in REGIONS:
        used = [place(kind, region) for kind in kinds for place in (most.address, most.inner)]
        used += [most.entry(kind, region) for kind in ("postgres", "store")]
        used += [most.outbound(kind, region) for kind in ("witness", "postgres", "store")]
        assert len(set(used)) == len(used)
        assert max(int(address.rpartition(".")[2]) for address in used) < POD_ADDRESS_START


def test_a_lab_remembers_how_many_services_it_has(lab: Lab, tmp_path: Path) -> None:
    lab.save()
    assert Lab.load(tmp_path) == lab


def test_state_and_configurations_have_every_service(lab: Lab) -> None:
    names = [service.name for service in lab.services]
    assert len(names) == 20
    keys = Keys.generate(lab.services)
    configs.write_all(lab, keys)
    told = state.describe(lab, "sha256:0")
    assert list(told["services"]) == names
    assert {service.database_role for service in lab.services} <= set(keys.database)
    for region in REGIONS:
        assert list(told["regions"][region]["endpoints"]) == list(told["regions"][region]["images"]) == names


@pytest.mark.parametrize(("text", "count"), [("", 2), ("1", 1), ("20", 20), (str(MOST_SERVICES), MOST_SERVICES)])
def test_the_environment_says_how_many(text: str, count: int) -> None:
    assert count_from({"DR_LAB_SERVICES": text}) == count


@pytest.mark.parametrize("text", ["0", "-1", "31", "many", "2.5", "²"])
def test_what_is_no_number_of_services_is_refused(text: str) -> None:
    with pytest.raises(LabError, match="from 1 to 30"):
        count_from({"DR_LAB_SERVICES": text})
