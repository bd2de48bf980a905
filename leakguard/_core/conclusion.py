"""From all the looks to the findings of a diagnosis: the last pure step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from leakguard._core.evidence import NO_LOOK, gather, stopped
from leakguard._core.judge import LEAST_CALLS, judge
from leakguard._core.observe import is_turnover, look_near_half, still_calls
from leakguard._core.suspects import (
    NO_RESOURCES,
    Resources,
    accuse,
    accuse_native,
    acquit_slowing,
    fastest_held,
    split_bounded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from leakguard._core.evidence import DeepLook
    from leakguard._core.judge import Picture
    from leakguard._core.observe import Checkpoint, GrowthRow
    from leakguard._core.records import Acquittal, Suspect, Verdict
    from leakguard._core.suspects import Names

#: Slowing growth below this over the later half is not worth a reader's time.
_WORTH_TELLING_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What was found: the verdict, who is accused and who was acquitted."""

    verdict: Verdict
    suspects: tuple[Suspect, ...]
    acquitted: tuple[Acquittal, ...]


def conclude(  # noqa: PLR0913 - everything that was seen, once
    looks: Sequence[Checkpoint],
    picture: Picture,
    deep: DeepLook | None,
    names: Names,
    *,
    seconds: float,
    calls: int,
    trim: Callable[[], int | None],
) -> Conclusion:
    """Return the findings of a diagnosis.

    ``seconds`` is how long the ``calls`` took in all; ``trim`` asks the C library to
    give free memory back and says how much came (called only when it would decide).
    """
    depth, seconds_per_call = deep or NO_LOOK, seconds / max(1, calls)
    steady = (row for row in picture.steady_rows if _goes_on(row, looks, depth))
    growths = gather(steady, depth, names.in_app)
    guilty, bounded = split_bounded(
        growths, names, work_done=depth.work_done, seconds=seconds
    )
    resources = resources_of(looks)
    suspects = accuse(
        guilty,
        names,
        held=fastest_held(growths),
        seconds_per_call=seconds_per_call,
        resources=resources,
    )
    acquitted = (*bounded, *acquit_slowing(_worth_telling(picture), names))
    trimmed_bytes = trim() if not suspects and _grows_resident(picture) else None
    verdict = judge(
        picture,
        suspects,
        acquitted,
        trimmed_bytes=trimmed_bytes,
        seconds_per_call=seconds_per_call,
    )
    if verdict.kind == "leak":
        share = _explained_share(suspects, looks, picture)
        return Conclusion(replace(verdict, explained_share=share), suspects, acquitted)
    native = verdict.kind == "native-leak"
    accused = (accuse_native(verdict, resources=resources),) if native else ()
    return Conclusion(verdict, accused, acquitted)


def _grows_resident(picture: Picture) -> bool:
    return picture.resident is not None and picture.resident.shape == "linear"


def _explained_share(
    suspects: Sequence[Suspect], looks: Sequence[Checkpoint], picture: Picture
) -> float | None:
    """Return the suspects' part of the growth that is traced or native."""
    first, last = looks[len(looks) // 2], looks[-1]
    calls = last.calls - first.calls
    if calls <= 0:
        return None
    grown = (last.traced_bytes - first.traced_bytes) / calls
    if picture.native is not None and picture.native.shape == "linear":
        grown += max(0.0, picture.native.slope)
    named = sum(suspect.growth_bytes_per_call or 0.0 for suspect in suspects)
    return named / grown if grown > 0 else None


def resources_of(looks: Sequence[Checkpoint]) -> Resources:
    """Return what more of files, threads and such the later half of the calls has left.

    The earlier half may have filled pools.
    """
    if not looks:
        return NO_RESOURCES
    first, last = look_near_half(looks), looks[-1]
    calls = last.calls - first.calls
    if calls < LEAST_CALLS:
        return NO_RESOURCES

    def rate(before: int | None, after: int | None) -> float:
        known = before is not None and after is not None
        return (after - before) / calls if known else 0.0  # type: ignore[operator]

    return Resources(
        rate(first.open_files, last.open_files),
        rate(first.threads, last.threads),
        rate(first.exit_callbacks, last.exit_callbacks),
    )


def _goes_on(row: GrowthRow, looks: Sequence[Checkpoint], deep: DeepLook) -> bool:
    still = still_calls(looks, row)
    return not stopped(row, deep, still) and not is_turnover(looks, row)


def _worth_telling(picture: Picture) -> list[GrowthRow]:
    """Return the slowing sites large enough that a reader would ask about them."""
    rows = picture.slowing_rows
    return [row for row in rows if row.size.grown >= _WORTH_TELLING_BYTES]
