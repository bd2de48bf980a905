"""Growth per second from short windows onto a running program.

A window sees what was born in it and still lives at its end. Over windows of
different lengths the slope is the leak's rate and the intercept is what is merely in
flight. A slope alone accuses whatever turns over, so the program's own totals over
the whole run must rise too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakguard._core.growth import Law, fit_growth, fit_line
from leakguard._core.observe import GrowthRow
from leakguard._core.records import Verdict
from leakguard._core.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from leakguard._core.records import Frame, Suspect

#: Windows needed before a slope means anything: each length at least once.
LEAST_WINDOWS = 4
#: A site must have survivors in this share of the windows, and this confidence.
PRESENT_SHARE = 0.5
LEAST_CONFIDENCE = 0.8
#: Growth of the totals over the later half that counts as standing still.
BLOCKS_FLOOR = 200
HEAP_FLOOR_BYTES = 256 * 1024
#: Growth of the C heap of which the windows trace this share is Python's: its objects
#: above 512 bytes live there, in few blocks.
EXPLAINED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Burst:
    """What one window saw: survivors by allocating frame as (bytes, blocks)."""

    at_seconds: float
    seconds: float
    sites: Mapping[Frame, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Total:
    """The program's own counters at one moment."""

    at_seconds: float
    python_blocks: int
    heap_bytes: int | None


def rate_rows(bursts: Sequence[Burst]) -> tuple[GrowthRow, ...]:
    """Return the sites whose survivors follow the windows' length, fastest first.

    Slopes are per second.
    """
    if len(bursts) < LEAST_WINDOWS:
        return ()
    seen: dict[Frame, int] = {}
    for burst in bursts:
        for frame in burst.sites:
            seen[frame] = seen.get(frame, 0) + 1
    frequent = [f for f, n in seen.items() if n >= PRESENT_SHARE * len(bursts)]
    rows = [_row(frame, bursts) for frame in frequent]
    found = [row for row in rows if row.size.shape == "linear"]
    return tuple(sorted(found, key=lambda row: -row.size.slope))


def _row(frame: Frame, bursts: Sequence[Burst]) -> GrowthRow:
    lengths = [burst.seconds for burst in bursts]
    sizes = [float(burst.sites.get(frame, (0, 0))[0]) for burst in bursts]
    blocks = [float(burst.sites.get(frame, (0, 0))[1]) for burst in bursts]
    return GrowthRow(frame, _rate_law(lengths, sizes), _rate_law(lengths, blocks))


def _rate_law(lengths: Sequence[float], survivors: Sequence[float]) -> Law:
    line = fit_line(lengths, survivors)
    sure = line.slope > 0 and line.confidence >= LEAST_CONFIDENCE
    return Law(
        "linear" if sure else "flat",
        line.slope,
        line.intercept,
        sum(survivors),
        line.confidence,
    )


def blocks_law(totals: Sequence[Total]) -> Law:
    """Return the law of the interpreter's allocated blocks over the run."""
    stamps = [int(total.at_seconds * 1000) for total in totals]
    blocks = [float(total.python_blocks) for total in totals]
    return fit_growth(stamps, blocks, floor=BLOCKS_FLOOR)


def heap_law(totals: Sequence[Total]) -> Law | None:
    """Return the law of the C heap over the run; ``None`` where it is not read."""
    known = [(t.at_seconds, t.heap_bytes) for t in totals if t.heap_bytes is not None]
    if len(known) != len(totals):
        return None
    stamps = [int(at * 1000) for at, _ in known]
    return fit_growth(stamps, [float(n) for _, n in known], floor=HEAP_FLOOR_BYTES)


def is_rising(totals: Sequence[Total]) -> bool:
    """Return whether the program holds more and more, by either counter."""
    heap = heap_law(totals)
    return blocks_law(totals).grown > BLOCKS_FLOOR or (
        heap is not None and heap.grown > HEAP_FLOOR_BYTES
    )


def judge_run(
    bursts: Sequence[Burst], totals: Sequence[Total], suspects: Sequence[Suspect]
) -> Verdict:
    """Return the verdict over a run that was watched from beside it."""
    seconds = totals[-1].at_seconds if totals else 0.0
    if len(bursts) < LEAST_WINDOWS:
        return Verdict(
            "unknown",
            0.5,
            f"The program ran {format_seconds(seconds)} and {len(bursts)} of the"
            f" {LEAST_WINDOWS} windows needed fit into the overhead budget; a longer"
            " run or a larger --budget would decide it.",
        )
    if suspects and is_rising(totals):
        rate = sum(s.growth_bytes_per_second or 0.0 for s in suspects)
        return Verdict(
            "leak",
            max(s.confidence for s in suspects),
            f"Memory grows by {format_bytes(rate)} per second over"
            f" {format_seconds(seconds)}, and what was born in {len(bursts)} windows"
            " stays alive.",
            growth_bytes_per_second=rate,
        )
    return _quiet_or_native(bursts, totals, seconds)


def _quiet_or_native(
    bursts: Sequence[Burst], totals: Sequence[Total], seconds: float
) -> Verdict:
    heap = heap_law(totals)
    still = blocks_law(totals).grown <= BLOCKS_FLOOR
    rate = heap.slope * 1000 if heap is not None else 0.0
    traced_rate = sum(row.size.slope for row in rate_rows(bursts))
    if (
        still
        and heap is not None
        and heap.shape == "linear"
        and traced_rate < EXPLAINED_SHARE * rate
    ):
        return Verdict(
            "native-leak",
            heap.confidence,
            f"Python's own blocks stand still while the C heap grows by"
            f" {format_bytes(rate)} per second: native code keeps it.",
            growth_bytes_per_second=rate,
        )
    if not still and blocks_law(totals).shape in ("linear", "unclear"):
        return Verdict(
            "unknown",
            0.5,
            f"The program holds more and more blocks over {format_seconds(seconds)},"
            f" but no line stood out in {len(bursts)} windows; a longer run or a larger"
            " --budget would decide it.",
        )
    return Verdict(
        "steady",
        0.8,
        f"Nothing grew in proportion to time over {format_seconds(seconds)} and"
        f" {len(bursts)} windows.",
        growth_bytes_per_second=0.0,
    )
