"""The second look: one short window at depth, for stacks, types and holders."""

from __future__ import annotations

import gc
from collections import Counter
from typing import TYPE_CHECKING

from leakguard._core.evidence import DeepLook
from leakguard._readers.heap import newborn_objects, type_name
from leakguard._readers.holders import (
    Newborn,
    container_lengths,
    find_holdings,
    find_owner,
    stack_of,
)
from leakguard._readers.process import collects_automatically
from leakguard._runtime.window import newborn_window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from leakguard._core.evidence import Holding
    from leakguard._core.observe import GrowthRow
    from leakguard._core.records import Frame, Stack
    from leakguard._core.traces import Traces

#: Blocks hoped for from the slowest of the leading sites, and calls for them.
_WANTED_BLOCKS = 60
_LEAST_CALLS, _MOST_CALLS = 24, 4_000
#: Sites whose holders are looked for.
_LEADING_ROWS = 40
#: Survivors asked for their allocation: about 3 us each at depth.
_SAMPLED_SURVIVORS = 30_000
_EXAMPLES_PER_SITE = 3


def look_deep(
    run: Callable[[], float],
    rows: Sequence[GrowthRow],
    *,
    nframe: int,
    search_seconds: float,
) -> DeepLook:
    """Let work be done at depth and describe what it left behind.

    ``run`` returns how much was done, in the units of the rows' slopes (calls or
    seconds). The search for holders takes about ``search_seconds`` at most.
    """
    frames = frozenset(row.frame for row in rows[:_LEADING_ROWS])
    lengths = container_lengths()
    with newborn_window(nframe=nframe) as window:
        work_done = run()
        collecting = collects_automatically()
        if collecting:
            gc.collect()
        traces = window.read_traces()
        newborn = Newborn(newborn_objects())
        window.unfreeze()
        types, examples = _sample(newborn, frames)
        holdings = find_holdings(newborn, lengths, seconds=search_seconds * 0.6)
        owners = _owners(examples, holdings, newborn, search_seconds * 0.4)
        vanished: frozenset[Stack] = frozenset()
        before = _by_stack(traces)
        del examples, newborn
        if not collecting:
            gc.collect()
            after = _by_stack(window.read_traces())
            vanished = frozenset(
                stack
                for stack, (size, _) in before.items()
                if after.get(stack, (0, 0))[0] < size * 0.3
            )
    return DeepLook(work_done, before, types, holdings, owners, vanished)


def calls_wanted(rows: Sequence[GrowthRow]) -> int:
    """Return how many calls show enough survivors of the leading sites."""
    rates = [row.blocks.slope for row in rows[:5]]
    slowest = min((rate for rate in rates if rate > 0), default=1.0)
    return max(_LEAST_CALLS, min(_MOST_CALLS, int(_WANTED_BLOCKS / slowest)))


def _by_stack(traces: Traces) -> dict[Stack, tuple[int, int]]:
    return {
        stack: (size, count)
        for stack, size, count in zip(
            traces.stacks, traces.sizes_bytes, traces.counts, strict=True
        )
    }


def _sample(
    newborn: Newborn, frames: frozenset[Frame]
) -> tuple[dict[Stack, Counter[str]], dict[Stack, list[object]]]:
    """Return the types of survivors by stack, and a few examples of each stack."""
    types: dict[Stack, Counter[str]] = {}
    examples: dict[Stack, list[object]] = {}
    objects = newborn.objects
    step = max(1, len(objects) // _SAMPLED_SURVIVORS)
    for index in range(0, len(objects), step):
        item = objects[index]
        stack = stack_of(item)
        if stack is None or stack[0] not in frames:
            continue
        name = "type" if issubclass(type(item), type) else type_name(item)
        types.setdefault(stack, Counter())[name] += 1
        kept = examples.setdefault(stack, [])
        if len(kept) < _EXAMPLES_PER_SITE:
            kept.append(item)
        else:
            kept[-1] = item
    return types, examples


def _owners(
    examples: Mapping[Stack, list[object]],
    holdings: Sequence[Holding],
    newborn: Newborn,
    seconds: float,
) -> dict[Stack, Holding]:
    """Search the path of what no growing container holds."""
    held = {stack for holding in holdings for stack in holding.sites}
    found: dict[Stack, Holding] = {}
    loose = [stack for stack in examples if stack not in held][:4]
    for stack in loose:
        owner = find_owner(
            examples[stack], newborn, seconds=seconds / max(1, len(loose))
        )
        if owner is not None:
            found[stack] = owner
    return found
