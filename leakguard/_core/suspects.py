"""From growths with evidence to ranked suspects and acquittals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from leakguard._core.evidence import application_frame
from leakguard._core.libraries import remedy_for
from leakguard._core.patterns import COLLECTOR, Clues, Collector, match_pattern
from leakguard._core.records import Acquittal, Owner, Site, Suspect
from leakguard._core.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from leakguard._core.by_route import RouteGrowth
    from leakguard._core.evidence import Bound, Growth, Holding
    from leakguard._core.native import Culprit
    from leakguard._core.observe import GrowthRow
    from leakguard._core.records import Frame, Stack, Verdict

#: Suspects beyond this share of the growth are noise beside the leak.
_NEGLIGIBLE_SHARE = 0.01
#: Growth that nobody is seen to hold must be this fast, or have come to this much:
#: below it the interpreter's own caches (types, weak references, key tables of
#: dicts) look the same for thousands of calls.
_UNHELD_BYTES_PER_CALL, _UNHELD_BYTES = 48.0, 256 * 1024
_STACK_LINES = 24
#: A site that needs this many bytes for a new block only makes an old one longer.
_RESIZED_BYTES_PER_BLOCK = 64 * 1024
_WRAPPERS = "/leakguard/_instruments/"
#: A bound that is reached beyond this size bounds nothing in a container.
_MOST_PLATEAU_BYTES = 1 << 30
#: A holder whose entries die of age is acquitted until this multiple of the age.
_AGE_PATIENCE = 1.5


@dataclass(frozen=True, slots=True)
class Names:
    """What the layer above knows: of source lines, the collector and packages."""

    in_app: Callable[[str], bool]
    is_own: Callable[[str], bool]
    relative: Callable[[str], str]
    function_at: Callable[[str, int], str | None]
    collector: Collector = COLLECTOR
    installed: Callable[[str], str | None] = lambda _package: None


@dataclass(frozen=True, slots=True)
class Resources:
    """What the process had more of at the end, for each unit of work."""

    files_per_call: float = 0.0
    threads_per_call: float = 0.0
    exit_callbacks_per_call: float = 0.0


#: Where they were not counted.
NO_RESOURCES = Resources()


def site_of(frame: Frame, names: Names) -> Site:
    """Return a frame as a site with its function."""
    file, line = frame
    return Site(file, line, names.function_at(file, line), names.in_app(file))


def accuse(  # noqa: PLR0913 - all but two by name
    growths: Sequence[Growth],
    names: Names,
    *,
    held: float,
    seconds_per_call: float | None,
    resources: Resources = NO_RESOURCES,
    route_of: Callable[[Growth], RouteGrowth | None] = lambda _growth: None,
) -> tuple[Suspect, ...]:
    """Return the growths that nothing bounds, as suspects in order of their rate.

    ``held`` is the fastest growth that has a holder, guilty or not; see ``_counts``.
    ``seconds_per_call`` is ``None`` when the growths are per second, not per call.
    ``route_of`` tells whose requests a growth goes with.
    """
    total = sum(growth.size_per_call for growth in growths)
    kept = [growth for growth in growths if _counts(growth, total, held)]
    return tuple(
        _of_route(
            _suspect(rank, growth, names, seconds_per_call, resources),
            route_of(growth),
        )
        for rank, growth in enumerate(kept, start=1)
    )


def _of_route(suspect: Suspect, found: RouteGrowth | None) -> Suspect:
    if found is None:
        return suspect
    route, rate = found
    return replace(suspect, route=route, growth_bytes_per_route_call=rate)


def accuse_native(
    verdict: Verdict,
    culprit: Culprit | None = None,
    names: Names | None = None,
    *,
    resources: Resources = NO_RESOURCES,
) -> Suspect:
    """Return the suspect for memory that no line of Python allocates.

    ``culprit`` is the call into C that takes it, where that is known.
    """
    function = culprit.function if culprit else None
    threads = resources.threads_per_call
    pattern, habit, hint, example = match_pattern(
        Clues(is_native=True, function=function, threads_per_call=threads)
    )
    site, file = None, ""
    stack: tuple[str, ...] = ()
    if culprit is not None and names is not None:
        frame = application_frame(culprit.stack, names.in_app)
        site, stack = site_of(frame, names), _stack_lines(culprit.stack, names)
        file = names.relative(site.file)
    return Suspect(
        rank=1,
        fingerprint=fingerprint(
            file, site.function if site else None, _bare(function), pattern
        ),
        source="native",
        site=site,
        stack=stack,
        type=function,
        owner=None,
        growth_bytes_per_call=verdict.growth_bytes_per_call,
        growth_count_per_call=None,
        growth_bytes_per_second=verdict.growth_bytes_per_second,
        confidence=verdict.confidence,
        pattern=pattern,
        hint=hint,
        example=example,
        habit=habit,
    )


def _bare(function: str | None) -> str | None:
    """Return a C function's own name, which is the same however it was found."""
    return function and function.partition(" ")[0].rpartition(".")[2]


