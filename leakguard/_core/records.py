"""The records that travel between the layers, and the report they end in.

Rules of this file: frozen records of names, ids and numbers only. Never a user
object, never a ``repr`` of one. ``None`` means "not known", zero means "measured
zero". Units stand in the names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

VerdictKind = Literal[
    "leak", "native-leak", "cache", "load", "fragmentation", "steady", "unknown"
]
#: The verdicts that say that something leaks.
GUILTY: Final[frozenset[VerdictKind]] = frozenset({"leak", "native-leak"})
LinkStatus = Literal["healthy", "leaking", "unknown"]
Source = Literal["site", "type", "container", "resource", "native"]
Pattern = Literal[
    "unbounded-cache",
    "listener",
    "unclosed-connection",
    "task",
    "thread",
    "cycle",
    "traceback",
    "registry",
    "class",
    "handler",
    "native",
    "other",
]
Mode = Literal["diagnose", "guard", "run"]

#: One frame as tracemalloc knows it: file name and line number.
Frame = tuple[str, int]
#: Frames, innermost (the allocating line) first.
Stack = tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that could not be read, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Site:
    """A source line; ``in_app`` is false for the standard library and packages."""

    file: str
    line: int
    function: str | None
    in_app: bool


@dataclass(frozen=True, slots=True)
class Link:
    """One hop of a retention path, root first, with the reason for its status."""

    name: str
    type: str
    status: LinkStatus
    why: str


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds the growth: a dotted path from a named root, and its hops.

    ``retained_bytes`` is what would be freed with it; ``is_estimate`` says that it was
    reckoned from a sample of its entries.
    """

    path: str
    links: tuple[Link, ...] = ()
    retained_bytes: int | None = None
    is_estimate: bool = False


@dataclass(frozen=True, slots=True)
class Suspect:
    """One leak: where it is allocated, who holds it, how fast it grows, what to do.

    ``stack`` holds ``"file:line in function"`` texts, innermost first.
    ``confidence`` lies between 0 and 1. ``habit`` is the pattern more closely, and
    ``example`` the change as lines of code, ``-`` before and ``+`` after. ``route`` is
    the one whose requests the growth goes with, where the framework tells routes.
    """

    rank: int
    fingerprint: str
    source: Source
    site: Site | None
    stack: tuple[str, ...]
    type: str | None
    owner: Owner | None
    growth_bytes_per_call: float | None
    growth_count_per_call: float | None
    growth_bytes_per_second: float | None
    confidence: float
    pattern: Pattern
    hint: str
    example: str | None = None
    route: str | None = None
    growth_bytes_per_route_call: float | None = None
    habit: str | None = None


@dataclass(frozen=True, slots=True)
class Acquittal:
    """Growth that was looked at and found innocent, with the reason.

    ``plateau_bytes`` is where it will end, when its bound is known.
    """

    site: Site | None
    owner_path: str | None
    growth_bytes_per_call: float | None
    plateau_bytes: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A suspect that somebody has put aside, why, and until when (ISO date)."""

    reason: str
    expires: str | None
    suspect: Suspect


@dataclass(frozen=True, slots=True)
class Verdict:
    """What kind of growth this is, with its reason in one sentence.

    ``explained_share`` is the suspects' part of the growth of the process.
    """

    kind: VerdictKind
    confidence: float
    reason: str
    growth_bytes_per_call: float | None = None
    growth_bytes_per_second: float | None = None
    time_to_limit_seconds: float | None = None
    explained_share: float | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """The process a report speaks of."""

    argv0: str
    pid: int
    python: str
    leakguard: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class Ledger:
    """What resident memory is made of; an entry that was not read is ``None``."""

    python_bytes: int | None = None
    native_bytes: int | None = None
    allocator_free_bytes: int | None = None
    mapped_file_bytes: int | None = None
    other_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """The process's memory at the end of the look.

    The entries of ``ledger`` and ``remainder_bytes``, what is in none of them, sum to
    the resident size. ``child_processes`` counts all descendants; their resident size
    counts shared pages in each. ``unseen`` says in sentences what cannot be seen in
    this process.
    """

    limit_bytes: int | None = None
    limit_source: str | None = None
    usage_bytes: int | None = None
    working_set_bytes: int | None = None
    unreclaimable_bytes: int | None = None
    rss_bytes: int | None = None
    ledger: Ledger = Ledger()
    remainder_bytes: int | None = None
    threads: int | None = None
    open_files: int | None = None
    child_processes: int | None = None
    children_rss_bytes: int | None = None
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cost:
    """What the look itself cost the program."""

    overhead_ratio: float | None
    longest_pause_seconds: float | None
    windows: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """The document ``leakguard.report/1`` as a record. Round-trips through JSON.

    ``notes`` are sentences about the report itself, such as on suppressions.
    """

    created_at: str
    program: Program
    verdict: Verdict
    memory: Memory
    suspects: tuple[Suspect, ...]
    cost: Cost
    acquitted: tuple[Acquittal, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    notes: tuple[str, ...] = ()


class LeakguardError(Exception):
    """Base of the errors leakguard raises for bad input, one clear sentence each."""
