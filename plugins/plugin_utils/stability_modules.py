# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""This collection's modules by name, and what calls of them would need.

PRIVATE to the collection.
"""

from __future__ import annotations

import importlib
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ..module_utils.errors import RecoveryError
from ..module_utils.execution import Specification
from ..module_utils.stability_regions import Regions
from ..module_utils.stability_verdict import VIOLATION, Step, judge


def specification_of(module: str) -> Specification:
    """Return the specification of one module of this collection. Raises RecoveryError where there is none."""
    package = __package__.rpartition(".")[0]
    try:
        found = importlib.import_module(f"{package}.modules.{module}").SPECIFICATION
    except (ImportError, AttributeError) as error:
        raise RecoveryError(f"{module} is no module of this collection that declares what it needs.") from error
    return t.cast("Specification", found)


def needs_in_region(calls: t.Sequence[t.Mapping[str, t.Any]], regions: t.Mapping[str, t.Any], failed: str) -> list[str]:
    """Return what calls, as {module, options}, need that goes with region `failed`: one line each, none twice.

    `regions` is {name: dr_region} of the inventory. Options may be left out, or empty. Raises RecoveryError for those
    that the module does not have.
    """
    at, found = Regions(regions), []
    for call in calls:
        specification = specification_of(call["module"])
        given = {name: value for name, value in _plain(call["options"]).items() if value not in (None, "", [], {})}
        checked = ArgumentSpecValidator(_optional(specification.argument_spec)).validate(given)
        if checked.error_messages or specification.needs is None:
            why = "; ".join(checked.error_messages) or "it does not declare that"
            raise RecoveryError(f"Failed to tell what {call['module']} needs: {why}.")
        step = Step("", "", call["module"])
        found += judge(step, specification.needs(checked.validated_parameters), at, failed)
    return list(dict.fromkeys(one.why for one in found if one.verdict == VIOLATION))


def _optional(spec: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return a specification in which nothing is required."""
    return {
        name: {
            **{key: item for key, item in option.items() if not key.startswith("required")},
            **({"options": _optional(option["options"])} if "options" in option else {}),
        }
        for name, option in spec.items()
    }


def _plain(value: t.Any) -> t.Any:
    """Return the value with every template in it resolved: the validator copies deeply, which those do not survive."""
    if isinstance(value, t.Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
