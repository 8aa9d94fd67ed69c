"""Runs of the operator's playbooks that are killed at a task and begun again, in one lab."""

import sys
from pathlib import Path

_COLLECTIONS = str(Path(__file__).resolve().parents[3] / "collections")
if _COLLECTIONS not in sys.path:
    sys.path.insert(0, _COLLECTIONS)
