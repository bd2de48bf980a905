"""Memory histories of a few lines each, with the noise that real ones have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakguard._core.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIB = 1024 * 1024
PAGE_BYTES = 4096
#: Long enough for one point of a thinned column to be some samples.
COUNT = 240
PERIOD_SECONDS = 10.0


def rising(mib: float, *, begin: float = 0.0, stop: float = 1.0) -> list[float]:
    """Return a line that rises by so many MiB between two shares of the history."""
    share = [(at / COUNT - begin) / (stop - begin) for at in range(COUNT)]
    return [mib * min(1.0, max(0.0, way)) for way in share]


def swinging(mib: float, *, period: int, high: int) -> list[float]:
    """Return swings of so many MiB, ``high`` samples of each ``period`` up."""
    return [mib if at % period >= period - high else 0.0 for at in range(COUNT)]


def saw(mib: float, *, period: int) -> list[float]:
    """Return a sawtooth: it rises, and falls at once."""
    return [mib * (at % period) / period for at in range(COUNT)]


def level(*parts: Sequence[float], base: float = 100.0) -> list[int]:
    """Return the sum of the parts in bytes, with noise of a few pages."""
    sums = [base + sum(part) for part in zip(*parts, strict=True)] or [base] * COUNT
    return [
        int(mib * MIB) + PAGE_BYTES * (at * 7919 % 13) for at, mib in enumerate(sums)
    ]


def counts(of: Callable[[int], float]) -> list[int]:
    """Return a column that is no memory."""
    return [int(of(at)) for at in range(COUNT)]


def history(
    resident: Sequence[int | None] | None = None, **columns: Sequence[int | None]
) -> list[Sample]:
    """Return the samples of the columns; those that are not given are unknown."""
    if resident is not None:
        columns["rss_bytes"] = resident
    return [
        Sample(at * PERIOD_SECONDS, **dict(zip(columns, row, strict=True)))
        for at, row in enumerate(zip(*columns.values(), strict=True))
    ]
