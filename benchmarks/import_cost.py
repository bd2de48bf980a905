"""What an import costs: modules and milliseconds, against the imports of peers.

Each import happens in fresh isolated interpreters, from compiled files.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks._support import ROOT, Row, at_most, main

NAME = "import"
BUDGET = "import leakguard: at most 80 more modules and 25 ms, none of a third party"

_PEERS = ("objgraph", "pympler.tracker", "guppy", "memray")
_CODE = """
import sys, time
sys.path.insert(0, {root!r})
before = set(sys.modules)
begun = time.process_time()
{statement}
seconds = time.process_time() - begun
modules = sorted(set(sys.modules) - before)
import json
print(json.dumps([seconds, modules]))
"""


def run(quick: bool) -> list[Row]:  # noqa: FBT001 - every benchmark's signature
    """Import leakguard, its heaviest name, and the peers that are installed."""
    rounds = 5 if quick else 15
    ours, ours_modules = _imported("import leakguard", rounds)
    strangers = _third_party(ours_modules)
    rows = [
        at_most("import leakguard", ours, "ms", 25),
        at_most("import leakguard", len(ours_modules), "modules", 80),
        at_most("import leakguard: third-party", len(strangers), "modules", 0),
    ]
    first_use, used = _imported("import leakguard; leakguard.diagnose", rounds)
    rows += [
        Row("leakguard.diagnose, first named", first_use, "ms"),
        Row("leakguard.diagnose, first named", len(used), "modules"),
    ]
    for peer in _PEERS:
        if importlib.util.find_spec(peer.partition(".")[0]):
            theirs, modules = _imported(f"import {peer}", rounds)
            rows.append(Row("import leakguard", ours, "ms", peer, theirs))
            count = len(ours_modules)
            rows.append(Row("import leakguard", count, "modules", peer, len(modules)))
    return rows


def _imported(statement: str, rounds: int) -> tuple[float, list[str]]:
    """Return the median milliseconds of an import, and the modules it loads."""
    found = [_import_once(statement) for _ in range(rounds + 1)][1:]
    return statistics.median(seconds for seconds, _ in found) * 1000, found[0][1]


def _import_once(statement: str) -> tuple[float, list[str]]:
    code = _CODE.format(root=str(ROOT), statement=statement)
    shown: Any = subprocess.check_output([sys.executable, "-I", "-c", code], text=True)
    seconds, modules = json.loads(shown)
    return seconds, modules


def _third_party(modules: list[str]) -> set[str]:
    packages = {name.partition(".")[0] for name in modules}
    return packages - sys.stdlib_module_names - {"leakguard"}


if __name__ == "__main__":
    main(NAME, BUDGET, run)
