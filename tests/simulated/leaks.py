"""Programs that leak, by what they keep: it is never given back, never stops growing.

Rules of this file: one function for each family; it draws its scene and says the
answer. Draws are such that an honest judge can tell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulated.habits import Batch, Doubling, Queue
from tests.simulated.load import diurnal
from tests.simulated.memory import MIB
from tests.simulated.parts import Garbage, Held, Keep, KeepNewKeys
from tests.simulated.scene import Scene

if TYPE_CHECKING:
    from tests.simulated.memory import Draw


KINDS = ("small", "body", "body", "native")
SLOWEST_BYTES_PER_SECOND = 400


def growth_mib(scene: Scene, low: float = 5, high: float = 40) -> float:
    """Return what leaks in all; slower than some bytes per second is no leak."""
    slowest = SLOWEST_BYTES_PER_SECOND * scene.duration_seconds / MIB
    return max(scene.draw.log(low, high), slowest)


def keeping(scene: Scene, kind: str | None = None, noise: float = 1.0) -> Scene:
    """Let each request of an ordinary program leave something behind."""
    kind = kind or scene.draw.choice(KINDS)
    size = scene.per_request(growth_mib(scene))
    also_ok = ("native-leak",) if kind == "native" else ()
    return scene.answer(
        "leak", lambda _life: [*scene.ordinary(noise), Keep(kind, size)], *also_ok
    )


def leak_constant(draw: Draw) -> Scene:
    """The plain case: a record for each request."""
    return keeping(Scene(draw))


def leak_small_objects(draw: Draw) -> Scene:
    """All of it in pymalloc's pools: in-use is flat while RSS climbs."""
    return keeping(Scene(draw, columns="rss+heap"), "small")


def leak_native(draw: Draw) -> Scene:
    """C allocations without free: Python has no part in it."""
    return keeping(Scene(draw, columns="rss+heap"), "native")


def leak_pymalloc_off(draw: Draw) -> Scene:
    """All Python objects on the C heap, no block counted."""
    return keeping(Scene(draw, columns="rss+heap", pools=False), "body")


def leak_quiet_and_slow(draw: Draw) -> Scene:
    """A few MiB in the whole run, with nearly no noise."""
    scene = Scene(draw, flights=draw.uniform(0, 3))
    size = scene.per_request(growth_mib(scene, 2, 4))
    kind = draw.choice(("small", "body"))
    return scene.answer("leak", lambda _life: [*scene.ordinary(0.1), Keep(kind, size)])


def leak_beside_big_static(draw: Draw) -> Scene:
    """A per cent or two of the memory, but a straight line."""
    static_mib = draw.uniform(120, 700)
    scene = Scene(draw, static_mib=static_mib, limit_bytes=2048 * MIB)
    size = scene.per_request(growth_mib(scene) + 0.012 * static_mib)
    return scene.answer(
        "leak", lambda _life: [*scene.ordinary(0.3), Keep("body", size)]
    )


def leak_fast(draw: Draw) -> Scene:
    """Up to hundreds of MiB: at 1 MB/s and more for a short run."""
    scene = Scene(draw, limit_bytes=2048 * MIB)
    size = scene.per_request(draw.log(60, 500))
    kind = draw.choice(KINDS[1:])
    also_ok = ("native-leak",) if kind == "native" else ()
    return scene.answer(
        "leak", lambda _life: [*scene.ordinary(), Keep(kind, size)], *also_ok
    )


def leak_of_threads(draw: Draw) -> Scene:
    """Stacks are mapped: malloc does not know them; each has a few objects."""
    scene = Scene(draw)
    mib = growth_mib(scene, 6, 40)
    size, one_of = scene.per_request(mib), scene.one_of(mib * MIB / 16_000)
    return scene.answer(
        "leak",
        lambda _life: [*scene.ordinary(0.5), Keep("thread", size, one_of)],
        "native-leak",
    )


def leak_of_sockets(draw: Draw) -> Scene:
    """Connections that nobody closes, each with its buffers."""
    scene = Scene(draw)
    mib = growth_mib(scene, 6, 30)
    size, one_of = scene.per_request(mib), scene.one_of(mib * MIB / 25_000)
    return scene.answer(
        "leak",
        lambda _life: [*scene.ordinary(), Keep("body", size, one_of, pieces=40)],
    )


