# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A step that runs in a worker of ansible-playbook ends with it.

Without this, a worker whose ansible-playbook was killed would go on with its waits and effects, unseen and for
minutes, while the operator runs the same command again.

PRIVATE to the collection.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from ..module_utils.process_identity import is_fork_of_its_parent

#: <sys/prctl.h>
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel kill this worker when its ansible-playbook ends. Does nothing in a process that is no worker.

    Killed in the midst of an effect: whatever was on its way is found by the next run, which looks before it acts.
    """
    if not sys.platform.startswith("linux") or not is_fork_of_its_parent():
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended meanwhile
        os.kill(os.getpid(), signal.SIGKILL)
