"""Compare an output with the file that was looked at and found good.

``LEAKGUARD_UPDATE_GOLDEN=1 pytest tests/render`` writes the files anew; look at the
difference before it is committed.
"""

from __future__ import annotations

import os
from pathlib import Path

DIRECTORY = Path(__file__).parents[1] / "golden"


def assert_golden(name: str, output: str) -> None:
    path = DIRECTORY / name
    if os.environ.get("LEAKGUARD_UPDATE_GOLDEN"):
        path.write_text(output + "\n", "utf-8", newline="\n")
    assert output + "\n" == path.read_text("utf-8")
