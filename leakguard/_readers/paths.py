"""A chain of holders in words: the path a developer reads, and its links.

The chain of live objects must be dropped by the caller as soon as it has been
described: descriptions hold names, never objects. No user code runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakguard._core.records import Link
from leakguard._readers.edges import edge
from leakguard._readers.heap import type_name
from leakguard._readers.roots import Roots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leakguard._core.records import LinkStatus

#: Why a hop cannot be what grows. Of the other hops it has to be measured.
_MODULE = "a module lives as long as the program"
_OBJECT = "it holds one thing by this name, and cannot grow itself"


def describe(
    chain: Sequence[object], roots: Roots | None = None
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the dotted path of a chain and its hops as (name, type) pairs.

    ``roots`` are read here if they are not given.
    """
    roots = roots or Roots()
    path = roots.name(chain[0])
    hops = [(path, roots.type_of(chain[0]))]
    for index in range(1, len(chain)):
        piece = edge(chain, index, roots)
        if piece:
            path += piece
            hops.append((path, type_name(chain[index])))
    return path, tuple(hops)


def links_of(
    hops: Sequence[tuple[str, str]],
    holder_path: str,
    evidence: str,
    *,
    measured: bool = True,
) -> tuple[Link, ...]:
    """Return the hops as links: healthy down to the holder that grows.

    Unless all containers were ``measured``, their health is unknown.
    """
    names = [name for name, _ in hops] + [""]
    found = []
    for index, (name, kind) in enumerate(hops):
        below = names[index + 1][len(name) :]
        status, why = _health(kind, below, measured=measured)
        if name == holder_path:
            status, why = "leaking", evidence
        found.append(Link(name, kind, status, why))
    return tuple(found)


def _health(kind: str, below: str, *, measured: bool) -> tuple[LinkStatus, str]:
    """Judge a hop by its kind and by how the next one hangs on it."""
    if kind == "module":
        return "healthy", _MODULE
    if measured:
        return "healthy", "it does not grow itself"
    if below.startswith("."):
        return "healthy", _OBJECT
    return "unknown", "its growth was not measured"
