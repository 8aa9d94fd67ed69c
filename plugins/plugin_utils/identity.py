# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who runs this playbook, as the ledger and the incident's lease name it.

PRIVATE to the collection.
"""

from __future__ import annotations

import getpass
import os
import socket
import typing as t

from ..module_utils.process_identity import ProcessIdentity


def user_of(task_vars: t.Mapping[str, t.Any]) -> str:
    """Return the person: AWX's user where the job says one, else the account that runs the controller."""
    for name in ("awx_user_name", "tower_user_name"):
        if task_vars.get(name):
            return str(task_vars[name])
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's arbitrary user id has no account
        return f"uid-{os.getuid()}"


def actor_of(task_vars: t.Mapping[str, t.Any]) -> str:
    """Return `<user>@<host>` of the controller, and the AWX job where there is one."""
    job = task_vars.get("awx_job_id") or task_vars.get("tower_job_id")
    return f"{user_of(task_vars)}@{socket.gethostname()}{f' job {job}' if job else ''}"


def run_of(task_vars: t.Mapping[str, t.Any]) -> ProcessIdentity:
    """Return the identity of the ansible-playbook process that this worker was forked from."""
    return ProcessIdentity.of(os.getppid(), user_of(task_vars))
