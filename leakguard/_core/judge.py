"""When to stop looking, and what to call what was seen.

Both are pure functions of the looks. ``next_step`` never says "leak": it only says
that more calls would not teach more. The verdict waits for the evidence, since a
holder with a bound acquits growth that no slope can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakguard._core.observe import (
    Checkpoint,
    GrowthRow,
    growth_rows,
    native_law,
    resident_law,
)
from leakguard._core.records import Verdict
from leakguard._core.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leakguard._core.growth import Law
    from leakguard._core.records import Acquittal, Suspect

#: A quiet program is believed after this many calls, or seconds of looking.
QUIET_CALLS, QUIET_SECONDS = 300, 3.0
#: Growth is believed to be steady after this many calls in this many seconds, if it
#: has come to this many bytes: most bounded caches (some thousand entries of some
#: KB) are full by then. Smaller growth is watched longer.
SURE: tuple[tuple[int, float, int], ...] = (
    (12_000, 2.5, 8 << 20),
    (20_000, 6.0, 1 << 20),
    (3_000, 10.0, 8 << 20),
    (50_000, 4.0, 0),
)
#: Growth that could not be told apart is worth a doubt from this size on.
OPEN_BYTES = 64 * 1024
#: The C heap is shared with imports, threads and the allocator's own habits.
NATIVE_CONFIDENCE = 0.9
#: Below this many calls nothing is decided.
LEAST_CALLS = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What a diagnosis may use: seconds of looking, calls, grown bytes, traces.

    ``more_files`` is how many files may stay open beyond those of the first look.
    """

    seconds: float
    calls: int | None
    grown_bytes: int
    traces: int = 3_000_000
    more_files: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything the looks say, as laws."""

    calls: int
    rows: tuple[GrowthRow, ...]
    native: Law | None
    resident: Law | None

    @property
    def steady_rows(self) -> tuple[GrowthRow, ...]:
        """The sites that grow in proportion to the work."""
        return tuple(row for row in self.rows if row.size.shape == "linear")

    @property
    def open_rows(self) -> tuple[GrowthRow, ...]:
        """The sites about which more calls would teach more."""
        return tuple(row for row in self.rows if row.size.shape == "unclear")

    @property
    def slowing_rows(self) -> tuple[GrowthRow, ...]:
        """The sites whose growth slows down: warm-ups and caches."""
        return tuple(row for row in self.rows if row.size.shape == "decaying")

    @property
    def wavering_rows(self) -> tuple[GrowthRow, ...]:
        """The sites that grow and shrink: work in flight, batches, sawtooths."""
        return tuple(row for row in self.rows if row.size.shape == "wavering")


def picture_of(looks: Sequence[Checkpoint]) -> Picture:
    """Return the laws behind the looks."""
    return Picture(
        calls=looks[-1].calls if looks else 0,
        rows=growth_rows(looks),
        native=native_law(looks),
        resident=resident_law(looks),
    )


def is_enough(looks: Sequence[Checkpoint], picture: Picture, limits: Limits) -> bool:
    """Return whether further calls would teach nothing, or may not be made."""
    if not looks:
        return False
    last, first = looks[-1], looks[0]
    if limits.calls is not None and last.calls >= limits.calls:
        return True
    if last.seconds >= limits.seconds or last.traces >= limits.traces:
        return True
    if limits.more_files is not None and files_kept(looks) >= limits.more_files:
        return True
    if limits.calls is not None or last.calls < LEAST_CALLS:
        return False
    grown = last.traced_bytes - first.traced_bytes
    heap = (last.heap_bytes or 0) - (first.heap_bytes or 0)
    if max(grown, heap) >= limits.grown_bytes:
        return True
    return _is_settled(first, last, picture)


def files_kept(looks: Sequence[Checkpoint]) -> int:
    """Return how many more files are open than at the first look."""
    return (looks[-1].open_files or 0) - (looks[0].open_files or 0)


def _is_settled(first: Checkpoint, last: Checkpoint, picture: Picture) -> bool:
    natively = picture.native is not None and picture.native.shape == "linear"
    moving = bool(picture.steady_rows or picture.open_rows) or natively
    if not moving:
        slowing = bool(picture.slowing_rows or picture.wavering_rows)
        calls = QUIET_CALLS * (4 if slowing else 1)
        seconds = QUIET_SECONDS * (2 if slowing else 1)
        return last.calls >= calls and last.seconds >= seconds
    grown = last.traced_bytes - first.traced_bytes
    return any(
        last.calls >= calls and last.seconds >= seconds and grown >= size
        for calls, seconds, size in SURE
    )


def judge(
    picture: Picture,
    suspects: Sequence[Suspect],
    acquitted: Sequence[Acquittal],
    *,
    trimmed_bytes: int | None,
    seconds_per_call: float,
) -> Verdict:
    """Return the verdict over the evidence.

    ``trimmed_bytes`` is what the C library gave back when asked at the end (``None``
    when it was not asked): memory that comes back was fragmentation, not a leak.
    """
    if picture.calls < LEAST_CALLS:
        return _undecided(picture)
    if suspects:
        return leak_verdict(picture, suspects, seconds_per_call)
    if _is_native(picture):
        return _native(picture, seconds_per_call)
    if picture.resident is not None and picture.resident.shape == "linear":
        return _resident(picture, trimmed_bytes, seconds_per_call)
    if sum(row.size.grown for row in picture.open_rows) > OPEN_BYTES:
        return _undecided(picture)
    if acquitted:
        return acquitted_verdict(acquitted, f"{picture.calls} calls")
    return Verdict(
        "steady",
        0.95,
        f"Memory stands still: nothing grew in proportion to {picture.calls} calls.",
        growth_bytes_per_call=0.0,
    )


def leak_verdict(
    picture: Picture, suspects: Sequence[Suspect], seconds_per_call: float
) -> Verdict:
    """Return the verdict where these suspects leak; there is at least one."""
    rate = sum(s.growth_bytes_per_call or 0.0 for s in suspects)
    first = suspects[0]
    where = first.owner.path if first.owner else None
    held = f", held by {where}" if where else ""
    number = "one place" if len(suspects) == 1 else f"{len(suspects)} places"
    reason = (
        f"Memory grows by {format_bytes(rate)} per call, steadily over"
        f" {picture.calls} calls, from {number}{held}, and nothing bounds it."
    )
    if _is_native(picture) and picture.native is not None:
        more = format_bytes(picture.native.slope)
        reason = reason[:-1] + f"; native memory grows with it, {more} per call."
    return Verdict(
        "leak",
        max(s.confidence for s in suspects),
        reason,
        growth_bytes_per_call=rate,
        growth_bytes_per_second=_per_second(rate, seconds_per_call),
    )


def _is_native(picture: Picture) -> bool:
    return (
        picture.native is not None
        and picture.native.shape == "linear"
        and picture.native.confidence >= NATIVE_CONFIDENCE
    )


def _native(picture: Picture, seconds_per_call: float) -> Verdict:
    assert picture.native is not None  # noqa: S101 - asked by _is_native
    rate = picture.native.slope
    return Verdict(
        "native-leak",
        picture.native.confidence,
        f"Python's own memory stands still while the C heap grows by"
        f" {format_bytes(rate)} per call, steadily over {picture.calls} calls:"
        " native code keeps it.",
        growth_bytes_per_call=rate,
        growth_bytes_per_second=_per_second(rate, seconds_per_call),
    )


def _resident(
    picture: Picture, trimmed_bytes: int | None, seconds_per_call: float
) -> Verdict:
    assert picture.resident is not None  # noqa: S101 - asked by the caller
    law = picture.resident
    if trimmed_bytes is not None and trimmed_bytes > law.grown / 2:
        return Verdict(
            "fragmentation",
            0.8,
            f"Resident memory grew, but {format_bytes(trimmed_bytes)} of it was free"
            " and came back when the allocator was asked to trim: start with"
            " MALLOC_ARENA_MAX=2 and MALLOC_TRIM_THRESHOLD_=131072, call"
            " psutil.heap_trim() at quiet moments, or preload jemalloc.",
        )
    return Verdict(
        "native-leak",
        min(0.8, law.confidence),
        f"Resident memory grows by {format_bytes(law.slope)} per call outside Python"
        " and the C heap (memory mapped by native code, or stacks of threads).",
        growth_bytes_per_call=law.slope,
        growth_bytes_per_second=_per_second(law.slope, seconds_per_call),
    )


def _undecided(picture: Picture) -> Verdict:
    more = max(LEAST_CALLS * 4, picture.calls * 4)
    return Verdict(
        "unknown",
        0.5,
        f"{picture.calls} calls are too few to tell a leak from a warm-up;"
        f" {more} calls would decide it.",
    )


def acquitted_verdict(acquitted: Sequence[Acquittal], span: str) -> Verdict:
    """Return the verdict when all that grew has a bound or slows down."""
    best = max(acquitted, key=lambda item: item.growth_bytes_per_call or 0.0)
    return Verdict(
        "cache",
        0.9,
        f"What grew over {span} will not go on: {best.reason}.",
        growth_bytes_per_call=0.0,
    )


def _per_second(rate: float, seconds_per_call: float) -> float | None:
    return rate / seconds_per_call if seconds_per_call > 0 else None
