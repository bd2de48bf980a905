"""A leak profiler that lives inside the application.

It says what grows, where it is allocated, who holds it and what to change. Importing
it has no side effects and loads nothing else: each public name is fetched when it is
first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leakguard._core.policy_table import Policy
    from leakguard._core.records import LeakguardError, Report
    from leakguard.guard import Guard, current, watch
    from leakguard.instruments import instrument, uninstrument
    from leakguard.lives import Life, previous_life
    from leakguard.reports import load, render
    from leakguard.snapshots import Diff, Snapshot, snapshot
    from leakguard.testing import (
        Check,
        LeakError,
        WorkFailed,
        assert_no_growth,
        assert_released,
        check,
        diagnose,
        growth,
    )

__version__ = "0.1.0"

_HOMES = {
    "Check": "leakguard.testing",
    "Diff": "leakguard.snapshots",
    "Guard": "leakguard.guard",
    "LeakError": "leakguard.testing",
    "LeakguardError": "leakguard._core.records",
    "Life": "leakguard.lives",
    "Policy": "leakguard._core.policy_table",
    "Report": "leakguard._core.records",
    "Snapshot": "leakguard.snapshots",
    "WorkFailed": "leakguard.testing",
    "assert_no_growth": "leakguard.testing",
    "assert_released": "leakguard.testing",
    "check": "leakguard.testing",
    "current": "leakguard.guard",
    "diagnose": "leakguard.testing",
    "growth": "leakguard.testing",
    "instrument": "leakguard.instruments",
    "load": "leakguard.reports",
    "previous_life": "leakguard.lives",
    "render": "leakguard.reports",
    "snapshot": "leakguard.snapshots",
    "uninstrument": "leakguard.instruments",
    "watch": "leakguard.guard",
}
#: Faces that are modules of their own, found without a second import statement.
_MODULES = (
    *("aiohttp", "asgi", "instruments", "lives", "reliefs", "routes", "testing"),
    "wsgi",
)

__all__ = [
    "Check",
    "Diff",
    "Guard",
    "LeakError",
    "LeakguardError",
    "Life",
    "Policy",
    "Report",
    "Snapshot",
    "WorkFailed",
    "__version__",
    "assert_no_growth",
    "assert_released",
    "check",
    "current",
    "diagnose",
    "growth",
    "instrument",
    "load",
    "previous_life",
    "render",
    "snapshot",
    "uninstrument",
    "watch",
]


def __getattr__(name: str) -> object:
    """Fetch a public name from its home module on first use."""
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"leakguard.{name}")
    home = _HOMES.get(name)
    if home is None:
        message = f"module 'leakguard' has no attribute {name!r}"
        raise AttributeError(message)
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names, fetched or not."""
    return sorted(set(globals()) | set(__all__))
