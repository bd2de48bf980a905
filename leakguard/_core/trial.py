"""When a short trial of a test has seen enough, and what counts as growth in it.

A trial has about a second where a diagnosis has forty, so it decides by calls rather
than by time. Rules of this file: pure functions of the looks; growth counts only when
two witnesses agree, the lines that allocate and the interpreter's own counters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from leakguard._core.judge import LEAST_CALLS, picture_of
from leakguard._core.observe import SMALL_BLOCK_BYTES, is_turnover
from leakguard._core.records import Verdict
from leakguard._core.robust import median
from leakguard._core.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leakguard._core.foreign import Kept
    from leakguard._core.judge import Picture
    from leakguard._core.observe import Checkpoint, GrowthRow
    from leakguard._core.records import Suspect

#: What may count: what Python allocates, and what the C heap grows beyond that.
GROWTH_KINDS = ("python", "native")
#: A test that grows by less than is allowed is believed after so many calls: what
#: warms up once is done, and a leak of one small object has left 40 in the later half.
QUIET_CALLS = 72
#: Growth that slows down is followed for longer.
SLOWING_CALLS = 160
#: Growth is believed to go on after so many calls, if it has come to so many bytes:
#: most bounded caches that cannot be read are full by then.
SURE: tuple[tuple[int, int], ...] = ((700, 0), (250, 256 << 10), (100, 4 << 20))
#: The first looks are close together; further ones after so many times the calls.
FIRST_GOALS = (2, 4, 8, 12, 16, 24, 32, 48, QUIET_CALLS)
STRIDE = 1.35
#: Share of the seconds for these calls; the rest is for the look at depth.
WATCH_SHARE = 0.6
#: A slow test is called ``LEAST_CALLS`` times, even if that takes so many times as
#: long as was asked for; and what seems to grow is given so many times as long.
MOST_OVERTIME, SUSPICIOUS_OVERTIME = 10.0, 3.0
#: Blocks born, or bytes grown, from which on the counters are a witness.
_WITNESSED_BLOCKS, _WITNESSED_BYTES = 24, 256 * 1024
#: At depth, growth must go on at this share of its rate, as the counters see it.
_STEADY_SHARE, _LEAST_BYTES_AT_DEPTH = 0.25, 8 * 1024
#: The interpreter keeps up to 255 freed objects of a kind (asyncio's futures, contexts)
#: where neither a collection nor a holder shows them. Growth without a holder must
#: have come to more blocks than that, or to this many bytes, or of larger blocks to
#: fewer bytes.
_UNHELD_BLOCKS, _UNHELD_BYTES, _UNHELD_LARGE_BYTES = 300, 64 * 1024, 16 * 1024
#: The C heap is shared with everything else: a short look believes less of it.
NATIVE_FLOOR_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Terms:
    """What a trial may use, and what growth per call it lets pass.

    ``calls`` fixes the number of calls; ``grown_bytes`` ends a trial that has cost so
    much memory.
    """

    allowed_bytes_per_call: float
    seconds: float
    calls: int | None
    grown_bytes: int
    kinds: tuple[str, ...] = GROWTH_KINDS


def next_goal(done: int) -> int:
    """Return at how many calls to look next."""
    for goal in FIRST_GOALS:
        if goal > done:
            return goal
    return int(done * STRIDE)


def time_for(calls: int, terms: Terms, *, suspicious: bool) -> float:
    """Return after how many seconds to stop calling, so many calls being made."""
    overtime = SUSPICIOUS_OVERTIME if suspicious else 1.0
    if calls < LEAST_CALLS:
        overtime = MOST_OVERTIME
    return terms.seconds * WATCH_SHARE * overtime


@dataclass(frozen=True, slots=True)
class Witness:
    """What the counters of all blocks saw while calls were made at depth.

    ``blocks`` and ``heap_bytes`` are differences, ``None`` where they are not known.
    """

    calls: int
    blocks: int | None
    heap_bytes: int | None

    def without(self, kept: Kept) -> Witness:
        """Return what was seen but for what somebody else keeps."""
        blocks, heap_bytes = self.blocks, self.heap_bytes
        return Witness(
            self.calls,
            None if blocks is None else blocks - kept.blocks,
            None if heap_bytes is None else heap_bytes - kept.heap_bytes,
        )


def goes_on(picture: Picture, witness: Witness) -> bool:
    """Return whether the growth went on at depth, or stopped meanwhile.

    A cache that is full by then replaces its entries: new ones are there, and the
    old ones are not seen to go, but the counters stand still.
    """
    rows = picture.steady_rows
    blocks = witness.calls * sum(max(0.0, row.blocks.slope) for row in rows)
    size = witness.calls * sum(max(0.0, row.size.slope) for row in rows)
    if size <= SMALL_BLOCK_BYTES * blocks:
        if witness.blocks is None or blocks < LEAST_CALLS / 2:
            return True
        return witness.blocks >= blocks * _STEADY_SHARE
    if witness.heap_bytes is None or size < _LEAST_BYTES_AT_DEPTH:
        return True
    return witness.heap_bytes >= size * _STEADY_SHARE


def is_proven(suspects: Sequence[Suspect], calls: int) -> bool:
    """Return whether the suspects are more than the interpreter's own free lists."""
    later = calls * 0.55
    blocks = later * sum(s.growth_count_per_call or 0.0 for s in suspects)
    size = later * sum(s.growth_bytes_per_call or 0.0 for s in suspects)
    held = any(s.owner or s.pattern in {"cycle", "native"} for s in suspects)
    large = size >= SMALL_BLOCK_BYTES * blocks
    most = _UNHELD_LARGE_BYTES if large else _UNHELD_BYTES
    return held or blocks >= _UNHELD_BLOCKS or size >= most


