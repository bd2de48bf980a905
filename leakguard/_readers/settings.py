"""The settings around this process's memory: kernel, allocators, interpreter.

Rules of this file: read once, when asked. What cannot be read is ``None``.
"""

from __future__ import annotations

import gc
import os
import sys
import sysconfig
import tracemalloc
from typing import TYPE_CHECKING

from leakguard._core.cgroups import memory_places
from leakguard._core.settings import Settings
from leakguard._readers.ledger import c_allocator, heap_is_visible, read_text
from leakguard._readers.process import read_counters

if TYPE_CHECKING:
    from leakguard._core.samples import Reading

#: Variables that set up an allocator or tracing. No others are read.
_VARIABLES = (
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    "MALLOC_ARENA_MAX",
    "MALLOC_CONF",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_TRIM_THRESHOLD_",
    "PYTHONDEVMODE",
    "PYTHONMALLOC",
    "PYTHONTRACEMALLOC",
)
_RLIMITS = ("as", "data", "nofile", "nproc", "rss", "stack")


def read_settings(reading: Reading, root: str = "/") -> Settings:
    """Return what surrounds this process's memory, beside the limits in ``reading``.

    Cost: some milliseconds.
    """
    counters = read_counters()
    return Settings(
        reading=reading,
        rss_bytes=counters.rss_bytes,
        platform=sys.platform,
        version=sys.version_info[:3],
        debug_build=hasattr(sys, "gettotalrefcount"),
        development_mode=sys.flags.dev_mode,
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        gil_enabled=bool(getattr(sys, "_is_gil_enabled", lambda: True)()),
        allocator=c_allocator(root),
        heap_is_visible=heap_is_visible(),
        python_blocks=counters.python_blocks,
        environ={name: os.environ[name] for name in _VARIABLES if name in os.environ},
        cpus=os.cpu_count(),
        gc_enabled=gc.isenabled(),
        gc_threshold=gc.get_threshold(),
        gc_debug=gc.get_debug(),
        gc_frozen=gc.get_freeze_count(),
        gc_callbacks=len(gc.callbacks),
        traced_frames=(
            tracemalloc.get_traceback_limit() if tracemalloc.is_tracing() else 0
        ),
        oom_group=_oom_group(root),
        oom_kill_disabled=_oom_kill_disabled(root),
        huge_pages=_chosen(
            read_text(root, "sys/kernel/mm/transparent_hugepage/enabled")
        ),
        rlimits=_rlimits(),
        pid=os.getpid(),
        init=(read_text(root, "proc/1/comm") or "").strip() or None,
    )


def _oom_group(root: str) -> bool | None:
    """Return whether this group, or one above it, is killed as a whole."""
    values = _values(root, 2, "memory.oom.group")
    return any(value.strip() == "1" for value in values) if values else None


def _oom_kill_disabled(root: str) -> bool | None:
    values = _values(root, 1, "memory.oom_control")
    if not values:
        return None
    return any("oom_kill_disable 1" in value for value in values)


def _values(root: str, version: int, file: str) -> list[str]:
    """Return the texts of a file in this process's groups, bottom up."""
    places = memory_places(
        read_text(root, "proc/self/mountinfo") or "",
        read_text(root, "proc/self/cgroup") or "",
    )
    texts = [
        read_text(root, f"{directory}/{file}")
        for place in places
        if place.version == version
        for _, directory in place.groups
    ]
    return [text for text in texts if text is not None]


def _rlimits() -> dict[str, int]:
    try:
        import resource
    except ImportError:  # Windows
        return {}
    known = {name: getattr(resource, f"RLIMIT_{name.upper()}") for name in _RLIMITS}
    soft = {name: resource.getrlimit(number)[0] for name, number in known.items()}
    return {name: size for name, size in soft.items() if size != resource.RLIM_INFINITY}


def _chosen(text: str | None) -> str | None:
    """Return the word in brackets: ``always [madvise] never``."""
    return text.partition("[")[2].partition("]")[0] or None if text else None
