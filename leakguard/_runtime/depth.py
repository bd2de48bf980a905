"""The second look: one short window at depth, for stacks, types and holders."""

from __future__ import annotations

import gc
from collections import Counter, deque
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING

from leakguard._core.evidence import DeepLook
from leakguard._readers.attributes import dict_of, is_a, mro_of
from leakguard._readers.heap import name_of_type
from leakguard._readers.holders import (
    Followed,
    Newborn,
    describe_grown,
    find_owner,
    kind_of,
    sites_below,
    stack_of,
)
from leakguard._readers.process import collects_automatically
from leakguard._readers.search import PAUSE_SECONDS
from leakguard._runtime.window import newborn_window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from leakguard._core.evidence import Holding
    from leakguard._core.judge import Picture
    from leakguard._core.observe import GrowthRow
    from leakguard._core.records import Frame, Stack
    from leakguard._core.traces import Traces
    from leakguard._runtime.window import Window

#: Blocks hoped for from the slowest of the leading sites, and calls for them.
_WANTED_BLOCKS = 60
_LEAST_CALLS, _MOST_CALLS = 24, 4_000
#: A buffer that is extended moves when it has grown by this share, or less.
_RESIZED_SHARE = 0.25
#: Sites whose holders are looked for.
_LEADING_ROWS = 40
#: Survivors asked for their allocation: about 3 us each at depth.
_SAMPLED_SURVIVORS = 30_000
_EXAMPLES_PER_SITE, _BELOW_AN_EXAMPLE = 3, 200
_SEARCHED_STACKS = 4
#: Objects of a type in the window from which they pile up.
_SEVERAL = 3
#: What shrinks below this share by a collection was garbage.
_VANISHED_SHARE = 0.3


def look_deep(  # noqa: PLR0913 - one look, its options spelled out
    run: Callable[[], float],
    rows: Sequence[GrowthRow],
    *,
    nframe: int,
    search_seconds: float,
    pause_seconds: float = PAUSE_SECONDS,
    exact: bool = False,
    keep: frozenset[str] = frozenset(),
) -> DeepLook:
    """Let work be done at depth and describe what it left behind.

    ``run`` returns how much was done, in the units of the rows' slopes (calls or
    seconds). The search for holders takes about ``search_seconds`` at most; none of its
    steps keeps other threads waiting for longer than ``pause_seconds``. ``exact`` is as
    in ``describe_grown``, ``keep`` as in ``newborn_window``.
    """
    frames = frozenset(row.frame for row in rows[:_LEADING_ROWS])
    followed = Followed(pause_seconds)
    gc.collect()  # empties the free lists: what is taken from them is not traced
    with newborn_window(nframe, keep=keep) as window:
        work_done = run()
        garbage, finalized = _garbage(frames)
        survivors, vanished = _survivors(window)
        newborn = Newborn.read()
        types, examples = _sample(newborn, frames)
        grown = followed.grown(newborn)
        held = {stack for item in grown for stack in item.sites}
        loose = {s: kept for s, kept in examples.items() if s not in held}
        below = _below(loose, newborn)
    # Tracing is over, and with it the cost of every allocation of the search.
    hidden = {id(followed.containers), id(newborn.objects), id(examples)}
    hidden |= {id(kept) for kept in examples.values()}
    holdings = describe_grown(
        grown,
        hidden,
        seconds=search_seconds * 0.6,
        pause_seconds=pause_seconds,
        exact=exact,
    )
    find = partial(find_owner, pause_seconds=pause_seconds, exact=exact)
    owners = _owners(loose, below, hidden, search_seconds * 0.4, find)
    kinds = garbage | types
    return DeepLook(work_done, survivors, kinds, holdings, owners, vanished, finalized)


def _garbage(
    frames: frozenset[Frame],
) -> tuple[dict[Stack, Counter[str]], tuple[str, ...]]:
    """Return the types of what waits for a collection, and those with a finalizer.

    Nothing, where the application collects by itself.
    """
    if collects_automatically():
        return {}, ()
    waiting = Newborn.read()
    return _sample(waiting, frames, examples=0)[0], _finalized(waiting)


