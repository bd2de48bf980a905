"""The verdict over a memory history: what kind of growth, how fast, until when.

``judge_history`` is pure: the same samples give the same verdict. It looks at floors
(what memory never falls below again), not at levels; takes out what follows the
requests in flight; and asks the columns together: what the process holds, what of it
the C heap and Python's blocks account for, and what the group holds beside it. The
first rule of ``RULES`` that holds is the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from leakguard._core.forecast import Forecast, forecast
from leakguard._core.history import columns_of, lives_of
from leakguard._core.pace import Rate, rate_of
from leakguard._core.shape import LEAST_OF_SWING
from leakguard._core.units import format_bytes, format_seconds
from leakguard._core.view import View, hidden_rate, leak_rate, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from leakguard._core.history import Columns
    from leakguard._core.records import VerdictKind
    from leakguard._core.samples import Sample
    from leakguard._core.shape import Shape

__all__ = ["Forecast", "Trend", "judge_history", "judge_lately"]

#: Fewer samples than this, at different times, decide nothing.
LEAST_SAMPLES = 30
#: Kinds that do not stop.
GROWING = ("leak", "fragmentation")
#: A life shorter than this share of the longest one is judged by the longest.
LEAST_LIFE_SHARE = 0.25
#: What counts as lately, in a history of at least twice that.
RECENT_SECONDS = 3600.0
#: Settled growth that is worth being called a cache: bytes, and share of the level.
CACHE_BYTES, CACHE_SHARE = 3e6, 0.06
#: Resident growth of which the heap and the blocks explain less is fragmentation.
LIVE_SHARE = 0.3
#: Swings that are called load: bytes, and share of the level.
LOAD_BYTES, LOAD_SHARE = 2e6, 0.04
#: What is left of the growth without the load must be more than this share of it.
LEAST_OF_LOAD = 0.25
#: Late growth at these shares of the growth before is a straight line.
STRAIGHT = (0.8, 2.0)
#: Growth outside the process that swings more than this share is others' noise.
OUTSIDE_SWING_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Trend:
    """The verdict over a history, with the evidence it rests on.

    Growth is given for what does not stop (leak, fragmentation), and ``None`` where
    how fast is not known; ``plateau_bytes`` for what did (a cache).
    """

    kind: VerdictKind
    confidence: float
    reason: str
    growth_bytes_per_second: float | None
    growth_interval: tuple[float, float] | None
    plateau_bytes: int | None
    forecast: Forecast
    samples: int
    evidence: tuple[str, ...] = ()


def judge_history(
    samples: Sequence[Sample],
    *,
    limit_bytes: int | None = None,
    used_bytes: int | None = None,
) -> Trend:
    """Return the verdict over the samples, oldest first.

    ``limit_bytes``, and ``used_bytes`` of it, overrule what the samples say. Of several
    lives the last is judged, or the longest while the last is still short. Cost: below
    20 ms.
    """
    lives = lives_of(samples)
    longest = max(lives, key=len, default=[])
    young = not lives or len(lives[-1]) < LEAST_LIFE_SHARE * len(longest)
    columns = columns_of(longest if young else lives[-1])
    if columns is None or len(columns.seconds) < LEAST_SAMPLES:
        return _too_few(len(samples), columns, limit_bytes)
    now = (columns_of(lives[-1]) or columns) if young else columns
    view = view_of(columns)
    rule = next(rule for rule in RULES if rule.holds(view))
    rate = _rate(rule, view)
    grows = rule.kind in GROWING
    begun = f" {'before' if young else 'since'} its last start" if lives[1:] else ""
    return Trend(
        rule.kind,
        _confidence(rule, view),
        _reason(rule, view, rate, begun),
        rate.per_second or (None if grows else 0.0),
        (rate.low, rate.high) if rate.per_second else None,
        int(max(columns.resident[-8:])) if rule.kind == "cache" else None,
        forecast(
            rate if grows else None,
            used_bytes=now.used_bytes if used_bytes is None else used_bytes,
            limit_bytes=limit_bytes or now.limit_bytes,
        ),
        len(samples),
        _evidence(view),
    )


def judge_lately(
    samples: Sequence[Sample],
    *,
    limit_bytes: int | None = None,
    used_bytes: int | None = None,
) -> Trend:
    """Return the verdict over the samples, or a leak of the last hour's.

    In a long history a leak that began lately is too short to be seen. It counts when
    memory is above all that it was before: a busy morning goes where others went.
    Cost: that of two verdicts.
    """
    whole = judge_history(samples, limit_bytes=limit_bytes, used_bytes=used_bytes)
    if whole.kind in GROWING or not samples:
        return whole
    begin = samples[-1].t_seconds - RECENT_SECONDS
    if begin - samples[0].t_seconds < RECENT_SECONDS:
        return whole
    recent = [sample for sample in samples if sample.t_seconds >= begin]
    earlier = [sample.rss_bytes or 0 for sample in samples[: -len(recent)]]
    if (samples[-1].rss_bytes or 0) <= max(earlier):
        return whole
    lately = judge_history(recent, limit_bytes=limit_bytes, used_bytes=used_bytes)
    return lately if lately.kind == "leak" else whole


class Rule(NamedTuple):
    """A verdict, when it holds, the shape that shows it, and the reason."""

    kind: VerdictKind
    holds: Callable[[View], bool]
    shape: Callable[[View], Shape]
    reason: str


def _keeps(view: View) -> bool:
    """Return whether live memory rises: in the process, or hidden in its free heap."""
    shape, level = view.resident, view.level
    if shape.law != "rising":
        return view.heap_hides_growth or view.blocks_show_growth
    if view.heap_settles:
        return False
    own = max(LEAST_OF_LOAD * level.risen, LEAST_OF_SWING * level.swing)
    return view.live_keeps or shape.risen > own


def _is_unexplained(view: View) -> bool:
    if view.heap is None or view.resident.risen <= 0:
        return False
    live = view.heap_grown + view.arenas_grown
    return live < LIVE_SHARE * view.resident.risen


def _follows_load(view: View) -> bool:
    return view.level.law in ("rising", "settled") and (
        view.resident.risen < LEAST_OF_LOAD * view.level.risen
    )


def _grows_outside(view: View) -> bool:
    outside = view.outside
    return (
        outside is not None
        and outside.law == "rising"
        and outside.swing < OUTSIDE_SWING_SHARE * outside.risen
    )


def _settled(view: View) -> bool:
    shape = view.resident
    return (
        (shape.law == "settled" or view.heap_settles)
        and view.level.swing < shape.risen + shape.warmed
        and shape.risen > max(CACHE_BYTES, CACHE_SHARE * shape.level)
    )


def _settled_outside(view: View) -> bool:
    outside = view.outside
    return (
        outside is not None
        and outside.law == "settled"
        and outside.swing < outside.risen
        and outside.risen > max(CACHE_BYTES, CACHE_SHARE * view.resident.level)
    )


def _swings(view: View) -> bool:
    return view.level.swing > max(LOAD_BYTES, LOAD_SHARE * view.resident.level)


RULES = (
    Rule(
        "fragmentation",
        lambda v: _keeps(v) and _is_unexplained(v),
        lambda v: v.resident,
        "resident memory rises by {risen} while what is in use hardly does: the"
        " allocator keeps freed memory",
    ),
    Rule(
        "leak",
        lambda v: _keeps(v) and v.resident.law == "rising",
        lambda v: v.resident,
        "the floor that memory never falls below again rises without slowing down, by"
        " {risen}",
    ),
    Rule(
        "leak",
        lambda v: v.heap_hides_growth,
        lambda v: v.heap or v.resident,
        "what is in use rises without slowing down, by {risen}, behind resident memory"
        " that swings or reuses what was freed",
    ),
    Rule(
        "leak",
        _keeps,
        lambda v: v.blocks or v.resident,
        "Python's blocks become more without slowing down, by {count}, behind resident"
        " memory that swings",
    ),
    Rule(
        "load",
        _follows_load,
        lambda v: v.level,
        "memory follows the requests in flight; without them its floor does not rise",
    ),
    Rule(
        "leak",
        _grows_outside,
        lambda v: v.outside or v.resident,
        "the process stands still, but the container holds more and more beside it,"
        " by {risen}: files in tmpfs or shared memory, or another process",
    ),
    Rule(
        "cache",
        _settled,
        lambda v: v.resident,
        "memory rose by {risen} after the warm-up and then stopped",
    ),
    Rule(
        "cache",
        _settled_outside,
        lambda v: v.outside or v.resident,
        "the process stands still; what the container holds beside it, such as file"
        " pages, rose by {risen} and then stopped",
    ),
    Rule(
        "load",
        _swings,
        lambda v: v.level,
        "memory swings by {swing} and comes back to its floor",
    ),
    Rule(
        "unknown",
        lambda v: v.resident.law == "unclear",
        lambda v: v.resident,
        "the swings are as long as the history; a longer one would decide it",
    ),
    Rule("steady", lambda _: True, lambda v: v.resident, "memory stands still"),
)


def _rate(rule: Rule, view: View) -> Rate:
    shape = rule.shape(view)
    if rule.kind not in GROWING:
        return Rate(view.columns.seconds[0], 0.0, 0.0, 0.0)
    if shape is view.blocks:
        return hidden_rate(view)
    if rule.kind == "leak" and shape is not view.outside:
        return leak_rate(view)
    return rate_of(shape)


def _reason(rule: Rule, view: View, rate: Rate, begun: str) -> str:
    shape = rule.shape(view)
    seconds = view.columns.seconds[-1] - view.columns.seconds[0]
    text = rule.reason.format(
        risen=format_bytes(shape.risen),
        swing=format_bytes(shape.swing),
        count=f"{shape.risen:.0f}",
    )
    if rule.kind == "leak":
        per_second = f", {format_bytes(rate.per_second)} per second"
        text += per_second if rate.per_second else "; how fast is not known"
    return f"Over {format_seconds(seconds)}{begun} {text}."


def _confidence(rule: Rule, view: View) -> float:
    shape = rule.shape(view)
    sure = 0.7 + 0.1 * (view.columns.samples >= 100)
    if rule.kind == "unknown":
        return 0.5
    if rule.kind == "leak":
        straight = STRAIGHT[0] <= shape.late_ratio <= STRAIGHT[1]
        sure += 0.1 * straight + 0.09 * view.live_keeps
    else:
        sure += 0.1 * (shape.law == "flat") + 0.09 * (not view.live_keeps)
    return round(sure, 2)


def _evidence(view: View) -> tuple[str, ...]:
    named = (
        ("resident", view.resident, format_bytes),
        ("C heap", view.heap, format_bytes),
        ("Python's blocks", view.blocks, lambda n: f"{n:.0f}"),
        ("outside the process", view.outside, format_bytes),
    )
    return tuple(
        f"{name}: {shape.law}, floor +{write(max(0.0, shape.risen))} after the"
        f" warm-up, swings of {write(shape.swing)}"
        for name, shape, write in named
        if shape is not None
    )


def _too_few(samples: int, columns: Columns | None, limit_bytes: int | None) -> Trend:
    moments = len(columns.seconds) if columns else 0
    return Trend(
        "unknown",
        0.5,
        f"The memory of one life is known at {moments} moments; {LEAST_SAMPLES} or more"
        " decide.",
        None,
        None,
        None,
        forecast(None, used_bytes=None, limit_bytes=limit_bytes),
        samples,
    )
