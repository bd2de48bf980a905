"""Which call into C takes the memory that a program loses outside Python.

Rules of this file: pure; a place whose C function is not known is named by what its
line calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from leakguard._core.records import Frame, Stack

#: A call site that keeps less of what is lost per call is not the leak, and one that
#: keeps so much more is something else.
_LEAST_SHARE, _MOST_SHARE = 0.5, 4.0
#: Functions that are on many lines and give nothing to look for.
_PLAIN = frozenset({"len", "str", "int", "float", "min", "max", "sum", "isinstance"})


class CallSite(NamedTuple):
    """A C function, if it is known, and the Python line that called it."""

    function: str | None
    frame: Frame


class Culprit(NamedTuple):
    """The call that loses memory, innermost line first, and how much for each call."""

    function: str | None
    stack: Stack
    growth_bytes_per_call: float


def culprit_of(
    kept: Mapping[CallSite, int],
    stacks: Mapping[CallSite, Stack],
    calls: int,
    growth_bytes_per_call: float,
    called_at: Callable[[str, int], Sequence[str]],
) -> Culprit | None:
    """Return the call that keeps most of what is lost, if it keeps enough of it.

    ``kept`` is what each call site took and did not give back in so many ``calls``,
    and ``stacks`` who called it; ``called_at`` names what a line of source calls.
    """
    best = max(kept, key=lambda site: kept[site], default=None)
    if best is None or calls < 1:
        return None
    rate, lost = kept[best] / calls, growth_bytes_per_call
    if not _LEAST_SHARE * lost <= rate <= _MOST_SHARE * lost:
        return None
    function = best.function or _first_telling(called_at(*best.frame))
    return Culprit(function, stacks[best], rate)


def _first_telling(names: Sequence[str]) -> str | None:
    return next((name for name in names if name not in _PLAIN), None)
