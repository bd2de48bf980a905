"""The live blocks of a process, by the stack that allocated them, as columns.

Rules of this file: a row is one stack, never one block; frames are shared between
stacks; columns go to and from plain lists, so that a snapshot can be a file.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from leakguard._core.records import LeakguardError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from leakguard._core.records import Frame, Stack

#: The columns of a saved ``Traces``; the first says which file name is number 0.
COLUMNS = (
    "files",
    "frame_files",
    "frame_lines",
    "stack_depths",
    "stack_frames",
    "sizes_bytes",
    "counts",
)


class TracesError(LeakguardError, ValueError):
    """Saved columns that do not make a ``Traces``."""


@dataclass(frozen=True, slots=True)
class Traces:
    """Live blocks by stack: row ``i`` is ``counts[i]`` blocks of ``stacks[i]``.

    ``sizes_bytes`` are the blocks' sizes together. Frames come innermost first.
    Cost: 16 bytes a stack, its tuple, and 72 bytes for each distinct frame.
    """

    stacks: tuple[Stack, ...]
    sizes_bytes: array[int]
    counts: array[int]

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        if not len(self.stacks) == len(self.sizes_bytes) == len(self.counts):
            raise TracesError("the columns have different lengths")

    @classmethod
    def from_groups(cls, groups: Mapping[Stack, Sequence[int]]) -> Traces:
        """Return the traces of stacks and the sizes of their blocks in bytes.

        Rows come in the order of ``share_frames``.
        """
        stacks = share_frames(groups)
        blocks = [groups[stack] for stack in stacks]
        return cls(stacks, array("q", map(sum, blocks)), array("q", map(len, blocks)))

    @property
    def total_bytes(self) -> int:
        """The size of all blocks together."""
        return sum(self.sizes_bytes)

    @property
    def total_count(self) -> int:
        """The number of all blocks."""
        return sum(self.counts)

    def by_frame(self) -> dict[Frame, tuple[int, int]]:
        """Return bytes and blocks by the innermost frame, the allocating line."""
        found: dict[Frame, tuple[int, int]] = {}
        for stack, size, count in zip(
            self.stacks, self.sizes_bytes, self.counts, strict=True
        ):
            if not stack:
                continue
            known = found.get(stack[0])
            # Not added to a zero: with tracing on, each new int costs as much again.
            found[stack[0]] = (
                (known[0] + size, known[1] + count) if known else (size, count)
            )
        return found

    def by_stack(self) -> dict[Stack, tuple[int, int]]:
        """Return bytes and blocks by stack."""
        pairs = zip(self.sizes_bytes, self.counts, strict=True)
        return dict(zip(self.stacks, pairs, strict=True))

    def truncated(self, nframe: int) -> Traces:
        """Return the same blocks, of each stack the ``nframe`` innermost frames."""
        if all(len(stack) <= nframe for stack in self.stacks):
            return self
        sizes: dict[Stack, int] = {}
        counts: dict[Stack, int] = {}
        for stack, size, count in zip(
            self.stacks, self.sizes_bytes, self.counts, strict=True
        ):
            short = stack[:nframe]
            sizes[short] = sizes.get(short, 0) + size
            counts[short] = counts.get(short, 0) + count
        return Traces(
            tuple(sizes), array("q", sizes.values()), array("q", counts.values())
        )

    def to_columns(self) -> dict[str, list[Any]]:
        """Return the ``COLUMNS`` as lists of text and numbers, ready for JSON."""
        frames = list(dict.fromkeys(chain.from_iterable(self.stacks)))
        files = list(dict.fromkeys(file for file, _ in frames))
        frame_number = {frame: number for number, frame in enumerate(frames)}
        file_number = {file: number for number, file in enumerate(files)}
        return {
            "files": files,
            "frame_files": [file_number[file] for file, _ in frames],
            "frame_lines": [line for _, line in frames],
            "stack_depths": [len(stack) for stack in self.stacks],
            "stack_frames": [
                frame_number[frame] for frame in chain.from_iterable(self.stacks)
            ],
            "sizes_bytes": self.sizes_bytes.tolist(),
            "counts": self.counts.tolist(),
        }

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> Traces:
        """Return what ``to_columns`` was asked of.

        Raises:
            TracesError: a column is missing, or holds what it cannot hold.

        """
        files, *numbers = (_column(columns, name) for name in COLUMNS)
        frame_files, lines, depths, stack_frames, sizes, counts = numbers
        if len(frame_files) != len(lines) or sum(depths) != len(stack_frames):
            raise TracesError("the columns have different lengths")
        frames = list(zip(_pick(files, frame_files), lines, strict=True))
        flat = iter(_pick(frames, stack_frames))
        stacks = tuple(tuple(islice(flat, _depth(depth))) for depth in depths)
        try:
            return cls(stacks, array("q", sizes), array("q", counts))
        except OverflowError:
            raise TracesError("a number does not fit in 64 bits") from None


#: No block at all.
NO_TRACES = Traces((), array("q"), array("q"))


class _Share(dict[Any, Any]):
    """Maps each key to the first of its equals."""

    def __missing__(self, key: Any) -> Any:  # noqa: ANN401 - any key
        self[key] = key
        return key


def share_frames(stacks: Iterable[Stack]) -> tuple[Stack, ...]:
    """Return the same stacks, short ones first, with each distinct frame kept once.

    One allocation per stack: with tracing on, and stacks ten frames deep, building
    them frame by frame takes longer than all the rest of a snapshot.
    """
    by_depth: dict[int, list[Stack]] = {}
    for stack in stacks:
        by_depth.setdefault(len(stack), []).append(stack)
    share = _Share()
    shared = [()] * len(by_depth.pop(0, ()))
    for depth, alike in sorted(by_depth.items()):
        frames = map(share.__getitem__, chain.from_iterable(alike))
        shared += zip(*[frames] * depth, strict=True)
    return tuple(shared)


def _column(columns: Mapping[str, Any], name: str) -> list[Any]:
    values = columns.get(name)
    kind = str if name == "files" else int
    if not isinstance(values, list) or any(type(value) is not kind for value in values):
        raise TracesError(f"the column {name!r} is missing or not a list of {kind}s")
    return values


def _pick(values: Sequence[Any], numbers: Iterable[int]) -> Iterable[Any]:
    for number in numbers:
        if not 0 <= number < len(values):
            raise TracesError(f"there is no entry number {number}")
        yield values[number]


def _depth(depth: int) -> int:
    if depth < 0:
        raise TracesError("a stack cannot have less than no frames")
    return depth
