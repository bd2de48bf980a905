"""Every test leaves the interpreter as it found it: leakguard is a guest there."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.kernel_groups import group, mount_point

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["group", "mount_point"]  # fixtures for all tests

pytest_plugins = ["pytester"]

#: For runs that repeat what others have tried in full.
settings.register_profile("few", max_examples=10)

#: CPython 3.12 moves some hundred immortal objects there by itself.
MOST_FROZEN_BY_ITSELF = 2_000
#: How long a thread that a test has started may take to end behind it.
THREAD_ENDS_SECONDS = 5.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give real servers on a busy machine a second chance, which is told.

    Not what looks for races: there a single failure is one too many.
    The longest tests come first: at the end one of them would keep a processor idle.
    """
    items.sort(key=lambda item: item.get_closest_marker("matrix") is None)
    for item in items:
        serves = item.get_closest_marker("slow") and item.path.parent.name == "faces"
        if serves or item.get_closest_marker("zoo"):
            item.add_marker(pytest.mark.flaky(reruns=1))


def _state() -> dict[str, object]:
    """Return what a profiler might change and forget. Cost: about 10 µs."""
    return {
        "tracemalloc": tracemalloc.is_tracing() and tracemalloc.get_traceback_limit(),
        "gc.isenabled": gc.isenabled(),
        "gc.get_threshold": gc.get_threshold(),
        "gc.get_debug": gc.get_debug(),
        "gc.callbacks": [
            callback
            for callback in gc.callbacks
            # Hypothesis times collections, from its first test on.
            if not str(getattr(callback, "__module__", "")).startswith("hypothesis")
        ],
        "a frozen heap": gc.get_freeze_count() > MOST_FROZEN_BY_ITSELF,
        "Thread.start": threading.Thread.start,
        "sys.getswitchinterval": sys.getswitchinterval(),
        "sys.getprofile": sys.getprofile(),
        "threading.getprofile": threading.getprofile(),
        "sys.gettrace": sys.gettrace(),
        "SIGUSR2": signal.getsignal(signal.SIGUSR2),
        "SIGTERM": signal.getsignal(signal.SIGTERM),
        "SIGINT": signal.getsignal(signal.SIGINT),
    }


@pytest.fixture(autouse=True, scope="session")
def _interrupts_are_heard() -> None:
    """A shell has what it starts in the background ignore them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _interpreter_as_found() -> Iterator[None]:
    before, threads = _state(), set(threading.enumerate())
    yield
    after = _state()
    changed = {
        name: f"{before[name]} became {after[name]}"
        for name in before
        if before[name] != after[name]
    }
    assert not changed, changed
    born = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in born:
        thread.join(THREAD_ENDS_SECONDS)
    left = [thread.name for thread in born if thread.is_alive()]
    assert not left, f"threads still run: {left}"
