"""Which settings will hurt, and what to do about each: the table of ``doctor``.

Rules of this file: a row of the table is a topic, a function from the settings to one
sentence of fact (``None``: it does not apply) and the remedy. The order of the table
is that of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from leakguard._core.records import Unknown
from leakguard._core.units import format_bytes, format_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from leakguard._core.settings import Settings

Level = Literal["ok", "note", "warning"]

_NEARLY_FULL, _FILLING = 0.85, 0.70
#: CPython 3.12 freezes some hundred immortal objects by itself.
_FROZEN_BY_ITSELF = 2_000
_SAVE_ALL = 32  # gc.DEBUG_SAVEALL
_GLIBC_ARENAS_PER_CPU = 8  # 64-bit: mallopt(3), M_ARENA_MAX
_FEW_FILES = 1024
_DEBUG_ALLOCATORS = ("debug", "malloc_debug", "mimalloc_debug", "pymalloc_debug")
_PRELOADED = ("jemalloc", "mimalloc", "tcmalloc")
#: Programs that answer signals only by their own handlers when they are process 1.
_APPLICATIONS = ("python", "gunicorn", "uvicorn", "granian", "hypercorn", "celery")
#: First and last bad release -> what is wrong with them; python/cpython issue numbers.
_BAD_RELEASES = {
    ((3, 14, 0), (3, 14, 4)): "its incremental garbage collector lets cyclic garbage "
    "pile up, some programs to several times their size (gh-142516)",
    ((3, 12, 0), (3, 12, 1)): "asyncio leaks a failed TLS handshake (gh-109534)",
    ((3, 11, 0), (3, 11, 7)): "asyncio leaks a failed TLS handshake (gh-109534)",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact with its remedy; an ``ok`` one needs none."""

    level: Level
    topic: str
    fact: str
    remedy: str


def advise(settings: Settings) -> tuple[Finding, ...]:
    """Return the findings, warnings first."""
    return tuple(
        Finding(level, topic, fact, remedy)
        for level, rows in TABLE.items()
        for topic, say, remedy in rows
        if (fact := say(settings)) is not None
    )


def _limit_is_unknown(here: Settings) -> str | None:
    limit = here.reading.limit
    return limit.reason if isinstance(limit, Unknown) else None


def _limit(here: Settings, *, of_host: bool) -> str | None:
    limit = here.reading.limit
    if isinstance(limit, Unknown) or (limit.source == "host") != of_host:
        return None
    return f"{format_bytes(limit.limit_bytes)} ({limit.source})"


def _limit_of_host(here: Settings) -> str | None:
    fact = _limit(here, of_host=True)
    return fact and f"none of its own, a leak takes the host down: {fact}"


def _limit_in_force(here: Settings) -> str | None:
    return _limit(here, of_host=False)


def _limit_is_inexact(here: Settings) -> str | None:
    if not here.reading.inexact:
        return None
    return "this process's own group lies outside of what it can see"


def _use(here: Settings, least: float, most: float) -> str | None:
    """Say how full it is, from ``least`` to below ``most`` of the nearest limit."""
    binding, used = here.reading.binding, here.reading.binding_unreclaimable_bytes
    if binding is None and not isinstance(here.reading.limit, Unknown):
        binding, used = here.reading.limit, here.reading.unreclaimable_bytes
    if binding is None or used is None:
        return None
    share = used / max(1, binding.limit_bytes)
    if not least <= share < most:
        return None
    return (
        f"{format_ratio(share)} of {format_bytes(binding.limit_bytes)} "
        f"({binding.source}) is in use and cannot be reclaimed"
    )


def _nearly_full(here: Settings) -> str | None:
    return _use(here, _NEARLY_FULL, float("inf"))


def _filling(here: Settings) -> str | None:
    return _use(here, _FILLING, _NEARLY_FULL)


def _has_room(here: Settings) -> str | None:
    return _use(here, 0.0, _FILLING)


def _throttle(here: Settings) -> str | None:
    throttle = here.reading.throttle
    if throttle is None:
        return None
    size = format_bytes(throttle.limit_bytes)
    return f"above {size} ({throttle.source}) the kernel slows it down, and kills later"


def _oom_kills(here: Settings) -> str | None:
    kills = here.reading.oom_kills
    if not kills:
        return None
    return f"{kills} killed for want of memory in this group since it was made"


def _no_oom_kills(here: Settings) -> str | None:
    return "none in this group" if here.reading.oom_kills == 0 else None


def _limit_hits(here: Settings) -> str | None:
    hits = here.reading.limit_hits
    return f"the limit was reached {hits} times" if hits else None