def split_bounded(
    growths: Iterable[Growth], names: Names, *, work_done: float, seconds: float
) -> tuple[list[Growth], list[Acquittal]]:
    """Part what has no bound from what its holder acquits.

    ``work_done`` is what the look at depth saw, in the units of the rates.
    ``seconds`` is how long the work has run: entries that should have died of age by
    then acquit nothing.
    """
    guilty: list[Growth] = []
    acquitted: list[Acquittal] = []
    for growth in growths:
        holding = growth.holding
        bound = holding.bound if holding else None
        if holding is None or bound is None or _outlived(bound, seconds):
            guilty.append(growth)
            continue
        innocent = _acquittal(growth, holding, bound, names, work_done)
        if (innocent.plateau_bytes or 0) > _MOST_PLATEAU_BYTES:
            guilty.append(replace(growth, holding=replace(holding, bound=None)))
        else:
            acquitted.append(innocent)
    return guilty, acquitted


def acquit_slowing(rows: Iterable[GrowthRow], names: Names) -> tuple[Acquittal, ...]:
    """Return sites whose growth slows down as acquittals, largest first."""
    found = []
    for row in sorted(rows, key=lambda row: -row.size.grown)[:5]:
        reason = (
            f"its growth slows down ({format_bytes(row.size.grown)} over the later"
            " half of the calls), as of a warm-up or a cache that fills"
        )
        site = site_of(row.frame, names)
        found.append(Acquittal(site, None, None, None, reason))
    return tuple(found)


def fingerprint(file: str, function: str | None, kind: str | None, pattern: str) -> str:
    """Return 12 hex digits that stay the same for the same bug everywhere.

    ``file`` is relative to the application or its packages: no address, index, line
    number, or directory of one machine goes in.
    """
    import hashlib  # late: CPython 3.12 crashes on it at a sub-interpreter's end

    text = "\0".join((file, function or "", kind or "", pattern))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]


def fastest_held(growths: Iterable[Growth]) -> float:
    """Return the highest rate among the growths whose holder is known."""
    return max((g.size_per_call for g in growths if g.holding), default=0.0)


def _counts(growth: Growth, total: float, held: float) -> bool:
    """Return whether a growth stands for a leak of its own.

    Blocks that are no object (a dict's keys, the links of an ``lru_cache``) belong to
    objects allocated elsewhere, and tracemalloc may even show the line that had the
    recycled block before. Beside faster growth with a holder they accuse nobody.
    """
    if growth.size_per_call < _NEGLIGIBLE_SHARE * total:
        return False
    if growth.holding or growth.is_cycle:
        return True
    if not growth.types and growth.size_per_call < held:
        return False
    return (
        growth.size_per_call >= _UNHELD_BYTES_PER_CALL
        or growth.grown_bytes >= _UNHELD_BYTES
    )


