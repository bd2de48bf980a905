"""Looks, laws, rows, growths and holders as a diagnosis meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

from leakguard._core.evidence import Bound, DeepLook, Growth, Holding
from leakguard._core.growth import Law, Shape
from leakguard._core.observe import Checkpoint, GrowthRow
from leakguard._core.records import Acquittal, Link, Site, Suspect
from leakguard._core.suspects import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from leakguard._core.records import Frame, Stack

    #: What a site holds after so many calls: (bytes, blocks).
    Held = Callable[[int], tuple[int, int]]
    #: One number after so many calls.
    Counted = Callable[[int], int]

#: For properties that fit many series: the machine's load is no finding.
quick = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)

APP = "/srv/shop/shop/views.py"
PACKAGE = "/usr/lib/python3.12/site-packages/orm/loading.py"
STDLIB = "/usr/lib/python3.12/json/decoder.py"
OWN = "/usr/lib/python3.12/site-packages/leakguard/testing.py"
#: Call counts at which a diagnosis looks lie this factor apart.
STRIDE = 1.35


def in_app(file: str) -> bool:
    return "/lib/python3" not in file


def relative(file: str) -> str:
    """Return a path without the directory of one machine, as far as is known."""
    path = file.replace("\\", "/")
    return path.split("/srv/shop/")[-1].split("site-packages/")[-1]


NAMES = Names(
    in_app=in_app,
    is_own=lambda file: file == OWN,
    relative=relative,
    function_at=lambda _file, line: None if line == 0 else "create",
)


def looks_at(calls: int) -> list[int]:
    """Return the growing call counts at which a diagnosis looks."""
    found = [1]
    while found[-1] < calls:
        found.append(min(calls, max(found[-1] + 1, int(found[-1] * STRIDE))))
    return found


def look(  # noqa: PLR0913 - a record's fields, each with its usual value
    calls: int,
    seconds: float = 1.0,
    *,
    sites: Mapping[Frame, tuple[int, int]] | None = None,
    traced_bytes: int = 0,
    traces: int = 0,
    python_blocks: int = 100_000,
    heap_bytes: int | None = 50 << 20,
    rss_bytes: int | None = 90 << 20,
) -> Checkpoint:
    return Checkpoint(
        calls=calls,
        seconds=seconds,
        sites=sites or {},
        traced_bytes=traced_bytes,
        traces=traces,
        python_blocks=python_blocks,
        heap_bytes=heap_bytes,
        rss_bytes=rss_bytes,
        pause_seconds=0.001,
    )


def watch(
    calls: int,
    sites: Mapping[Frame, Held],
    *,
    blocks: Counted = lambda _n: 100_000,
    native: Counted | None = lambda _n: 0,
    mapped: Counted | None = lambda _n: 0,
) -> list[Checkpoint]:
    """Return the looks at a work whose sites hold so much after ``n`` calls.

    ``native`` is what native code holds in the C heap and ``mapped`` outside it, in
    bytes (``None``: not readable here); ``blocks`` what the interpreter counts.
    """
    found = []
    for n in looks_at(calls):
        held = {frame: site(n) for frame, site in sites.items() if site(n)[0] > 0}
        traced = sum(size for size, _ in held.values())
        traces = sum(count for _, count in held.values())
        heap = None
        if native is not None:
            heap = (50 << 20) + traced + 100 * traces + native(n)
        rss = None
        if mapped is not None:
            rss = (90 << 20) + (heap or 0) + traced + mapped(n)
        found.append(
            look(
                n,
                n / 1000,
                sites=held,
                traced_bytes=traced,
                traces=traces,
                python_blocks=blocks(n),
                heap_bytes=heap,
                rss_bytes=rss,
            )
        )
    return found


def law(
    shape: Shape = "linear",
    slope: float = 1024.0,
    *,
    grown: float = 1 << 20,
    confidence: float = 0.99,
) -> Law:
    return Law(shape, slope, 0.0, grown, confidence)


def row(
    frame: Frame = (APP, 41),
    shape: Shape = "linear",
    slope: float = 1024.0,
    blocks: float = 1.0,
    grown: float = 1 << 20,
) -> GrowthRow:
    return GrowthRow(frame, law(shape, slope, grown=grown), law(shape, blocks))


def holding(  # noqa: PLR0913 - a record's fields, each with its usual value
    path: str = "shop.cache._store",
    *,
    kind: str = "dict",
    length: int = 1_000,
    new_entries: int = 100,
    entry_types: tuple[str, ...] = ("dict",),
    bound: Bound | None = None,
    unbounded_lru: bool = False,
    file: str | None = APP,
    sites: Mapping[Stack, int] | None = None,
) -> Holding:
    return Holding(
        path=path,
        links=(Link(path, kind, "leaking", "holds more and more"),),
        type=kind,
        length=length,
        new_entries=new_entries,
        entry_types=entry_types,
        bound=bound,
        unbounded_lru=unbounded_lru,
        file=file,
        sites=sites or {},
    )


def deep_look(  # noqa: PLR0913 - a record's fields, each with its usual value
    survivors: Mapping[Stack, tuple[int, int]] | None = None,
    *,
    work_done: float = 100.0,
    types: Mapping[Stack, Mapping[str, int]] | None = None,
    holdings: Sequence[Holding] = (),
    owners: Mapping[Stack, Holding] | None = None,
    vanished: frozenset[Stack] = frozenset(),
) -> DeepLook:
    return DeepLook(
        work_done=work_done,
        survivors=survivors or {},
        types=types or {},
        holdings=tuple(holdings),
        owners=owners or {},
        vanished=vanished,
    )


def growth(  # noqa: PLR0913 - a record's fields, each with its usual value
    frame: Frame = (APP, 41),
    *,
    size: float = 1024.0,
    blocks: float = 1.0,
    grown: float = 1 << 20,
    confidence: float = 0.99,
    stack: Stack | None = None,
    types: tuple[str, ...] = ("dict",),
    held_by: Holding | None = None,
    is_cycle: bool = False,
) -> Growth:
    way = stack or (frame,)
    return Growth(
        frame=frame,
        stack=way,
        size_per_call=size,
        blocks_per_call=blocks,
        grown_bytes=grown,
        confidence=confidence,
        stacks=frozenset({way}),
        types=types,
        holding=held_by,
        is_cycle=is_cycle,
    )


def suspect(rate: float | None = 1024.0, **changed: object) -> Suspect:
    fields: dict[str, object] = {
        "rank": 1,
        "fingerprint": "0123456789ab",
        "source": "site",
        "site": Site(APP, 41, "create", in_app=True),
        "stack": (f"{APP}:41 in create",),
        "type": "dict",
        "owner": None,
        "growth_bytes_per_call": rate,
        "growth_count_per_call": 1.0,
        "growth_bytes_per_second": rate,
        "confidence": 0.9,
        "pattern": "other",
        "hint": "Let it go.",
    }
    return Suspect(**{**fields, **changed})  # type: ignore[arg-type]


def acquittal(reason: str = "it is full", rate: float | None = None) -> Acquittal:
    return Acquittal(None, "shop.cache._store", rate, None, reason)
