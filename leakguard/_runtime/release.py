"""Make an object, drop it, and see whether it goes; if not, who holds it."""

from __future__ import annotations

import gc
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leakguard._core.patterns import Clues, match_pattern
from leakguard._core.records import LeakguardError, Owner, Suspect, Verdict
from leakguard._core.suspects import fingerprint
from leakguard._readers.heap import type_name
from leakguard._readers.paths import describe, links_of
from leakguard._readers.search import climb

if TYPE_CHECKING:
    from collections.abc import Callable

#: Between two looks, while a thread or a callback may still have hold of it.
_REST_SECONDS = 0.02
_SEARCH_SECONDS = 4.0
_LIVES_ON = "it was dropped, and it lives"


@dataclass(frozen=True, slots=True)
class Kept:
    """An object that did not go: its type and, if found, its holder."""

    verdict: Verdict
    suspect: Suspect


def kept_after_drop(
    factory: Callable[[], Any],
    *,
    patience_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    rest: Callable[[float], None] = time.sleep,
) -> Kept | None:
    """Return what is known of an object that lives on after it was dropped.

    It has ``patience_seconds`` to go, with a collection at each look. Cost: a full
    collection, and about ten passes over the heap where it is kept.

    Raises:
        LeakguardError: the object takes no weak references.

    """
    watch, kind = _made(factory)
    give_up_at = clock() + patience_seconds
    gc.collect()
    while watch() is not None and clock() < give_up_at:
        rest(_REST_SECONDS)
        gc.collect()
    return None if watch() is None else _described(watch, kind)


def _made(factory: Callable[[], Any]) -> tuple[weakref.ref[Any], str]:
    made = factory()
    kind = type_name(made)
    try:
        return weakref.ref(made), kind
    except TypeError:
        raise LeakguardError(
            f"{kind} takes no weak references: return an object that does, such as an "
            "instance of a class without __slots__"
        ) from None


def _described(watch: weakref.ref[Any], kind: str) -> Kept:
    until = time.monotonic() + _SEARCH_SECONDS
    chain = climb(watch(), hidden=set(), out_of_time=lambda: time.monotonic() > until)
    owner, path, holder = None, None, None
    if len(chain) > 1:
        path, hops = describe(chain)
        owner = Owner(path, links_of(hops, path, _LIVES_ON, measured=False))
        holder, holder_path = type_name(chain[-2]), describe(chain[:-1])[0]
    clues = Clues(
        types=(kind,), holder_type=holder, owner_path=holder_path if holder else None
    )
    del chain
    pattern, habit, hint, example = match_pattern(clues)
    where = f", held by {path}" if path else "; its holder was not found"
    suspect = Suspect(
        rank=1,
        fingerprint=fingerprint(path or "", None, kind, pattern),
        source="type",
        site=None,
        stack=(),
        type=kind,
        owner=owner,
        growth_bytes_per_call=None,
        growth_count_per_call=1.0,
        growth_bytes_per_second=None,
        confidence=0.99,
        pattern=pattern,
        hint=hint,
        example=example,
        habit=habit,
    )
    reason = f"An object of type {kind} lives on after it was dropped{where}."
    return Kept(Verdict("leak", 0.99, reason), suspect)
