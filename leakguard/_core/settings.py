"""The record of what surrounds a process's memory: kernel, allocators, interpreter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leakguard._core.samples import Reading


@dataclass(frozen=True, slots=True)
class Settings:
    """What surrounds a process's memory; ``None`` is not known.

    ``environ`` holds only the variables that set up an allocator or tracing.
    ``rlimits`` holds the soft limits that are not unlimited. ``init`` is the name of
    process 1 as this process sees it. ``arenas`` is glibc's own bound when set.
    """

    reading: Reading
    rss_bytes: int | None
    platform: str
    version: tuple[int, int, int]
    debug_build: bool
    development_mode: bool
    free_threaded: bool
    gil_enabled: bool
    allocator: str
    heap_is_visible: bool
    python_blocks: int
    environ: Mapping[str, str]
    cpus: int | None
    gc_enabled: bool
    gc_threshold: tuple[int, ...]
    gc_debug: int
    gc_frozen: int
    gc_callbacks: int
    traced_frames: int
    oom_group: bool | None
    oom_kill_disabled: bool | None
    huge_pages: str | None
    rlimits: Mapping[str, int]
    pid: int
    init: str | None
