"""What was found about growing sites, as records, and how it is brought together.

Growth is measured at the allocating line, whoever's code that is. Here it is given
to the innermost line of the *application* on the stack, then to the container that
holds the survivors: one holder, one leak, however many lines build its entries.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from leakguard._core.observe import GrowthRow
    from leakguard._core.records import Frame, Link, Stack

#: What refers to its entries weakly.
_WEAK_HOLDERS = frozenset({"_weakrefset.WeakSet", "weakref.WeakValueDictionary"})
#: A row whose blocks should have shown this often at depth, and did not, has stopped.
_EXPECTED_AT_DEPTH = 8
#: How many times faster or slower blocks may grow than the objects they belong to.
_PACE = 20.0
#: Bytes of table per entry: a list's slot (8, less for shared growth) to a dict that
#: has just doubled (about 110; a set's 64).
_TABLE_BYTES = (4.0, 160.0)
#: Buffers, and bytes of memory per byte in them: room for an eighth more, or for as
#: much again; a text is four bytes per character, and is joined at times.
_BUFFERS = frozenset({"bytearray", "array.array", "_io.BytesIO", "_io.StringIO"})
_BUFFER_BYTES = (0.5, 8.0)


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit on a holder's entries, or on their age, and where it was read."""

    what: str
    entries: int | None = None
    age_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """One container that grew in the window, described without holding it.

    ``new_entries`` were born in the window; ``sites`` counts newborn objects below
    the newest of them by allocating stack; ``entry_types`` are the types of those
    entries, most frequent first; ``file`` is the root module's; ``retained_bytes`` is
    what it keeps, reckoned from a sample if it ``is_estimate``.
    """

    path: str
    links: tuple[Link, ...]
    type: str
    length: int
    new_entries: int
    entry_types: tuple[str, ...]
    bound: Bound | None
    unbounded_lru: bool
    file: str | None
    sites: Mapping[Stack, int] = field(default_factory=dict)
    retained_bytes: int | None = None
    is_estimate: bool = False

    @property
    def is_weak(self) -> bool:
        """Whether it only notes what others keep alive."""
        return any(link.type in _WEAK_HOLDERS for link in self.links)

    @property
    def module(self) -> str:
        """The name of the module that the path begins with, if it does."""
        root = next(iter(self.links), None)
        return root.name if root is not None and root.type == "module" else ""


@dataclass(frozen=True, slots=True)
class DeepLook:
    """One short window at depth: survivors by stack, their types, their holders.

    ``work_done`` is in the units of the rows' slopes: calls, or seconds. ``vanished``
    are the stacks whose survivors only a collection freed; ``finalized`` the types of
    the application's with a ``__del__`` that piled up.
    """

    work_done: float
    survivors: Mapping[Stack, tuple[int, int]]
    types: Mapping[Stack, Mapping[str, int]]
    holdings: tuple[Holding, ...]
    owners: Mapping[Stack, Holding]
    vanished: frozenset[Stack]
    finalized: tuple[str, ...] = ()


#: For findings that were never looked at in depth.
NO_LOOK = DeepLook(0.0, {}, {}, (), {}, frozenset())


@dataclass(frozen=True, slots=True)
class Growth:
    """One leak in the making: rates, the application's line, stacks and holder."""

    frame: Frame
    stack: Stack
    size_per_call: float
    blocks_per_call: float
    grown_bytes: float
    confidence: float
    stacks: frozenset[Stack]
    types: tuple[str, ...]
    holding: Holding | None
    is_cycle: bool
    finalized: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """The share of a row's growth that came by one stack."""

    row: GrowthRow
    share: float
    stack: Stack

    @property
    def size_per_call(self) -> float:
        return self.row.size.slope * self.share

    @property
    def blocks_per_call(self) -> float:
        return max(0.0, self.row.blocks.slope) * self.share


