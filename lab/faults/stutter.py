"""``python -m lab.faults.stutter PROCESS FROZEN WORKING``: let a process work only now and then, until SIGTERM.

Whoever asks it something while it is frozen is answered when it works again: up to FROZEN seconds late.
"""

from __future__ import annotations

import json
import signal
import sys

from lab.processes import ProcessId, freeze_at_once

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def main(arguments: list[str]) -> int:
    """Freeze and thaw, with all that the process started; ends when told to, or with the process."""
    process = ProcessId.from_json(json.loads(arguments[0]))
    frozen_seconds, working_seconds = map(float, arguments[1:])
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # taken by sigtimedwait, whenever they come
    while process.alive:
        frozen = freeze_at_once([process])
        told = signal.sigtimedwait(STOP_SIGNALS, frozen_seconds)
        for one in frozen:
            one.send(signal.SIGCONT)
        if told or signal.sigtimedwait(STOP_SIGNALS, working_seconds):
            break
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
