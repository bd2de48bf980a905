"""``python -m benchmarks``: what leakguard costs, beside its peers.

Each module here with a ``NAME``, a ``BUDGET`` and a ``run(quick) -> list[Row]`` is a
benchmark; ``survival`` and those whose names end in ``_soak`` run for minutes, and only
when asked.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from benchmarks._support import Row, show  # noqa: E402 - the path comes first


def main() -> int:
    """Run the benchmarks that were asked for; 1 if ``--check`` finds one missed."""
    options = _options()
    results: list[dict[str, Any]] = []
    for module in _modules(options.only, soak=options.soak):
        started = time.perf_counter()
        rows: list[Row] = module.run(options.quick)
        seconds = time.perf_counter() - started
        show(module.NAME, module.BUDGET, rows)
        results.append(_result(module, rows, seconds))
    path = options.json or _default_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {**_machine(), "quick": options.quick, "benchmarks": results}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    missed = [
        row["what"]
        for result in results
        for row in result["rows"]
        if row["met"] is False
    ]
    print(f"\n{len(missed)} budgets missed. Written to {path}")
    return 1 if missed and options.check else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="smaller heaps, fewer slow peers")
    add("--soak", action="store_true", help="also what runs for minutes")
    add("--check", action="store_true", help="exit with 1 if a budget is missed")
    add("--json", type=Path, metavar="FILE", help="where to write the figures")
    add("--only", action="append", metavar="NAME", help="just these modules")
    return parser.parse_args()


def _modules(only: list[str] | None, *, soak: bool) -> list[ModuleType]:
    names = sorted(path.stem for path in HERE.glob("[a-z]*.py"))
    if only:
        unknown = set(only) - set(names)
        if unknown:
            raise SystemExit(f"no benchmark {', '.join(sorted(unknown))}")
        names = only
    elif not soak:
        names = [name for name in names if not name.endswith(("_soak", "survival"))]
    modules = [importlib.import_module(f"benchmarks.{name}") for name in names]
    return [module for module in modules if hasattr(module, "NAME")]


def _result(module: ModuleType, rows: list[Row], seconds: float) -> dict[str, Any]:
    return {
        "name": module.NAME,
        "budget": module.BUDGET,
        "seconds": round(seconds, 3),
        "rows": [{**row._asdict(), "ratio": row.ratio} for row in rows],
    }


def _machine() -> dict[str, Any]:
    return {
        "schema": "leakguard.benchmarks/1",
        "created_at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def _default_path() -> Path:
    major, minor, *_ = sys.version_info
    return HERE / "results" / f"python-{major}.{minor}.json"


if __name__ == "__main__":
    raise SystemExit(main())
