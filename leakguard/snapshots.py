"""Snapshots of the live memory and what grew between two of them.

    before = leakguard.snapshot()
    ...
    print(leakguard.snapshot().since(before))

A snapshot is a small record of file names, lines, types and numbers: it keeps no
object alive, can be kept for long, and can be saved to a file.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakguard._core.diff import diff_sites, diff_stacks, diff_types
from leakguard._core.records import LeakguardError, Unknown
from leakguard._core.traces import NO_TRACES, Traces, TracesError
from leakguard._core.units import format_bytes
from leakguard._render.style import relative
from leakguard._render.table import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from leakguard._core.diff import SiteRow, StackRow, TypeRow

SCHEMA = "leakguard.snapshot/1"
#: Frames tracemalloc can keep: its traceback stores their number in 16 bits.
MOST_FRAMES = 65_535
#: Rows shown of each table.
SHOWN_ROWS = 10
_SHOWN_PATH_CHARACTERS, _SHOWN_CODE_CHARACTERS = 48, 39


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The live blocks by stack and the live objects by type, at one moment.

    ``types`` is ``None`` when objects were not counted. Blocks allocated before
    tracing started are not among the ``traces``; objects are counted all the same,
    as far as they can be part of a cycle. ``nframe`` is how many frames were kept.
    """

    traces: Traces
    types: Mapping[str, int] | None
    nframe: int
    created_at: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @property
    def total_bytes(self) -> int:
        """The size of all traced blocks together."""
        return self.traces.total_bytes

    @property
    def total_blocks(self) -> int:
        """The number of traced blocks."""
        return self.traces.total_count

    def since(self, before: Snapshot) -> Diff:
        """Return what changed from ``before`` to this snapshot.

        Stacks of different depth are compared at the smaller one. Cost: a few µs
        per distinct stack, not per block.

        Raises:
            LeakguardError: the two left out different files, so their difference
                would not be growth.

        """
        if (self.include, self.exclude) != (before.include, before.exclude):
            raise LeakguardError(
                "the snapshots cannot be compared: they were taken with "
                "different include or exclude patterns"
            )
        nframe = min(self.nframe, before.nframe)
        old, new = before.traces.truncated(nframe), self.traces.truncated(nframe)
        counted = before.types is not None and self.types is not None
        sites = diff_sites(old, new)
        return Diff(
            sites=sites,
            types=diff_types(before.types or {}, self.types or {}) if counted else None,
            net_bytes=sum(row.growth_bytes for row in sites),
            net_blocks=sum(row.growth_blocks for row in sites),
            _traces=(old, new),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the snapshot as JSON; the file is never seen half-written.

        Raises:
            LeakguardError: the file cannot be written.

        """
        document = {
            "schema": SCHEMA,
            "created_at": self.created_at,
            "nframe": self.nframe,
            "include": list(self.include),
            "exclude": list(self.exclude),
            "traces": self.traces.to_columns(),
            "types": None if self.types is None else dict(self.types),
        }
        _write_whole(Path(path), json.dumps(document, separators=(",", ":")))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Snapshot:
        """Read a snapshot that ``save`` wrote.

        Raises:
            LeakguardError: the file cannot be read, or is no such snapshot.

        """
        try:
            document = json.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise LeakguardError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, RecursionError):
            raise LeakguardError(f"{path} is not a snapshot: it is not JSON") from None
        try:
            return _from_document(document)
        except TracesError as error:
            raise LeakguardError(f"{path} is not a snapshot: {error}") from None


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed between two snapshots; rows come largest growth first.

    ``sites`` are the allocating lines, ``types`` the objects by type (``None`` if
    not counted). What shrank has a row too, with a negative growth. Printed, it is a
    table.
    """

    sites: tuple[SiteRow, ...]
    types: tuple[TypeRow, ...] | None
    net_bytes: int
    net_blocks: int
    _traces: tuple[Traces, Traces] = field(
        default_factory=lambda: (NO_TRACES, NO_TRACES), repr=False
    )

    @property
    def stacks(self) -> tuple[StackRow, ...]:
        """The change by stack. Cost: worked out anew, 1 to 10 µs per stack."""
        return diff_stacks(*self._traces)

    def table(self, *, limit: int = SHOWN_ROWS) -> str:
        """Return the ``limit`` largest growths of lines and of types, as text."""
        if not self.sites and not self.types:
            return "Nothing changed between the two snapshots."
        parts = [self._headline(), _site_table(self.sites, limit)]
        if self.types:
            parts.append(_type_table(self.types, limit))
        return "\n\n".join(filter(None, parts))

    def __str__(self) -> str:
        return self.table()

    def _headline(self) -> str:
        grew = sum(row.growth_bytes > 0 for row in self.sites)
        shrank = sum(row.growth_bytes < 0 for row in self.sites)
        return (
            f"{format_bytes(self.net_bytes, plus=True)} in {self.net_blocks:+,} blocks "
            f"({_many(grew, 'line')} grew, {shrank:,} shrank)"
        )


def snapshot(
    nframe: int | None = None,
    *,
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    count_objects: bool = True,
) -> Snapshot:
    """Take a snapshot; start tracing if it does not run, and leave it running.

    ``nframe`` is how many frames of each stack to keep, 1 unless tracing runs with
    more already. ``include`` and ``exclude`` are file patterns such as
    ``"*/app/*"``, matched against the allocating line's file. Cyclic garbage that
    was not collected yet counts as live: call ``gc.collect()`` first to leave it out.

    Cost, with the GIL held: 0.4 to 1 µs per traced block, 0.1 to 0.2 µs per
    live object unless ``count_objects`` is False. While tracing runs the program is
    2 to 4 times slower at 1 frame; ``tracemalloc.stop()`` ends that.

    Raises:
        LeakguardError: ``nframe`` is out of range, or tracing could not be started.

    """
    from leakguard._readers.heap import live_type_counts
    from leakguard._readers.tracing import SkipFrames, read_traces, tracing_state

    if nframe is not None and not 1 <= nframe <= MOST_FRAMES:
        raise LeakguardError(f"nframe has to lie between 1 and {MOST_FRAMES}")
    included, excluded = tuple(include), tuple(exclude)
    created_at = _now()  # imports something the first time: before the blocks are read
    _ensure_tracing(nframe or 1)
    traces = read_traces(nframe, SkipFrames(include=included, exclude=excluded))
    kept = tracing_state()[1]
    return Snapshot(
        traces=traces,
        types=live_type_counts() if count_objects else None,
        nframe=min(nframe or kept, kept),
        created_at=created_at,
        include=included,
        exclude=excluded,
    )


def _ensure_tracing(nframe: int) -> None:
    from leakguard._runtime.fence import start_tracing

    started = start_tracing(nframe)
    if isinstance(started, Unknown):
        raise LeakguardError(f"tracing could not be started: {started.reason}")


def _now() -> str:
    from datetime import datetime, timezone

    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _from_document(document: Any) -> Snapshot:  # noqa: ANN401 - any JSON at all
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise TracesError(f"its schema is not {SCHEMA!r}")
    columns, types = document.get("traces"), document.get("types")
    nframe, created_at = document.get("nframe"), document.get("created_at")
    if not isinstance(columns, dict) or type(nframe) is not int:
        raise TracesError("it has no traces or no nframe")
    if not isinstance(created_at, str):
        raise TracesError("it does not say when it was taken")
    if types is not None and not _are_counts(types):
        raise TracesError("its types are not counts by name")
    return Snapshot(
        traces=Traces.from_columns(columns),
        types=types,
        nframe=nframe,
        created_at=created_at,
        include=_patterns(document, "include"),
        exclude=_patterns(document, "exclude"),
    )


def _are_counts(types: object) -> bool:
    return isinstance(types, dict) and all(type(n) is int for n in types.values())


def _patterns(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = document.get(name)
    if not isinstance(found, list) or any(type(text) is not str for text in found):
        raise TracesError(f"its {name!r} is not a list of patterns")
    return tuple(found)


def _write_whole(path: Path, text: str) -> None:
    """Replace the file in one step, by way of a new one beside it."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        try:
            with beside.open("x", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise LeakguardError(f"cannot write {path}: {error.strerror}") from error


def _site_table(rows: Sequence[SiteRow], limit: int) -> str:
    if not rows:
        return ""
    cwd = _directory()
    cells = [
        (
            format_bytes(row.growth_bytes, plus=True),
            f"{row.growth_blocks:+,}",
            format_bytes(row.size_bytes),
            f"{_short(row.file, cwd)}:{row.line}",
            _code(row.file, row.line),
        )
        for row in rows[:limit]
    ]
    width = 5 if any(code for *_, code in cells) else 4  # without an empty column
    headers = ("growth", "blocks", "now", "line", "code")[:width]
    shown = table(headers, [row[:width] for row in cells], ">>><<"[:width])
    rest = sum(row.growth_bytes for row in rows[limit:])
    total = format_bytes(rest, plus=True)
    more = f"{_many(len(rows) - limit, 'line')}, {total} together"
    return _with_rest(shown, more if len(rows) > limit else "")


def _type_table(rows: Sequence[TypeRow], limit: int) -> str:
    cells = [(f"{row.growth:+,}", f"{row.objects:,}", row.type) for row in rows[:limit]]
    shown = table(("objects", "now", "type"), cells, ">><")
    rest = sum(row.growth for row in rows[limit:])
    more = f"{_many(len(rows) - limit, 'type')}, {rest:+,} objects together"
    return _with_rest(shown, more if len(rows) > limit else "")


def _with_rest(shown: str, more: str) -> str:
    return f"{shown}\n... and {more}" if more else shown


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _directory() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed under us
        return None


def _short(file: str, cwd: str | None) -> str:
    """Return the path below the working directory, or the end of a long one."""
    path = relative(file, cwd)
    if len(path) <= _SHOWN_PATH_CHARACTERS:
        return path
    return "/".join(("...", *path.replace("\\", "/").split("/")[-3:]))


def _code(file: str, line: int) -> str:
    """Return the source line if it is there; nothing is cached, unlike linecache."""
    path = Path(file)
    try:
        if not path.is_file():
            return ""
        with path.open(encoding="utf-8", errors="replace") as stream:
            text = next(islice(stream, max(0, line - 1), line), "").strip()
    except (OSError, ValueError):
        return ""
    if len(text) <= _SHOWN_CODE_CHARACTERS:
        return text
    return text[: _SHOWN_CODE_CHARACTERS - 3] + "..."