def stopped(row: GrowthRow, look: DeepLook, still_calls: int = 0) -> bool:
    """Return whether a site that grew before left nothing behind at depth.

    Nor in the last calls before, ``still_calls`` of them.
    """
    expected = row.blocks.slope * (still_calls + look.work_done)
    if row.is_resized or expected < _EXPECTED_AT_DEPTH:
        return False
    seen = sum(n for stack, (_, n) in look.survivors.items() if stack[0] == row.frame)
    return seen < expected / 8


def gather(
    rows: Iterable[GrowthRow], look: DeepLook, in_app: Callable[[str], bool]
) -> tuple[Growth, ...]:
    """Return growths by application line, then by holder, fastest first."""
    lines = _by_line(rows, look, in_app)
    held = [_with_holding(growth, look, in_app) for growth in lines]
    held = [_with_lru(_with_table(growth, look), look) for growth in held]
    merged = _by_holder(_with_neighbour(held, in_app), in_app)
    return tuple(sorted(merged, key=lambda growth: -growth.size_per_call))


def application_frame(stack: Stack, in_app: Callable[[str], bool]) -> Frame:
    """Return the innermost application frame, or the innermost of all."""
    for frame in stack:
        if in_app(frame[0]):
            return frame
    return stack[0]


def _by_line(
    rows: Iterable[GrowthRow], look: DeepLook, in_app: Callable[[str], bool]
) -> list[Growth]:
    parts: dict[Frame, list[_Part]] = {}
    for row in rows:
        for stack, share in _shares(row, look):
            frame = application_frame(stack, in_app)
            parts.setdefault(frame, []).append(_Part(row, share, stack))
    return [_line(frame, found, look) for frame, found in parts.items()]


def _shares(row: GrowthRow, look: DeepLook) -> list[tuple[Stack, float]]:
    """Split a row over the stacks that led to its line, by surviving bytes."""
    here = {s: size for s, (size, _) in look.survivors.items() if s[0] == row.frame}
    total = sum(here.values())
    if total <= 0:
        return [((row.frame,), 1.0)]
    return [(stack, size / total) for stack, size in here.items()]


def _line(frame: Frame, parts: Sequence[_Part], look: DeepLook) -> Growth:
    biggest = max(parts, key=lambda part: (part.size_per_call, part.stack))
    stacks = frozenset(part.stack for part in parts)
    gone = sum(part.size_per_call for part in parts if part.stack in look.vanished)
    size = sum(part.size_per_call for part in parts)
    return Growth(
        frame=frame,
        stack=biggest.stack,
        size_per_call=size,
        blocks_per_call=sum(part.blocks_per_call for part in parts),
        grown_bytes=sum(part.row.size.grown * part.share for part in parts),
        confidence=biggest.row.size.confidence,
        stacks=stacks,
        types=_types_of(stacks, look),
        holding=look.owners.get(_owned_first(parts, look)),
        is_cycle=gone > size / 2,
        finalized=look.finalized,
    )


def _owned_first(parts: Sequence[_Part], look: DeepLook) -> Stack:
    """Return the stack with most bytes among those whose owner was found, or any."""
    owned = [part for part in parts if part.stack in look.owners] or parts
    return max(owned, key=lambda part: (part.size_per_call, part.stack)).stack


def _types_of(stacks: Iterable[Stack], look: DeepLook) -> tuple[str, ...]:
    counted: Counter[str] = Counter()
    for stack in stacks:
        counted.update(look.types.get(stack, {}))
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(kind for kind, _ in ranked[:8])


def _with_holding(
    growth: Growth, look: DeepLook, in_app: Callable[[str], bool]
) -> Growth:
    best: tuple[tuple[bool, bool, int, int], Holding] | None = None
    for holding in look.holdings:
        covered = sum(1 for stack in growth.stacks if stack in holding.sites)
        if not covered:
            continue
        ours = holding.file is not None and in_app(holding.file)
        score = (not holding.is_weak, ours, covered, holding.new_entries)
        if best is None or score > best[0]:
            best = (score, holding)
    return replace(growth, holding=best[1]) if best else growth