def stopped(calls: int) -> Verdict:
    """Return the verdict over growth that had stopped when it was looked at again."""
    return Verdict(
        "cache",
        0.9,
        f"What grew over {calls} calls had stopped when it was looked at again: a cache"
        " that is full, or a warm-up.",
        growth_bytes_per_call=0.0,
    )


def seen_so_far(
    looks: Sequence[Checkpoint], kinds: tuple[str, ...] = GROWTH_KINDS
) -> Picture:
    """Return the laws behind the looks, without what only took another's place.

    Blocks that were there before are not seen to go, so a full cache whose entries
    are replaced looks like growth to who traces; the counters stand still.
    """
    picture = picture_of(looks)
    rows = tuple(
        _without_resizing(looks, row)
        for row in picture.rows
        if not is_turnover(
            looks, row, blocks=_WITNESSED_BLOCKS, size_bytes=_WITNESSED_BYTES
        )
    )
    native = picture.native
    if "native" not in kinds or (native and native.grown < NATIVE_FLOOR_BYTES):
        native = None
    if "python" not in kinds:
        rows = ()
    # Resident memory moves by whole arenas: nothing a second of calls could judge.
    return replace(picture, rows=rows, native=native, resident=None)


def is_over(looks: Sequence[Checkpoint], picture: Picture, terms: Terms) -> bool:
    """Return whether further calls would teach nothing, or may not be made."""
    first, last = looks[0], looks[-1]
    if terms.calls is not None:
        return last.calls >= terms.calls
    suspicious = is_suspicious(picture, terms)
    if last.seconds >= time_for(last.calls, terms, suspicious=suspicious):
        return True
    if last.calls < LEAST_CALLS:
        return False
    heap = (last.heap_bytes or 0) - (first.heap_bytes or 0)
    if max(last.traced_bytes - first.traced_bytes, heap) >= terms.grown_bytes:
        return True
    if suspicious:
        grown = last.traced_bytes - first.traced_bytes
        return any(last.calls >= calls and grown >= size for calls, size in SURE)
    return last.calls >= (SLOWING_CALLS if picture.slowing_rows else QUIET_CALLS)


def is_suspicious(picture: Picture, terms: Terms) -> bool:
    """Return whether what grows steadily, or may, is more than is allowed."""
    rows = picture.steady_rows + picture.open_rows
    rate = sum(max(0.0, row.size.slope) for row in rows)
    native = picture.native
    if native is not None and native.shape == "linear":
        rate += native.slope
    return rate > terms.allowed_bytes_per_call


def is_undecided(looks: Sequence[Checkpoint], picture: Picture, terms: Terms) -> bool:
    """Return whether the trial ended before it could tell."""
    if looks[-1].calls < LEAST_CALLS:
        return True
    steady = replace(
        picture, rows=tuple(r for r in picture.rows if r not in picture.open_rows)
    )
    return is_suspicious(picture, terms) and not is_suspicious(steady, terms)


def undecided(looks: Sequence[Checkpoint], picture: Picture, terms: Terms) -> Verdict:
    """Return the verdict of a trial that could not tell, with what would decide it."""
    last = looks[-1]
    took = format_seconds(last.seconds)
    reason = f"{last.calls} calls in {took} are too few to tell a leak from a warm-up"
    if picture.rows:
        grown = format_bytes(sum(row.size.grown for row in picture.rows))
        reason += f" ({grown} came in the later half of them)"
    wanted = max(LEAST_CALLS * 2, last.calls * 4)
    each = last.seconds / max(1, last.calls)
    seconds = max(terms.seconds, round(wanted * each / WATCH_SHARE + 0.5))
    remedy = f"calls={wanted}" if terms.calls else f"seconds={seconds:g}"
    return Verdict("unknown", 0.5, f"{reason}; {remedy} would decide it.")


def _without_resizing(looks: Sequence[Checkpoint], row: GrowthRow) -> GrowthRow:
    """Return the row as its blocks grow, where one huge block hides how.

    A big list that is resized appears with its whole size, as a jump beside which
    the objects that are put into it cannot be seen. Where the number of blocks goes
    on in proportion to the calls, the usual stretch of calls tells the bytes.
    """
    blocks = row.blocks
    if blocks.shape != "linear" or blocks.grown < _WITNESSED_BLOCKS:
        return row
    half = looks[-1].calls * 0.45
    sizes = [
        (look.calls, look.sites.get(row.frame, (0, 0))[0])
        for look in looks
        if look.calls >= half
    ]
    rates = [(b - a) / (n - m) for (m, a), (n, b) in pairwise(sizes)]
    usual = max(0.0, median(rates))
    if row.size.shape == "linear" and row.size.slope <= 2 * usual:
        return row
    grown = usual * (sizes[-1][0] - sizes[0][0])
    law = replace(
        row.size,
        shape="linear",
        slope=usual,
        grown=grown,
        confidence=blocks.confidence,
    )
    return replace(row, size=law)
