"""Ask what the interpreter of this process is like: which one, with what settings."""

from __future__ import annotations

import gc
import sys

from leakguard._core.patterns import Collector


def is_main_interpreter() -> bool:
    """Return whether this is the process's main interpreter.

    Sub-interpreters may have no daemon threads (a fatal error at their end, or
    refused from the start). True where nobody can tell. Cost: about 1 µs.
    """
    new = sys.version_info >= (3, 13)
    try:
        module = __import__("_interpreters" if new else "_xxsubinterpreters")
        current, main = module.get_current(), module.get_main()
    except (ImportError, AttributeError, RuntimeError):
        return True
    if isinstance(current, tuple):  # since 3.13: with whence it came
        current, main = current[0], main[0]
    return bool(current == main)


def read_collector() -> Collector:
    """Return how the cyclic collector is set. Cost: below 1 µs."""
    return Collector(gc.isenabled(), gc.get_threshold(), len(gc.garbage))


def installed_version(package: str) -> str | None:
    """Return the version of an installed package, ``None`` where there is none.

    Cost: some milliseconds, for a look into its metadata.
    """
    from importlib import metadata

    try:
        return metadata.version(package)
    except Exception:  # noqa: BLE001 - metadata may be anything; then it is not known
        return None