def leak_of_mappings(draw: Draw) -> Scene:
    """Now and then a mapping of some hundred KiB that nobody closes.

    Neither malloc nor Python's blocks tell of it, as neither tell of holes.
    """
    scene = Scene(draw)
    size = scene.per_request(growth_mib(scene, 10, 60))
    one_of = scene.one_of(draw.uniform(40, 150))
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.5),
            Keep("mapped", size, one_of),
            Keep("small", size / 3000, one_of),
        ],
        "native-leak",
        *(("fragmentation",) if scene.columns == "rss+heap" else ()),
    )


def leak_of_tmpfs(draw: Draw) -> Scene:
    """Files in /dev/shm: the group's usage climbs, the process's does not."""
    scene = Scene(draw, columns=draw.choice(("rss+heap", "cgroup")))
    size = scene.per_request(growth_mib(scene, 8, 60))
    return scene.answer(
        "leak", lambda _life: [*scene.ordinary(), Keep("tmpfs", size)], "native-leak"
    )


def leak_into_free_heap(draw: Draw) -> Scene:
    """A first job leaves the heap large and free; the leak grows into it."""
    scene = Scene(draw, columns="rss+heap", retention=1.0, flights=draw.uniform(0, 6))
    peak = draw.uniform(30, 90) * MIB
    size = scene.per_request(peak / MIB * draw.uniform(0.3, 0.8))
    run = scene.seconds(draw.uniform(0.01, 0.04))
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.3),
            Batch(Held("native", 2000), 9e9, run, peak),
            Keep("native", size),
        ],
        "native-leak",
    )


def leak_gc_rising_floor(draw: Draw) -> Scene:
    """Cycles are collected, a few of them stay in a registry."""
    scene = Scene(draw, retention=draw.choice((0.0, 0.2)))
    rounds = draw.uniform(8, 25)
    kept = draw.uniform(0.04, 0.12)
    size = scene.per_request(draw.log(8, 25) / kept)
    kind = draw.choice(("body", "big"))
    every = scene.seconds(1 / rounds)
    return scene.answer(
        "leak", lambda _life: [*scene.ordinary(0.3), Garbage(kind, size, every, kept)]
    )


def leak_zipf_keys(draw: Draw) -> Scene:
    """A memo without a bound; popular keys come again, new ones never end."""
    scene = Scene(draw, diurnal(draw))
    mib, exponent = draw.log(12, 40), draw.uniform(0.7, 0.9)
    total, entry = scene.load.expected(), draw.log(300, 5000)
    kind = draw.choice(("small", "body"))
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.3),
            KeepNewKeys(kind, mib * MIB, total, exponent, entry),
        ],
    )


def leak_of_batch_jobs(draw: Draw) -> Scene:
    """Each job keeps something: a staircase under the peaks."""
    scene = Scene(draw, retention=draw.choice((0.0, 0.9)))
    jobs = draw.randint(8, 25)
    kept = draw.log(8, 50) * MIB / jobs
    every, run = scene.seconds(1 / jobs), scene.seconds(draw.uniform(0.2, 0.6) / jobs)
    peak = draw.choice((0.0, draw.uniform(2, 30))) * MIB
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.3),
            Batch(Held("native", 3000), every, run, peak, kept),
        ],
    )


def leak_of_queue_worker(draw: Draw) -> Scene:
    """A backlog that comes and goes, and results that nobody fetches."""
    scene = Scene(draw, diurnal(draw))
    if scene.columns != "rss+heap":  # what stays with the allocator would hide it
        scene.bases = [replace(scene.bases[0], retention=0.0)]
    capacity = scene.load.per_second * draw.uniform(1.2, 1.5)
    size = scene.per_request(draw.log(8, 35))
    backlog = draw.uniform(10, 40) * MIB / (0.06 * scene.load.expected())
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.3),
            Queue(Held("native", backlog), capacity),
            Keep("body", size),
        ],
    )


def leak_of_tracebacks(draw: Draw) -> Scene:
    """Few requests fail, but each failure keeps large bodies."""
    scene = Scene(draw)
    size = scene.per_request(growth_mib(scene, 10, 60))
    one_of = scene.one_of(draw.uniform(80, 400))
    return scene.answer(
        "leak",
        lambda _life: [*scene.ordinary(), Keep("body", size, one_of, pieces=25)],
    )


def leak_of_growing_table(draw: Draw) -> Scene:
    """One huge dict: objects by the request, its table by doubling."""
    scene = Scene(draw)
    per_key = draw.log(8, 30) * MIB / scene.load.expected()
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.5),
            Doubling(0.0, 1e12),
            Keep("small", per_key),
        ],
    )
