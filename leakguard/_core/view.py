"""One life's columns as shapes, seen together: what of the growth is live memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakguard._core.history import without_load
from leakguard._core.pace import Rate, rate_of
from leakguard._core.robust import theil_sen
from leakguard._core.shape import Shape, read_shape

if TYPE_CHECKING:
    from leakguard._core.history import Columns

#: Growth after the warm-up that counts: bytes, and share of the level; blocks.
LEAST_BYTES, LEAST_SHARE = 1.5e6, 0.005
LEAST_BLOCKS = 1_000
#: Blocks of Python's hold 16 to 512 bytes (pymalloc), the larger are in the C heap.
#: With the slack of their pools, resident growth of up to so much for each is theirs.
MOST_BLOCK_BYTES = 700
USUAL_BLOCK_BYTES = 150
#: A heap that rises less than this share of what comes back is not sure to rise.
LEAST_OF_SWING = 0.25
#: Share of the resident growth that the heap must have to speak for it, and blocks.
LEAST_HIDDEN_SHARE = 0.8
LEAST_SHOWN_SHARE = 0.3
#: Behind swings, points so much of the history apart tell how fast the heap rises.
APART_SHARE = 1 / 3
#: Resident growth is the leak's while so little of it is free memory.
MOST_FREE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class View:
    """The shapes of one life's columns.

    Load is taken out of all but ``level`` and ``outside``, where it was known.
    """

    columns: Columns
    level: Shape
    resident: Shape
    heap: Shape | None
    blocks: Shape | None
    outside: Shape | None

    @property
    def heap_grown(self) -> float:
        """The growth of the C heap's floor in bytes."""
        return max(0.0, self.heap.risen) if self.heap else 0.0

    @property
    def arenas_grown(self) -> float:
        """What small blocks explain of the resident growth beyond the C heap's."""
        if self.blocks is None or self.blocks.law != "rising":
            return 0.0
        beyond = max(0.0, self.resident.risen - self.heap_grown)
        if beyond <= MOST_BLOCK_BYTES * self.blocks.risen:
            return beyond
        return USUAL_BLOCK_BYTES * self.blocks.risen

    @property
    def heap_keeps(self) -> bool:
        """Whether the C heap rises, by more than noise of the load."""
        heap = self.heap
        if heap is None or heap.law != "rising":
            return False
        return heap.risen > LEAST_OF_SWING * self.resident.swing

    @property
    def heap_hides_growth(self) -> bool:
        """Whether the C heap rises while resident memory does not: into free memory."""
        law, heap = self.resident.law, self.heap
        if heap is None or not self.heap_keeps:
            return False
        return law in ("flat", "unclear") or (
            law == "settled" and heap.risen > LEAST_HIDDEN_SHARE * self.resident.risen
        )

    @property
    def blocks_show_growth(self) -> bool:
        """Whether Python's blocks rise in a process whose resident memory swings."""
        shape, blocks = self.resident, self.blocks
        if blocks is None or blocks.law != "rising" or shape.swing < shape.risen:
            return False
        explained = MOST_BLOCK_BYTES * blocks.risen
        return explained > max(2 * LEAST_BYTES, LEAST_SHOWN_SHARE * shape.risen)

    @property
    def heap_settles(self) -> bool:
        """Whether the C heap holds what grew, and has stopped."""
        heap, blocks = self.heap, self.blocks
        if heap is None or heap.law != "settled" or (blocks and blocks.law == "rising"):
            return False
        return heap.risen > LEAST_HIDDEN_SHARE * self.resident.risen

    @property
    def live_keeps(self) -> bool:
        """Whether memory in use, or the number of blocks, rises."""
        blocks = self.blocks is not None and self.blocks.law == "rising"
        return self.heap_keeps or blocks


def view_of(columns: Columns) -> View:
    """Return the shapes of the columns."""
    seconds, work = columns.seconds, columns.requests
    least = max(LEAST_BYTES, LEAST_SHARE * max(columns.resident))

    def without(values: list[float] | None, least: float = least) -> Shape | None:
        if values is None:
            return None
        values = without_load(values, columns.in_flight)
        return read_shape(seconds, values, work, least=least)

    level = read_shape(seconds, columns.resident, work, least=least)
    outside = columns.outside
    return View(
        columns,
        level,
        without(columns.resident) or level,
        without(columns.heap),
        without(columns.blocks, LEAST_BLOCKS),
        read_shape(seconds, outside, work, least=least) if outside else None,
    )


def leak_rate(view: View) -> Rate:
    """Return how fast memory is kept.

    Resident growth, unless it swings, hides in free memory, or holds more free memory
    than blocks: then the C heap's, with the blocks'.
    """
    resident, heap = view.resident, view.heap
    if heap is None or heap.law != "rising":
        return rate_of(resident)
    free = resident.risen - view.heap_grown - view.arenas_grown
    clean = resident.law == "rising" and resident.swing < resident.risen
    if (
        clean
        and free + view.arenas_grown > 0
        and free < MOST_FREE_SHARE * resident.risen
    ):
        return rate_of(resident)
    blocks = max(0.0, view.blocks.risen) if view.blocks else 0.0
    more = 1 + USUAL_BLOCK_BYTES * blocks / view.heap_grown
    rate = rate_of(heap)
    return Rate(
        rate.since_seconds, rate.per_second * more, rate.low * more, rate.high * more
    )


def hidden_rate(view: View) -> Rate:
    """Return how fast the C heap rises without the load, where swings hide its floor.

    Zero where the interval of the slope is not all above it.
    """
    columns = view.columns
    seconds, begin = columns.seconds, columns.seconds[0]
    heap = without_load(columns.heap or [], columns.in_flight)
    apart = APART_SHARE * (seconds[-1] - begin)
    found = theil_sen(seconds, heap, apart) if heap else None
    if found is None or found[1] <= 0:
        return Rate(begin, 0.0, 0.0, 0.0)
    return Rate(begin, *found)