def _oom_group(here: Settings) -> str | None:
    if not here.oom_group:
        return None
    return "memory.oom.group: one process over the limit kills the whole container"


def _oom_kill_disabled(here: Settings) -> str | None:
    if not here.oom_kill_disabled:
        return None
    return "oom_kill_disable: at the limit the processes hang instead of being killed"


def _swapped(here: Settings) -> str | None:
    used = here.reading.swap_usage_bytes
    return f"{format_bytes(used)} of this group are swapped out" if used else None


def _swap(here: Settings) -> str | None:
    free = here.reading.swap_free_bytes
    if not free:
        return None
    return f"{format_bytes(free)} of swap left: it gets slow before it is killed"


def _arenas(here: Settings) -> str | None:
    tuned = "glibc.malloc.arena_max" in here.environ.get("GLIBC_TUNABLES", "")
    if not _is_glibc(here) or tuned or "MALLOC_ARENA_MAX" in here.environ:
        return None
    most = _GLIBC_ARENAS_PER_CPU * (here.cpus or 1)
    return f"glibc makes up to {most} arenas for threads; each keeps freed memory"


def _thresholds(here: Settings) -> str | None:
    names = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_THRESHOLD_")
    given = [f"{name}={here.environ[name]}" for name in names if name in here.environ]
    if not _is_glibc(here) or not given:
        return None
    return f"{', '.join(given)}: freed memory below that stays with the process"


def _is_glibc(here: Settings) -> bool:
    return here.allocator.startswith("glibc")


def _musl(here: Settings) -> str | None:
    if here.allocator != "musl":
        return None
    return "musl: native memory in use cannot be seen, and freed memory not given back"


def _foreign_allocator(here: Settings) -> str | None:
    if here.allocator not in _PRELOADED:
        return None
    return f"{here.allocator}: native memory in use cannot be seen"


def _lost_allocator(here: Settings) -> str | None:
    preload = here.environ.get("LD_PRELOAD", "")
    lost = [name for name in _PRELOADED if name in preload and name != here.allocator]
    return f"LD_PRELOAD asks for {lost[0]}, which is not loaded" if lost else None


def _allocator(here: Settings) -> str | None:
    return here.allocator if _is_glibc(here) and here.heap_is_visible else None


def _unseen_heap(here: Settings) -> str | None:
    if not _is_glibc(here) or here.heap_is_visible:
        return None
    return "psutil cannot see what malloc has handed out"


def _debug_allocator(here: Settings) -> str | None:
    if here.environ.get("PYTHONMALLOC") in _DEBUG_ALLOCATORS or here.development_mode:
        return "debug hooks of Python's allocators: each object is some 32 bytes larger"
    return None


def _malloc_only(here: Settings) -> str | None:
    if here.python_blocks:
        return None
    return "PYTHONMALLOC=malloc: slower, and Python's memory is not told from native"


def _bad_release(here: Settings) -> str | None:
    for (first, last), wrong in _BAD_RELEASES.items():
        # The free-threaded build has a collector of its own.
        ours = not (here.free_threaded and first[:2] == (3, 14))
        if first <= here.version <= last and ours:
            return f"{_version(here)}: {wrong}"
    return None


def _debug_build(here: Settings) -> str | None:
    if not here.debug_build:
        return None
    return f"{_version(here)} is a debug build: several times slower, larger objects"


def _free_threaded(here: Settings) -> str | None:
    if not here.free_threaded:
        return None
    gil = "on" if here.gil_enabled else "off"
    return f"{_version(here)} free-threaded, GIL {gil}: Python's memory is in mimalloc"


def _plain_build(here: Settings) -> str | None:
    special = here.free_threaded or here.debug_build or _bad_release(here)
    return None if special else _version(here)


def _version(here: Settings) -> str:
    return "Python " + ".".join(map(str, here.version))


def _gc_off(here: Settings) -> str | None:
    if here.gc_enabled and here.gc_threshold[0]:
        return None
    return "the cyclic collector is off: objects that refer to each other are kept"


def _gc_saves(here: Settings) -> str | None:
    if not here.gc_debug & _SAVE_ALL:
        return None
    return "gc.DEBUG_SAVEALL (or DEBUG_LEAK) is set: all cyclic garbage is kept"


def _gc_frozen(here: Settings) -> str | None:
    if here.gc_frozen <= _FROZEN_BY_ITSELF:
        return None
    return f"{here.gc_frozen} objects are frozen: cycles among them are never freed"