def _survivors(
    window: Window,
) -> tuple[dict[Stack, tuple[int, int]], frozenset[Stack]]:
    """Return survivors by stack, and the stacks that only a collection freed.

    Where the application collects by itself, garbage is no survivor; where it does
    not, garbage stays, and is told from the rest by collecting at last.
    """
    if collects_automatically():
        gc.collect()
        return _by_stack(window.read_traces()), frozenset()
    before = _by_stack(window.read_traces())
    gc.collect()
    after = _by_stack(window.read_traces())
    gone = frozenset(
        stack
        for stack, (size, _) in before.items()
        if after.get(stack, (0, 0))[0] < size * _VANISHED_SHARE
    )
    return before, gone


def calls_wanted(picture: Picture) -> int:
    """Return how many calls show enough survivors of the leading sites."""
    rows = picture.steady_rows[:5]
    rates = [row.blocks.slope for row in rows if not row.is_resized]
    slowest = min((rate for rate in rates if rate > 0), default=1.0)
    wanted = _WANTED_BLOCKS / slowest
    if any(row.is_resized for row in rows):
        wanted = max(wanted, picture.calls * _RESIZED_SHARE)
    return max(_LEAST_CALLS, min(_MOST_CALLS, int(wanted)))


def _by_stack(traces: Traces) -> dict[Stack, tuple[int, int]]:
    return dict(traces.by_stack())


def _sample(
    newborn: Newborn, frames: frozenset[Frame], examples: int = _EXAMPLES_PER_SITE
) -> tuple[dict[Stack, Counter[str]], dict[Stack, list[object]]]:
    """Return the types of survivors by stack, and a few examples of each stack."""
    types: dict[Stack, Counter[str]] = {}
    kept: dict[Stack, list[object]] = {}
    objects = newborn.objects
    step = max(1, len(objects) // _SAMPLED_SURVIVORS)
    for index in range(0, len(objects), step):
        item = objects[index]
        stack = stack_of(item)
        if stack is None or stack[0] not in frames:
            continue
        types.setdefault(stack, Counter())[kind_of(item)] += 1
        if len(kept.setdefault(stack, [])) < examples:
            kept[stack].append(item)
        elif examples:
            kept[stack][-1] = item
    return types, kept


def _below(
    loose: Mapping[Stack, list[object]], newborn: Newborn
) -> dict[Stack, dict[Stack, int]]:
    """Return where was allocated what examples of the stacks hold: also atoms."""
    stacks = list(loose)[:_SEARCHED_STACKS]
    return {
        stack: sites_below(deque(loose[stack]), newborn, _BELOW_AN_EXAMPLE)
        for stack in stacks
    }


def _finalized(newborn: Newborn) -> tuple[str, ...]:
    """Return the types with a ``__del__`` in Python of which there are several."""
    kinds: dict[int, tuple[type, int]] = {}
    for item in newborn.objects:
        kind = type(item)
        kinds[id(kind)] = (kind, kinds.get(id(kind), (kind, 0))[1] + 1)
    return tuple(
        name_of_type(kind)
        for kind, count in kinds.values()
        if count >= _SEVERAL and _has_finalizer(kind)
    )


def _has_finalizer(kind: type) -> bool:
    finalizers = (dict_of(base).get("__del__") for base in mro_of(kind))
    return any(is_a(found, FunctionType) for found in finalizers)


def _owners(
    loose: Mapping[Stack, list[object]],
    below: Mapping[Stack, Mapping[Stack, int]],
    hidden: set[int],
    seconds: float,
    find: Callable[..., Holding | None],
) -> dict[Stack, Holding]:
    """Search the holders of what no growing container holds, of a few stacks.

    What lies below has the same one, unless one of its own was found.
    """
    found: dict[Stack, Holding] = {}
    along: dict[Stack, Holding] = {}
    for stack, sites in below.items():
        share = seconds / len(below)
        owner = find(loose[stack], hidden | {id(loose)}, seconds=share)
        if owner is not None:
            found[stack] = owner
            along.update(dict.fromkeys(sites, owner))
    return along | found
