"""The rules that the node agent follows, as tables."""

from __future__ import annotations

import ipaddress

import pytest

from lab.node.addresses import AddressesExhausted, AddressPool
from lab.node.backoff import Backoff
from lab.node.environment import expand
from lab.node.references import InvalidImageName, Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "url", "wanted"),
    [
        ("127.0.0.1:5000/web", "http://127.0.0.1:5000/v2/web", "latest"),
        ("127.77.1.2:5000/lab/web:1.2", "http://127.77.1.2:5000/v2/lab/web", "1.2"),
        ("localhost/web:1", "http://localhost/v2/web", "1"),
        (f"127.0.0.1:5000/web:1@{DIGEST}", "http://127.0.0.1:5000/v2/web", DIGEST),
        ("registry.example.com/web:1", "https://registry.example.com/v2/web", "1"),
        ("10.0.0.1:5000/web:1", "https://10.0.0.1:5000/v2/web", "1"),
    ],
)
def test_image_names(text: str, url: str, wanted: str) -> None:
    reference = Reference.parse(text)
    assert (reference.base_url(reference.registry), reference.manifest) == (url, wanted)


@pytest.mark.parametrize("text", ["web", "web:1", "library/web", "host:1/Web", "host:1/web@sha256:1", "", "a.b/../web"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(InvalidImageName):
        Reference.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("x$(A)y$(A)", "x1y1"),
        ("$A", "$A"),
        ("$$", "$"),
        ("$(", "$("),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def test_backoff_doubles_to_its_maximum_and_forgets_after_a_long_run() -> None:
    crashes = Backoff(10, 60)
    assert [crashes.next() for _ in range(6)] == [0, 10, 20, 40, 60, 60]
    crashes.note_run(119)
    assert crashes.next() == 60
    crashes.note_run(120)
    assert [crashes.next(), crashes.next()] == [0, 10]
    assert [Backoff(10, 60, first_is_free=False).next()] == [10]


def test_addresses_are_handed_out_once_and_the_preferred_one_if_it_is_free() -> None:
    pool = AddressPool(ipaddress.IPv4Network("127.77.1.0/29"), 4)
    assert [pool.take("127.77.1.5"), pool.take("127.77.1.5"), pool.take("10.0.0.1")] == [
        "127.77.1.5",
        "127.77.1.4",
        "127.77.1.6",
    ]
    with pytest.raises(AddressesExhausted, match=r"127\.77\.1\.0/29"):
        pool.take()
    pool.give_back("127.77.1.4")
    assert pool.take() == "127.77.1.4"
