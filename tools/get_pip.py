"""Stand-in for get-pip.py where the internet cannot be reached: ensurepip, then pip from the configured index."""

from __future__ import annotations

import subprocess
import sys

arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL)
subprocess.check_call([sys.executable, "-m", "pip", "install", *arguments], stdout=subprocess.DEVNULL)
