"""Caches without a bound: those of functools and of cachetools."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from leakguard._core.resources import Kind
from leakguard._instruments.targets import Resource, Target, makes, shelf_of

if TYPE_CHECKING:
    from leakguard._instruments.targets import Function
    from leakguard._runtime.resources import Shelf


def _entries(cached: Any) -> int:
    return int(cached.cache_info().currsize)


def _is_unbounded(cache: Any, _key: object) -> bool:
    return math.isinf(cache.maxsize)


def _of_dict(cached: Any) -> int:
    return len(cached.cache)


_ON_METHOD = (
    "Each entry keeps its self alive: cache on the instance (functools.cached_property)"
    " or a module function of the values."
)
LRU = Resource(
    Kind(
        "unbounded lru_caches",
        "unbounded-cache",
        "Give it a maxsize.",
        "@functools.lru_cache(maxsize=1024)",
        collected="released",
        counted_as="entries are in the lru_cache of this line, which has no bound",
    ),
    size=_entries,
)
LRU_ON_METHOD = Resource(
    Kind(
        "unbounded lru_caches on methods",
        "unbounded-cache",
        _ON_METHOD,
        collected="released",
        counted_as="entries are in the lru_cache of this method, which has no bound",
    ),
    size=_entries,
)
BOUNDED_ON_METHOD = Resource(
    Kind(
        "lru_caches on methods",
        "unbounded-cache",
        _ON_METHOD,
        nature="shown",
        collected="released",
    ),
    size=_entries,
)
CACHE = Resource(
    Kind(
        "cachetools caches with maxsize=inf",
        "unbounded-cache",
        "Give it a maxsize.",
        "cachetools.TTLCache(maxsize=1024, ttl=300)",
        collected="released",
        counted_as="entries are in a cache of this line, which has no bound",
    ),
    _is_unbounded,
    len,
)
CACHED = Resource(
    Kind(
        "functions that cachetools caches in a dict",
        "unbounded-cache",
        "A dict never drops an entry: use a cache with a bound.",
        "@cachetools.cached(cachetools.LRUCache(maxsize=1024))",
        collected="released",
        counted_as="entries are in the dict that is a cache on this line",
    ),
    size=_of_dict,
)


def _decorates_lru(original: Function, shelf: Shelf) -> Function:
    plain = shelf.take
    on_method = shelf_of(LRU_ON_METHOD, shelf).take
    bounded = shelf_of(BOUNDED_ON_METHOD, shelf).take

    @functools.wraps(original)
    def lru_cache(*args: Any, **kwargs: Any) -> Any:
        made = original(*args, **kwargs)
        if not hasattr(made, "cache_info"):
            return decorator(made)
        return watched(made)

    def decorator(decorate: Function) -> Function:
        @functools.wraps(decorate)
        def decorated(function: Any) -> Any:
            return watched(decorate(function))

        return decorated

    def watched(cached: Any) -> Any:
        unbounded = cached.cache_parameters()["maxsize"] is None
        name = getattr(cached, "__qualname__", "")
        if "." in name.rpartition("<locals>.")[2]:
            (on_method if unbounded else bounded)(cached)
        elif unbounded:
            plain(cached)
        return cached

    return lru_cache


def _decorates(original: Function, shelf: Shelf) -> Function:
    take = shelf.take

    @functools.wraps(original)
    def cached(cache: Any, *args: Any, **kwargs: Any) -> Any:
        decorate = original(cache, *args, **kwargs)

        @functools.wraps(decorate)
        def decorated(function: Any) -> Any:
            made = decorate(function)
            if type(cache) is dict:
                take(made)
            return made

        return decorated

    return cached


FUNCTOOLS = (Target("functools", "lru_cache", _decorates_lru, LRU),)
CACHETOOLS = (
    Target("cachetools", "Cache.__init__", makes, CACHE),
    Target("cachetools", "cached", _decorates, CACHED),
)
