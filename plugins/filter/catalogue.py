# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters over the service catalogue; documented one by one in the files beside this one."""

from __future__ import annotations

import functools
import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils import catalogue, catalogue_backrest, catalogue_backups, catalogue_traffic, proofs
from ..module_utils.errors import RecoveryError


def _filter(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    @functools.wraps(function)
    def call(*arguments: t.Any, **options: t.Any) -> t.Any:
        try:
            return function(*arguments, **options)
        except RecoveryError as error:
            raise AnsibleFilterError(str(error)) from error
        except KeyError as error:
            raise AnsibleFilterError(f"The service catalogue lacks the key {error}. See docs/services.md.") from error

    return call


class FilterModule:
    """What the playbooks ask of the catalogue."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {
            "service_objectives": _filter(catalogue.objectives),
            "service_records": _filter(catalogue.records),
            "service_traffic": _filter(catalogue_traffic.traffic),
            "service_failover_records": _filter(catalogue_traffic.failover_records),
            "traffic_result": _filter(catalogue_traffic.result),
            "service_workloads": _filter(catalogue.workloads),
            "service_checks": _filter(catalogue.checks),
            "service_deep_checks": _filter(catalogue.deep_checks),
            "service_invariants": _filter(catalogue.invariants),
            "service_backups": _filter(catalogue_backups.backups),
            "backup_stores": _filter(catalogue_backups.stores_of),
            "recovery_proof": _filter(proofs.proof),
            "backup_repositories": _filter(catalogue_backrest.repositories),
            "backup_schedule": _filter(catalogue_backups.schedule),
        }
