# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules of others talk to, as far as a recovery path uses them; what is not listed is not known.

A task whose module is not here, or that runs a command, says so itself: its variable `dr_needs` is a list of
{api, plane, endpoint or region, tolerated}.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .errors import RecoveryError
from .needs import CONTROL, DATA, Need, Needs, given, nothing

_BUILTIN = "ansible.builtin."

#: asks nobody but the machine that it runs on
_LOCAL = """
    add_host assert blockinfile copy debug fail fetch file find getent group group_by hostname
    import_playbook import_role import_tasks include_role include_tasks include_vars lineinfile meta
    mount_facts pause ping replace service service_facts set_fact set_stats setup slurp stat systemd
    systemd_service sysvinit tempfile template user validate_argument_spec wait_for_connection
    async_status
"""


def _kubernetes(options: t.Mapping[str, t.Any]) -> list[Need]:
    endpoint = {key: options[key] for key in ("kubeconfig", "context", "host") if options.get(key)}
    if not endpoint:
        raise RecoveryError("it names no cluster: set kubeconfig, context or host")
    if endpoint.get("host"):
        endpoint = {"url": endpoint["host"]}
    return [Need("Kubernetes", CONTROL, "kubeconfig", endpoint)]


def _aws(options: t.Mapping[str, t.Any]) -> list[Need]:
    endpoint = {key: options[key] for key in ("endpoint_url", "region") if options.get(key)}
    if not endpoint:
        raise RecoveryError("it names no region: set region or endpoint_url")
    return [Need("AWS", CONTROL, "region", endpoint)]


def _login(options: t.Mapping[str, t.Any]) -> list[Need]:
    endpoint = {"host": options.get("login_host") or "localhost", "port": options.get("login_port") or 5432}
    return [Need("PostgreSQL", DATA, "login_host", endpoint)]


def _wait_for(options: t.Mapping[str, t.Any]) -> list[Need]:
    if not options.get("port"):
        return []
    return [Need("TCP", DATA, "host", f"{options.get('host') or '127.0.0.1'}:{options['port']}")]


_EXACT: dict[str, Needs] = {
    **{_BUILTIN + name: nothing for name in _LOCAL.split()},
    _BUILTIN + "uri": given("HTTP", DATA, "url"),
    _BUILTIN + "get_url": given("HTTP", DATA, "url"),
    _BUILTIN + "wait_for": _wait_for,
}

_COLLECTION: dict[str, Needs] = {
    "kubernetes.core.": _kubernetes,
    "amazon.aws.": _aws,
    "community.postgresql.": _login,
}


def needs_of(module: str) -> Needs | None:
    """Return the declaration of somebody else's module; None where there is none."""
    name = module.replace("ansible.legacy.", _BUILTIN)
    if name in _EXACT:
        return _EXACT[name]
    return next((needs for prefix, needs in _COLLECTION.items() if name.startswith(prefix)), None)


def of_task(declared: t.Any) -> list[Need]:
    """Return what a task says of itself in `dr_needs`. Raises RecoveryError for what is no declaration."""
    found = []
    for number, one in enumerate(declared if isinstance(declared, list) else [declared]):
        known = isinstance(one, t.Mapping) and one.get("api") and one.get("plane") in (DATA, CONTROL)
        if not known or not (one.get("endpoint") or one.get("region")):
            raise RecoveryError(f"dr_needs[{number}] is no declaration: it takes api, plane, and endpoint or region")
        option, tolerated = f"dr_needs[{number}]", str(one.get("tolerated") or "")
        found.append(
            Need(one["api"], one["plane"], option, one.get("endpoint"), one.get("home"), one.get("region"), tolerated)
        )
    return found
