#!/usr/bin/env python3
"""Inventory script: the addresses that the lab wrote to its state file, read once a run. No secret is in it.

DR_LAB_DIR names the lab's directory; build/lab of this checkout when it is not set.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

directory = os.environ.get("DR_LAB_DIR") or str(Path(__file__).resolve().parents[2] / "build/lab")
variables = {"dr_lab_directory": directory}
try:
    variables["dr_lab"] = json.loads((Path(directory) / "state.json").read_text(encoding="utf-8"))
except (OSError, ValueError) as error:
    # The play that starts the lab needs no more than the directory; any other says that dr_lab is undefined.
    print(f"No lab is up in {directory}: {error}. Start it: make lab-up", file=sys.stderr)
print(json.dumps({"all": {"vars": variables}, "_meta": {"hostvars": {}}}))