def _with_table(growth: Growth, look: DeepLook) -> Growth:
    """Give a block that is only resized to the container whose table it is.

    Or to the buffer whose bytes it holds. A table is no object, so no stack leads to
    it; its growth per new entry is that of a list's slot at least and of a dict's
    doubled table at most.
    """
    if growth.holding or growth.types or growth.blocks_per_call * look.work_done > 1:
        return growth
    grown_bytes = growth.size_per_call * look.work_done
    fitting = [h for h in look.holdings if _is_table_of(h, grown_bytes)]
    if not fitting:
        return growth
    files = {frame[0] for stack in growth.stacks for frame in stack}
    best = max(fitting, key=lambda h: (h.file in files, h.new_entries))
    return replace(growth, holding=best)


def _is_table_of(holding: Holding, grown_bytes: float) -> bool:
    least, most = _BUFFER_BYTES if holding.type in _BUFFERS else _TABLE_BYTES
    return least <= grown_bytes / max(1, holding.new_entries) <= most


def _with_lru(growth: Growth, look: DeepLook) -> Growth:
    """Give the links of an ``lru_cache`` to it.

    They are no objects of the collector's, and are allocated at the line that calls
    the cached function: just outside of where the cached results are made.
    """
    if growth.holding or growth.types:
        return growth
    for holding in look.holdings:
        if holding.type.endswith("_lru_cache_wrapper") and any(
            _is_caller(growth.stack, stack) for stack in holding.sites
        ):
            return replace(growth, holding=holding)
    return growth


def _is_caller(outer: Stack, inner: Stack) -> bool:
    """Return whether one stack, cut at its far end maybe, is just outside another."""
    return any(
        inner[deeper:] == outer[: len(inner) - deeper]
        for deeper in range(1, len(inner))
    )


def _with_neighbour(
    growths: Sequence[Growth], in_app: Callable[[str], bool]
) -> list[Growth]:
    """Give blocks that are no object to the leak that is made beside them.

    An object's attributes live in blocks of their own, and CPython 3.11 cannot say
    where an object with a ``__dict__`` was allocated. Such blocks grow at the pace of
    an unbounded holder's entries, in the same file.
    """
    guilty = [g for g in growths if g.holding and g.holding.bound is None]

    def adopted(growth: Growth) -> Growth:
        if growth.holding or growth.types or not in_app(growth.frame[0]):
            return growth
        near = [
            other
            for other in guilty
            if other.frame[0] == growth.frame[0]
            and other.blocks_per_call / _PACE
            <= growth.blocks_per_call
            <= other.blocks_per_call * _PACE
        ]
        best = max(near, key=lambda other: other.size_per_call, default=None)
        return replace(growth, holding=best.holding) if best else growth

    return [adopted(growth) for growth in growths]


def _by_holder(
    growths: Sequence[Growth], in_app: Callable[[str], bool]
) -> list[Growth]:
    groups: dict[str, list[Growth]] = {}
    alone: list[Growth] = []
    for growth in growths:
        if growth.holding is None:
            alone.append(growth)
        else:
            groups.setdefault(growth.holding.path, []).append(growth)
    merged = [_merge(group, in_app) for group in groups.values()]
    return alone + merged


def _merge(group: Sequence[Growth], in_app: Callable[[str], bool]) -> Growth:
    """Add up the lines of one holder; the line with most bytes speaks for all."""
    first = max(group, key=lambda g: (in_app(g.frame[0]), g.size_per_call))
    types = dict.fromkeys(kind for g in [first, *group] for kind in g.types)
    return replace(
        first,
        size_per_call=sum(g.size_per_call for g in group),
        blocks_per_call=sum(g.blocks_per_call for g in group),
        grown_bytes=sum(g.grown_bytes for g in group),
        confidence=max(g.confidence for g in group),
        stacks=frozenset(stack for g in group for stack in g.stacks),
        types=tuple(types)[:8],
        is_cycle=first.is_cycle,
    )