def _gc_on(here: Settings) -> str | None:
    if _gc_off(here):
        return None
    extra = f", {here.gc_callbacks} callbacks" if here.gc_callbacks else ""
    return f"on, thresholds {', '.join(map(str, here.gc_threshold))}{extra}"


def _tracing(here: Settings) -> str | None:
    if not here.traced_frames:
        return None
    return (
        f"tracemalloc runs with {here.traced_frames} frames: allocations are several "
        "times slower, and their traces take memory"
    )


def _address_space(here: Settings) -> str | None:
    size = here.rlimits.get("as")
    if size is None:
        return None
    return f"RLIMIT_AS {format_bytes(size)}: it counts reserved memory, not used"


def _few_files(here: Settings) -> str | None:
    files = here.rlimits.get("nofile")
    return f"at most {files} open files" if files and files <= _FEW_FILES else None


def _is_init(here: Settings) -> str | None:
    if here.pid != 1 and not (here.init or "").startswith(_APPLICATIONS):
        return None
    return "the application is process 1: SIGTERM without a handler is ignored"


def _huge_pages(here: Settings) -> str | None:
    if here.huge_pages != "always":
        return None
    return "transparent huge pages always: freed memory stays resident in 2 MiB pages"


_FIND_LEAK = "find what grows (leakguard run), or raise the limit"
#: level -> topic, what to say (``None``: nothing), what to do
TABLE: Mapping[Level, tuple[tuple[str, Callable[[Settings], str | None], str], ...]] = {
    "warning": (
        ("use", _nearly_full, "free or shed now; " + _FIND_LEAK),
        ("kills", _oom_kills, _FIND_LEAK),
        (
            "limit",
            _limit_of_host,
            "set one: docker run --memory, Kubernetes limits.memory",
        ),
        (
            "kills",
            _oom_kill_disabled,
            "write 0 to memory.oom_control; no --oom-kill-disable",
        ),
        ("swap", _swapped, "more memory or less load: it is short already"),
        ("gc", _gc_saves, "gc.set_debug(0)"),
        ("gc", _gc_off, "gc.enable(), or gc.collect() between requests"),
        ("python", _bad_release, "upgrade to a later patch release"),
        ("python", _debug_build, "use a release build in production"),
        ("allocator", _debug_allocator, "no PYTHONMALLOC, no PYTHONDEVMODE, no -X dev"),
        (
            "allocator",
            _lost_allocator,
            "check the path, and that it is built for this C library",
        ),
        ("allocator", _musl, "use an image with glibc, such as python:3-slim"),
        (
            "tracing",
            _tracing,
            "in production, no PYTHONTRACEMALLOC and no -X tracemalloc",
        ),
    ),
    "note": (
        (
            "limit",
            _limit_is_unknown,
            "run this beside the application (docker exec, kubectl exec)",
        ),
        ("limit", _limit_is_inexact, "run this inside the container"),
        ("use", _filling, _FIND_LEAK),
        ("use", _limit_hits, "more room, if it coincides with slow requests"),
        (
            "throttle",
            _throttle,
            "raise it if requests time out (Kubernetes: memoryThrottlingFactor)",
        ),
        (
            "kills",
            _oom_group,
            "with several workers: kubelet singleProcessOOMKill (1.32), or write 0",
        ),
        ("swap", _swap, "none needed; watch latency rather than kills"),
        ("allocator", _arenas, "many threads: set MALLOC_ARENA_MAX=2"),
        ("allocator", _thresholds, "unset them, unless measured to help"),
        (
            "allocator",
            _foreign_allocator,
            "none needed; run once without LD_PRELOAD to see it",
        ),
        ("allocator", _unseen_heap, "install psutil 7.2 or later"),
        ("allocator", _malloc_only, "unset PYTHONMALLOC"),
        ("python", _free_threaded, "none needed; windows cost more here"),
        ("gc", _gc_frozen, "gc.collect() before gc.freeze(), and once only"),
        ("ulimit", _address_space, "limit the container or RLIMIT_DATA instead"),
        ("ulimit", _few_files, "ulimit -n, docker run --ulimit nofile=65536"),
        ("signals", _is_init, "docker run --init, or tini as the entry point"),
        (
            "huge pages",
            _huge_pages,
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
    ),
    "ok": (
        ("limit", _limit_in_force, ""),
        ("use", _has_room, ""),
        ("kills", _no_oom_kills, ""),
        ("allocator", _allocator, ""),
        ("python", _plain_build, ""),
        ("gc", _gc_on, ""),
    ),
}
