# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter over what a plan is going to call; documented in the file beside this one."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils.errors import RecoveryError
from ..plugin_utils import stability_modules


def needs_in_region(calls: t.Sequence[t.Mapping[str, t.Any]], regions: t.Mapping[str, t.Any], failed: str) -> list[str]:
    """Return what calls need that goes with a region."""
    try:
        return stability_modules.needs_in_region(calls, regions, failed)
    except RecoveryError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What a plan says of its own dependencies."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"needs_in_region": needs_in_region}
