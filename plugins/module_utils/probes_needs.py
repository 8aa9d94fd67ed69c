# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a round of health checks talks to.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .needs import DATA, Need, Options


def asked(options: Options) -> list[Need]:
    """Declare the endpoint of every check, and the name servers of every vantage point, of which one has to answer."""
    found = [need for number, check in enumerate(options["checks"]) for need in _check(f"checks[{number}]", check)]
    for number, point in enumerate(options.get("vantage_points") or []):
        group = f"name servers of vantage point {point['name']}"
        where = f"vantage_points[{number}].nameservers"
        found += [Need("DNS", DATA, where, one, group=group, quorum=1) for one in point.get("nameservers") or []]
    return found


def reported_only(options: Options) -> bool:
    """True where what the checks find is told and stops nothing."""
    return not options["required"]


def _check(where: str, check: t.Mapping[str, t.Any]) -> list[Need]:
    kind = check["kind"]
    if kind == "postgresql":
        return [Need("PostgreSQL", DATA, f"{where}.postgres", check.get("postgres"))]
    if check.get("address"):  # asked there, whatever the URL says
        return [Need(kind.upper(), DATA, f"{where}.address", check["address"])]
    if kind == "tcp":
        return [Need("TCP", DATA, f"{where}.host", f"{check.get('host')}:{check.get('port')}")]
    urls = [(key, check[key]) for key in ("url", "read_url") if check.get(key)]
    return [Need("HTTP", DATA, f"{where}.{key}", url) for key, url in urls]
