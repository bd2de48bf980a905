"""The face for caches: what ``guard.on_pressure`` may call, without keeping it alive.

Nothing here runs by itself. A cache is emptied in a thread of leakguard's, so it must
bear that: ``functools.lru_cache`` does, a cachetools cache needs the lock that its
other users take.
"""

from __future__ import annotations

import linecache
import re
from typing import TYPE_CHECKING, Any

from leakguard._core.records import LeakguardError
from leakguard._runtime.relief import Weakly

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["clear_linecache", "clear_lru", "purge_re", "weakly"]


def weakly(
    method: Callable[[], object], lock: AbstractContextManager[object] | None = None
) -> Callable[[], None]:
    """Return what calls a bound method as long as its object lives.

    ``guard.on_pressure(weakly(cache.clear, lock))`` keeps no cache alive. ``lock`` is
    held meanwhile.

    Raises:
        LeakguardError: it is no bound method, or its object allows no weak reference,
            as a ``dict``.

    """
    owner: Any = getattr(method, "__self__", None)
    try:
        return Weakly(owner, method.__name__, lock)
    except (AttributeError, TypeError) as error:
        message = f"there is no weak reference to this method's object ({error})"
        raise LeakguardError(message) from error


def clear_lru(cached: Callable[..., object]) -> Callable[[], None]:
    """Return what empties the cache of a function under ``functools.lru_cache``.

    It works with whatever has a ``cache_clear()``, as long as that lives.

    Raises:
        LeakguardError: the function has no such cache.

    """
    if not callable(getattr(cached, "cache_clear", None)):
        message = "clear_lru takes a function that functools.lru_cache has decorated"
        raise LeakguardError(message)
    return Weakly(cached, "cache_clear")


def purge_re() -> None:
    """Forget the compiled patterns that ``re`` keeps (at most 512)."""
    re.purge()


def clear_linecache() -> None:
    """Forget the lines of source files that ``linecache`` keeps for tracebacks."""
    linecache.clearcache()
