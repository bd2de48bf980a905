"""Fragmentation, which only several columns tell; and what cannot be told at all.

Rules of this file: one function for each family; it draws its scene and says the
answer. Other answers that an honest judge may give stand beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulated.habits import Batch, KeyCache, Ratchet
from tests.simulated.load import diurnal, ramp
from tests.simulated.memory import MIB
from tests.simulated.parts import Held, InFlight, Keep
from tests.simulated.scene import Scene

if TYPE_CHECKING:
    from tests.simulated.memory import Draw


def _fragmented(scene: Scene, mib: float, batch_mib: float, *also_ok: str) -> Scene:
    hole = scene.per_request(mib)
    crumb = scene.draw.uniform(0.005, 0.04)
    return scene.answer(
        "fragmentation",
        lambda _life: [*scene.ordinary(0.3), Ratchet(hole, crumb, batch_mib * MIB)],
        *also_ok,
    )


def frag_diurnal(draw: Draw) -> Scene:
    scene = Scene(draw, diurnal(draw), columns="rss+heap", retention=0.9)
    return _fragmented(scene, draw.log(10, 40), 0.0)


def frag_constant(draw: Draw) -> Scene:
    scene = Scene(draw, columns="rss+heap")
    return _fragmented(scene, draw.log(10, 50), draw.choice((0.0, 0.3, 1.2)))


def frag_pymalloc_off(draw: Draw) -> Scene:
    scene = Scene(draw, columns="rss+heap", pools=False)
    return _fragmented(scene, draw.log(15, 50), draw.uniform(0.5, 1.5))


def frag_of_jobs(draw: Draw) -> Scene:
    """In-use returns after each job, RSS returns a little less each time."""
    scene = Scene(draw, columns="rss+heap", flights=0.0, retention=0.3)
    jobs, peak = draw.randint(6, 15), draw.uniform(8, 25) * MIB
    every = scene.seconds(1 / jobs)
    hole = scene.per_request(draw.log(15, 40))
    return scene.answer(
        "fragmentation",
        lambda _life: [
            *scene.ordinary(),
            Batch(Held("native", 3000), every, 0.4 * every, peak),
            Ratchet(hole, 0.01),
        ],
    )


def frag_slowing(draw: Draw) -> Scene:
    """The holes become enough: a ratchet that levels off."""
    scene = Scene(draw, diurnal(draw), columns="rss+heap")
    hole = scene.per_request(draw.log(30, 80))
    fade = scene.seconds(draw.uniform(0.25, 0.4))
    return scene.answer(
        "fragmentation",
        lambda _life: [*scene.ordinary(0.3), Ratchet(hole, 0.01, fade=fade)],
        "cache",
        "steady",
    )


def unknown_too_short(draw: Draw) -> Scene:
    """A handful of samples, growth below a MiB."""
    scene = Scene(draw, count=draw.randint(4, 17), flights=draw.uniform(0, 3))
    size = scene.per_request(draw.uniform(0.1, 0.8))
    return scene.answer(
        "unknown", lambda _life: [*scene.ordinary(0.1)[-1:], Keep("body", size)]
    )


def unknown_ramp(draw: Draw) -> Scene:
    """In-flight memory follows a load that never comes down."""
    scene = Scene(draw, ramp(0.05, 2.0), flights=draw.uniform(15, 40), retention=0.0)
    piece = draw.uniform(0.3, 0.9) * MIB
    blind = ("leak",) if scene.blind else ()
    return scene.answer(
        "unknown",
        lambda _life: [*scene.ordinary(0.3), InFlight(Held("big", piece))],
        "load",
        *blind,
    )


def unknown_half_full_cache(draw: Draw) -> Scene:
    """A straight line; the truth is a cache, nobody can see it."""
    scene = Scene(draw, flights=draw.uniform(0, 6))
    full_at = draw.uniform(1.1, 3)
    entry = draw.log(10, 50) * MIB / scene.load.expected() / full_at
    return scene.answer(
        "unknown",
        lambda _life: [*scene.ordinary(0.3), KeyCache("body", entry, 10**9)],
        "leak",
        "cache",
    )


def unknown_flat_but_short(draw: Draw) -> Scene:
    """A handful of samples of a quiet program: nobody can say that it is steady."""
    scene = Scene(draw, count=draw.randint(4, 15), flights=0.0)
    return scene.answer("unknown", lambda _life: scene.ordinary(0.1)[-1:], "steady")
