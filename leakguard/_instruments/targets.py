"""What a target of instrumentation is, and the usual ways to wrap one.

Rules of this file: a wrapper adds one dictionary operation, or one ``take``, to the
call; arguments, result and errors are the original's; a release is taken down before
the call, because right after it another thread may have acquired the same object.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from leakguard._core.resources import Kind
    from leakguard._runtime.resources import Shelf

    Function = Callable[..., Any]
    Wrap = Callable[[Function, Shelf], Function]


class Resource(NamedTuple):
    """A kind of resource, and how to ask one whether it is open and what it holds."""

    kind: Kind
    is_open: Callable[[Any, Any], bool] | None = None
    size: Callable[[Any], int] | None = None


class Target(NamedTuple):
    """One attribute to patch: ``path`` in ``module``, how, and for which resource."""

    module: str
    path: str
    wrap: Wrap
    resource: Resource


def shelf_of(resource: Resource, shelf: Shelf) -> Shelf:
    """Return the shelf of another resource in the same book."""
    kind, is_open, size = resource
    return shelf.book.shelf(kind, is_open=is_open, size=size)


def makes(original: Function, shelf: Shelf) -> Function:
    """Wrap an ``__init__``: its object is acquired."""
    take = shelf.take

    @functools.wraps(original)
    def init(self: Any, /, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        take(self)

    return init


def returns(original: Function, shelf: Shelf) -> Function:
    """Wrap what returns a resource, or is a coroutine function that does."""
    take = shelf.take

    @functools.wraps(original)
    def acquire(*args: Any, **kwargs: Any) -> Any:
        try:
            result = original(*args, **kwargs)
        except Exception:
            shelf.refused += 1
            raise
        take(result)
        return result

    @functools.wraps(original)
    async def acquire_later(*args: Any, **kwargs: Any) -> Any:
        try:
            result = await original(*args, **kwargs)
        except Exception:
            shelf.refused += 1
            raise
        take(result)
        return result

    return acquire_later if inspect.iscoroutinefunction(original) else acquire


def releases(original: Function, shelf: Shelf) -> Function:
    """Wrap a method that releases its own object."""
    pop = shelf.holds.pop

    @functools.wraps(original)
    def release(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        pop(id(self), None)
        return original(self, *args, **kwargs)

    return release


def takes_back(original: Function, shelf: Shelf) -> Function:
    """Wrap a method that is given the resource to release."""
    pop = shelf.holds.pop

    @functools.wraps(original)
    def release(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        for item in (*args, *kwargs.values())[:1]:
            pop(id(item), None)
        return original(self, *args, **kwargs)

    return release


def adds(count: int = 1) -> Wrap:
    """Wrap a method that registers its first ``count`` arguments with its object."""

    def wrap(original: Function, shelf: Shelf) -> Function:
        take = shelf.take

        @functools.wraps(original)
        def add(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            take(self, entry(self, *(*args, *kwargs.values())[:count]))
            return result

        return add

    return wrap


def removes(count: int = 1) -> Wrap:
    """Wrap the opposite of what ``adds(count)`` wraps."""

    def wrap(original: Function, shelf: Shelf) -> Function:
        pop = shelf.holds.pop

        @functools.wraps(original)
        def remove(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            pop(entry(self, *(*args, *kwargs.values())[:count]), None)
            return original(self, *args, **kwargs)

        return remove

    return wrap


def entry(owner: object, *items: object) -> Hashable:
    """Return a key for what is registered with ``owner`` that keeps nothing alive.

    By hash, because a bound method is a new object each time.
    """
    return (id(owner), *map(_identity, items))


def _identity(item: object) -> int:
    try:
        return hash(item)
    except Exception:  # noqa: BLE001 - the program's own; its method fails by itself
        return id(item)
