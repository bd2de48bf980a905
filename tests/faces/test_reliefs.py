"""Helpers for caches: each empties one, and none keeps one alive."""

from __future__ import annotations

import functools
import gc
import linecache
import re
import threading
import weakref

import pytest

from leakguard import LeakguardError, reliefs


class Pool:
    def __init__(self) -> None:
        self.idle = [1, 2, 3]

    def shrink(self) -> None:
        self.idle.clear()


def test_a_cached_function_is_emptied_and_not_kept() -> None:
    @functools.lru_cache(maxsize=8)
    def double(number: int) -> int:
        return 2 * number

    double(3)
    clear = reliefs.clear_lru(double)
    clear()
    assert double.cache_info().currsize == 0
    gone = weakref.ref(double)
    del double
    gc.collect()
    assert gone() is None
    clear()


def test_a_method_is_called_weakly() -> None:
    pool = Pool()
    shrink = reliefs.weakly(pool.shrink, threading.Lock())
    shrink()
    assert pool.idle == []
    gone = weakref.ref(pool)
    del pool
    assert gone() is None
    shrink()


def test_the_caches_of_the_standard_library_are_emptied() -> None:
    linecache.getline(__file__, 1)
    assert __file__ in linecache.cache
    reliefs.clear_linecache()
    assert linecache.cache == {}
    pattern = re.compile("a pattern of this test")
    assert re.compile("a pattern of this test") is pattern
    reliefs.purge_re()
    assert re.compile("a pattern of this test") is not pattern


def test_what_allows_no_weak_reference_is_refused() -> None:
    for method in ({}.clear, lambda: None):
        with pytest.raises(LeakguardError, match="no weak reference"):
            reliefs.weakly(method)


def test_what_has_no_cache_is_refused() -> None:
    with pytest.raises(LeakguardError, match="lru_cache has decorated"):
        reliefs.clear_lru(test_what_has_no_cache_is_refused)
