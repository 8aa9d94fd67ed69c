"""``python -m lab.binaries``: print where PostgreSQL's programs are; exit with 1 and the remedy where they are not."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lab.account import choose_account, find_postgres
from lab.errors import LabError

if __name__ == "__main__":
    try:
        with tempfile.TemporaryDirectory() as directory:
            print(find_postgres(choose_account(), Path(directory)))
    except LabError as error:
        sys.exit(str(error))
