# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a step talks to: every module declares it beside its options, as `Specification.needs`.

A declaration is a function of the step's options, so that what is declared is what this very step would ask:
`needs=all_of(postgres("postgres"), lease(), recorded())`. docs/static-stability.md says how it is used.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

DATA, CONTROL = "data", "control"
#: home of the control planes of AWS's global services, whichever region they are asked in
ROUTE53_HOME = "us-east-1"

Options = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class Need:
    """One API that a step asks at one endpoint.

    `endpoint` is what the option holds: a connection's options, a URL, an address. `home` is the region that a control
    plane lives in wherever it is asked. `region` is where the endpoint is, if the option says so itself. `tolerated`
    says why the step goes on without it; `quorum` of the needs that share a `group` have to answer, if it is not 0.
    """

    api: str
    plane: str
    option: str
    endpoint: t.Any
    home: str | None = None
    region: str | None = None
    tolerated: str = ""
    group: str = ""
    quorum: int = 0


#: A declaration: a step's options in, its needs out.
Needs = t.Callable[[Options], list[Need]]


def nothing(_options: Options) -> list[Need]:
    """Declare that a step asks nobody."""
    return []


def all_of(*parts: Needs) -> Needs:
    """Declare several things."""
    return lambda options: [need for part in parts for need in part(options)]


def tolerating(part: Needs, when: t.Callable[[Options], bool], why: str) -> Needs:
    """Declare what a step goes on without, under a condition on its options."""

    def declare(options: Options) -> list[Need]:
        found = part(options)
        return [replace(need, tolerated=why) for need in found] if found and when(options) else found

    return declare


def given(api: str, plane: str, option: str, home: str | None = None) -> Needs:
    """Declare the endpoint that an option names, if it is given; `a.b` is a member of an option."""
    first, *members = option.split(".")

    def declare(options: Options) -> list[Need]:
        endpoint = options.get(first)
        for member in members:
            endpoint = (endpoint or {}).get(member)
        return [Need(api, plane, option, endpoint, home)] if endpoint else []

    return declare


def each(api: str, plane: str, option: str, member: str | None = None) -> Needs:
    """Declare the endpoints that a list names, or a member of each of its items."""

    def declare(options: Options) -> list[Need]:
        items = enumerate(options.get(option) or [])
        found = [(number, item.get(member) if member else item) for number, item in items]
        path = f".{member}" if member else ""
        return [Need(api, plane, f"{option}[{number}]{path}", endpoint) for number, endpoint in found if endpoint]

    return declare


def postgres(option: str = "postgres") -> Needs:
    """Declare one PostgreSQL server."""
    return given("PostgreSQL", DATA, option)


def kubernetes(option: str = "kubernetes") -> Needs:
    """Declare one cluster's API, which is that cluster's control plane."""
    return given("Kubernetes", CONTROL, option)


def store(option: str = "store") -> Needs:
    """Declare one S3 bucket."""
    return given("S3", DATA, option)


def lease(option: str = "lease") -> Needs:
    """Declare the witness stores of a lease, of which a majority has to answer."""

    def declare(options: Options) -> list[Need]:
        key, stores = (options.get(option) or {}).get("key"), (options.get(option) or {}).get("stores") or []
        majority = len(stores) // 2 + 1
        return [
            Need("S3", DATA, f"{option}.stores[{number}]", one, group=f"stores of {key}", quorum=majority)
            for number, one in enumerate(stores)
        ]

    return declare


def recorded(option: str = "record") -> Needs:
    """Declare the ledger's store that a step is recorded in."""
    return store(f"{option}.store")
