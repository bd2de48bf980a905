"""What is instrumented: patches applied when a module is imported, and undone.

Rules of this file: a package is patched whole or not at all; what cannot be patched
is told once, in the log; undoing puts back the very object that was there; the import
hooks that wrapt keeps find nothing to do then.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from leakguard._instruments import caches, databases, emitters, http, system, tasks
from leakguard._readers.threads import native

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leakguard._instruments.targets import Target
    from leakguard._runtime.resources import Book

_log = logging.getLogger("leakguard")

#: What can be named -> what is patched for it.
FAMILIES: Mapping[str, tuple[Target, ...]] = {
    "asyncio": tasks.ASYNCIO,
    "atexit": emitters.ATEXIT,
    "blinker": emitters.BLINKER,
    "cachetools": caches.CACHETOOLS,
    "concurrent.futures": system.EXECUTORS,
    "functools": caches.FUNCTOOLS,
    "httpx": http.HTTPX,
    "io": system.FILES,
    "logging": emitters.LOGGING,
    "psycopg": databases.PSYCOPG,
    "psycopg2": databases.PSYCOPG2,
    "psycopg_pool": databases.PSYCOPG_POOL,
    "pyee": emitters.PYEE,
    "pymysql": databases.PYMYSQL,
    "requests": http.REQUESTS,
    "socket": system.SOCKETS,
    "sqlalchemy": databases.SQLALCHEMY,
    "sqlite3": databases.SQLITE3,
    "threading": system.THREADS,
    "weakref": emitters.WEAKREF,
}


class Patch(NamedTuple):
    """One attribute that was replaced; ``inherited`` if it was not the owner's own."""

    owner: Any
    name: str
    original: object
    wrapper: object
    inherited: bool

    def undo(self) -> bool:
        """Put the original back, unless another has replaced ours by now."""
        if vars(self.owner).get(self.name) is not self.wrapper:
            return False
        if self.inherited:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.original)
        return True


class Registry:
    """One process's instruments."""

    def __init__(self, book: Book) -> None:
        """Patch nothing yet."""
        self.book = book
        self._patches: dict[str, dict[Target, Patch]] = {}
        self._hooked: set[str] = set()
        self.after_fork()

    def after_fork(self) -> None:
        """Have a lock that no thread of the parent's holds."""
        self._lock = native("_thread", "RLock")()

    @property
    def names(self) -> frozenset[str]:
        """What is instrumented, or will be when it is imported."""
        return frozenset(self._patches)

    def patched(self) -> tuple[Target, ...]:
        """Return what is patched now."""
        return tuple(t for done in list(self._patches.values()) for t in done)

    def add(self, name: str) -> bool:
        """Instrument a package, now or when it is imported; False: not installed."""
        with self._lock:
            if name in self._patches:
                return True
            if not _is_installed(name):
                return False
            self._patches[name] = {}
            for module in {target.module for target in FAMILIES[name]}:
                if module in sys.modules:
                    self._apply(name, module)
                elif module not in self._hooked:
                    self._hook(module)
        return True

    def remove(self) -> None:
        """Undo all patches, the last one first."""
        with self._lock:
            for name in list(self._patches):
                self._undo(name)

    def _hook(self, module: str) -> None:
        from wrapt import register_post_import_hook

        self._hooked.add(module)
        register_post_import_hook(functools.partial(self._imported, module), module)

    def _imported(self, module: str, _: object) -> None:
        """Patch what was just imported. Nothing reaches the import."""
        with self._lock, contextlib.suppress(Exception):
            self._hooked.discard(module)
            for name in list(self._patches):
                self._apply(name, module)

    def _apply(self, name: str, module: str) -> None:
        done = self._patches[name]
        try:
            for target in FAMILIES[name]:
                if target.module == module and target not in done:
                    done[target] = self._patched(target)
        except Exception as error:  # noqa: BLE001 - whatever another version has there
            self._undo(name)
            version = getattr(sys.modules.get(name), "__version__", "this version")
            _log.warning(
                "instrument: %s (%s) is not as leakguard knows it, so nothing of it is "
                "patched: %s",
                name,
                version,
                error,
            )

    def _patched(self, target: Target) -> Patch:
        *path, name = target.path.split(".")
        owner: Any = sys.modules[target.module]
        for part in path:
            owner = getattr(owner, part)
        original = vars(owner).get(name)
        inherited = original is None
        if original is None:
            original = getattr(owner, name)
        kind, is_open, size = target.resource
        shelf = self.book.shelf(kind, is_open=is_open, size=size)
        wrapper: Any = target.wrap(original, shelf)
        if not isinstance(original, types.FunctionType):
            wrapper = staticmethod(wrapper)  # in a class it binds as little as theirs
        setattr(owner, name, wrapper)
        return Patch(owner, name, original, wrapper, inherited)

    def _undo(self, name: str) -> None:
        for target, patch in reversed(self._patches.pop(name, {}).items()):
            if not patch.undo():
                _log.warning(
                    "uninstrument: %s.%s was replaced by another meanwhile, and stays; "
                    "what leakguard had put there counts nothing any more",
                    target.module,
                    target.path,
                )


def _is_installed(name: str) -> bool:
    package = name.partition(".")[0]
    if package in sys.modules:
        return True
    with contextlib.suppress(ImportError, ValueError):
        return importlib.util.find_spec(package) is not None
    return False
