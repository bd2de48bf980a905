"""What the tools around a test keep of each call, which is no growth of the test's.

Rules of this file: pure. coverage.py keeps a tracer for each thread that there was, so
a test that starts threads would seem to leak; and what it keeps is in the interpreter's
counters, too, where it would hide that they stand still.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from leakguard._core.judge import leak_verdict
from leakguard._core.observe import SMALL_BLOCK_BYTES
from leakguard._core.records import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from leakguard._core.conclusion import Conclusion
    from leakguard._core.judge import Picture
    from leakguard._core.observe import Checkpoint
    from leakguard._core.records import Frame, Suspect

_IN_COVERAGE = re.compile(r"[/\\]coverage[/\\]").search
_IN_PYTEST = re.compile(r"[/\\]_pytest[/\\]").search


class Kept(NamedTuple):
    """What is kept, as the counters see it: small blocks, and bytes of the C heap."""

    blocks: int = 0
    heap_bytes: int = 0


def kept_by_coverage(held: Iterable[tuple[Frame, tuple[int, int]]]) -> Kept:
    """Return what coverage keeps of (bytes, blocks) by the frame that allocates."""
    blocks = heap_bytes = 0
    for frame, (size, count) in held:
        if not _is_of_coverage(frame):
            continue
        if size <= SMALL_BLOCK_BYTES * count:
            blocks += count
        else:
            heap_bytes += size
    return Kept(blocks, heap_bytes)


def without_coverage(look: Checkpoint) -> Checkpoint:
    """Return the look without what coverage keeps."""
    sites = look.sites
    foreign = {frame: sites[frame] for frame in filter(_is_of_coverage, sites)}
    if not foreign:
        return look
    kept, heap_bytes = kept_by_coverage(foreign.items()), look.heap_bytes
    return replace(
        look,
        sites={frame: held for frame, held in sites.items() if frame not in foreign},
        traced_bytes=look.traced_bytes - sum(size for size, _ in foreign.values()),
        python_blocks=max(0, look.python_blocks - kept.blocks),
        heap_bytes=None if heap_bytes is None else heap_bytes - kept.heap_bytes,
    )


def is_held_by_coverage(suspect: Suspect) -> bool:
    """Return whether coverage holds what the work made, as its threads."""
    owner = suspect.owner
    return owner is not None and owner.path.startswith("coverage.")


def is_of_tools(suspect: Suspect) -> bool:
    """Return whether a suspect is pytest's or coverage's, and no fixture's or test's.

    CPython 3.12, for one, keeps for good the name of each directory of ``tmp_path``.
    """
    if is_held_by_coverage(suspect):
        return True
    if suspect.site is None or suspect.site.in_app:
        return False
    return any(map(_IN_PYTEST, suspect.stack))


def without_foreign(
    found: Conclusion,
    is_foreign: Callable[[Suspect], bool],
    picture: Picture,
    seconds_per_call: float,
) -> Conclusion:
    """Return the findings without the suspects that are not the work's own."""
    own = tuple(suspect for suspect in found.suspects if not is_foreign(suspect))
    if len(own) == len(found.suspects):
        return found
    if own:
        verdict = leak_verdict(picture, own, seconds_per_call)
    else:
        reason = "What grew is the test tools' own: nothing of the test's is on it."
        verdict = Verdict("steady", 0.9, reason, growth_bytes_per_call=0.0)
    ranked = tuple(replace(one, rank=rank) for rank, one in enumerate(own, start=1))
    return replace(found, verdict=verdict, suspects=ranked)


def _is_of_coverage(frame: Frame) -> bool:
    return _IN_COVERAGE(frame[0]) is not None
