"""Run something several times and see what each run leaves behind.

Rules of this file: what one run leaves may be a pool that fills or a singleton; only
what every run leaves again counts. What needs a moment to go is given it.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

from leakguard._core.belongings import in_every, only, without
from leakguard._core.records import Owner
from leakguard._readers.belongings import read_belongings
from leakguard._readers.heap import objects_but_tuples, type_name
from leakguard._readers.holders import find_owner
from leakguard._runtime.keepsakes import Keepsakes
from leakguard._runtime.window import newborn_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from leakguard._core.belongings import Belongings, Left

#: A thread that was told to stop, or a socket that is being closed, gets this long
#: after the first run; after the others less, for only what stays every time counts.
PATIENCE_SECONDS, LATER_PATIENCE_SECONDS, _REST_SECONDS = 0.8, 0.1, 0.02
_SEARCH_SECONDS = 2.0


def left_behind(  # noqa: PLR0913 - every outside root is a parameter
    run: Callable[[], None],
    *,
    kinds: Sequence[str],
    ignore: Sequence[str] = (),
    runs: int = 5,
    clock: Callable[[], float] = time.monotonic,
    rest: Callable[[float], None] = time.sleep,
) -> tuple[tuple[Left, Owner | None], ...]:
    """Return what each of ``runs`` runs left behind, with its holder if found.

    The first run that leaves nothing is the last one. Cost: a collection of what is
    new and some ms for each run; a search of the heap for what is left.

    Raises:
        WindowRefused: another window is open in this process.

    """
    keepsakes = Keepsakes()
    seen: list[tuple[Left, ...]] = []
    for number in range(runs):
        with newborn_window(tracing=False) as window:
            before = only(read_belongings(), kinds)
            run()
            keepsakes.forget()
            patience = LATER_PATIENCE_SECONDS if seen else PATIENCE_SECONDS
            give_up_at = clock() + patience
            while left := without(_now(kinds).left_since(before), ignore):
                if clock() >= give_up_at:
                    break
                rest(_REST_SECONDS)
            seen.append(left)
            common = in_every(seen)
            if not common:
                return ()
            if number == runs - 1:
                examples = {item.name: _example(item) for item in common}
                window.unfreeze()
                return tuple((item, _holder(examples, item.name)) for item in common)
    return ()


def _now(kinds: Sequence[str]) -> Belongings:
    gc.collect()
    return only(read_belongings(), kinds)


def _example(item: Left) -> list[object]:
    """Return one of the objects that were left, while only new ones are seen."""
    if item.kind != "objects":
        return []
    found = (one for one in objects_but_tuples() if type_name(one) == item.name)
    return [one for one, _ in zip(found, range(1), strict=False)]


def _holder(examples: dict[str, list[object]], name: str) -> Owner | None:
    targets = examples[name]
    if not targets:
        return None
    hidden = {id(examples), *map(id, examples.values())}
    found = find_owner(targets, hidden, seconds=_SEARCH_SECONDS)
    return Owner(found.path, found.links) if found else None