def _outlived(bound: Bound, seconds: float) -> bool:
    if bound.age_seconds is None:
        return False
    return seconds > bound.age_seconds * _AGE_PATIENCE


def _acquittal(
    growth: Growth, holding: Holding, bound: Bound, names: Names, work_done: float
) -> Acquittal:
    site = site_of(growth.frame, names)
    if bound.entries is None:
        reason = f"{holding.path} drops entries after {bound.age_seconds:g} s"
        return Acquittal(
            site, holding.path, growth.size_per_call, None, f"{reason} ({bound.what})"
        )
    reason = (
        f"{holding.path} holds {holding.length} of {bound.entries} entries"
        f" ({bound.what})"
    )
    plateau = None
    if holding.new_entries:
        per_entry = growth.size_per_call * work_done / holding.new_entries
        plateau = int(per_entry * bound.entries)
        reason += f" and will end near {format_bytes(plateau)}"
    return Acquittal(site, holding.path, growth.size_per_call, plateau, reason)


def _clues(growth: Growth, names: Names, resources: Resources) -> Clues:
    holding = growth.holding
    entries = holding.entry_types if holding else ()
    blocks = growth.blocks_per_call * _RESIZED_BYTES_PER_BLOCK
    return Clues(
        types=(*entries, *growth.types),
        entry_types=entries,
        holder_type=holding.type if holding else None,
        owner_path=holding.path if holding else None,
        module=holding.module if holding else "",
        owner_types=tuple(link.type for link in holding.links) if holding else (),
        finalized=growth.finalized,
        files_per_call=resources.files_per_call,
        threads_per_call=resources.threads_per_call,
        exit_callbacks_per_call=resources.exit_callbacks_per_call,
        collector=names.collector,
        is_cycle=growth.is_cycle,
        is_resized=blocks < growth.size_per_call,
        is_unbounded_lru=bool(holding and holding.unbounded_lru),
    )


def _suspect(
    rank: int,
    growth: Growth,
    names: Names,
    seconds_per_call: float | None,
    resources: Resources,
) -> Suspect:
    site = site_of(growth.frame, names)
    holding = growth.holding
    clues = _clues(growth, names, resources)
    pattern, habit, hint, example = match_pattern(clues)
    stack = _stack_lines(growth.stack, names)
    known = remedy_for(stack, clues.owner_path, names.installed)
    kind = next(iter(clues.types), None)
    rate, by_call = growth.size_per_call, seconds_per_call is not None
    return Suspect(
        rank=rank,
        fingerprint=fingerprint(
            names.relative(site.file), site.function, kind, pattern
        ),
        source="site",
        site=site,
        stack=stack,
        type=kind,
        owner=_owner(holding) if holding else None,
        growth_bytes_per_call=rate if by_call else None,
        growth_count_per_call=growth.blocks_per_call if by_call else None,
        growth_bytes_per_second=_per_second(rate, seconds_per_call),
        confidence=growth.confidence,
        pattern=pattern,
        hint=known or hint,
        example=None if known else example,
        habit=habit,
    )


def _owner(holding: Holding) -> Owner:
    return Owner(
        holding.path, holding.links, holding.retained_bytes, holding.is_estimate
    )


def _per_second(rate: float, seconds_per_call: float | None) -> float | None:
    if seconds_per_call is None:  # it is per second already
        return rate
    return rate / seconds_per_call if seconds_per_call > 0 else None


def _stack_lines(stack: Stack, names: Names) -> tuple[str, ...]:
    lines = []
    for file, line in stack[:_STACK_LINES]:
        if _WRAPPERS in file:  # between the library and the application
            continue
        if names.is_own(file):
            break
        function = names.function_at(file, line)
        lines.append(f"{file}:{line}" + (f" in {function}" if function else ""))
    return tuple(lines)
