"""Programs that leak, by when and beside what: load, restarts, caches, noise.

Rules of this file: one function for each family; it draws its scene and says the
answer. Draws are such that an honest judge can tell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulated.habits import Batch, KeyCache, Neighbour, PageCache, Ratchet
from tests.simulated.leaks import growth_mib, keeping
from tests.simulated.load import bursts, diurnal, nights, pulses, ramp, weekly
from tests.simulated.memory import MIB
from tests.simulated.parts import Held, InFlight, Keep, KeepNewKeys, Wander, WarmUp
from tests.simulated.scene import Scene

if TYPE_CHECKING:
    from tests.simulated.memory import Draw


def leak_diurnal(draw: Draw) -> Scene:
    """Fast by day, slow by night."""
    return keeping(Scene(draw, diurnal(draw)))


def leak_idle_nights(draw: Draw) -> Scene:
    """Growth by day, none at all by night."""
    return keeping(Scene(draw, nights(draw)))


def leak_bursty(draw: Draw) -> Scene:
    """All load comes in bursts, to the end of the run."""
    shape = bursts(draw, draw.randint(9, 20), last=0.95)
    return keeping(Scene(draw, shape))


def leak_weekly(draw: Draw) -> Scene:
    """Five busy days, two quiet ones."""
    return keeping(Scene(draw, weekly(draw)))


def leak_ramping_load(draw: Draw) -> Scene:
    """The load grows all the time, and the leak with it."""
    return keeping(Scene(draw, ramp(0.4, 1.6), flights=draw.uniform(0, 4)), noise=0.3)


def leak_hidden_under_load(draw: Draw) -> Scene:
    """Requests in flight move tens of MiB up and down; the floor rises."""
    shape = draw.choice((diurnal(draw, draw.uniform(5, 11)), pulses(draw)))
    scene = Scene(draw, shape, flights=draw.uniform(20, 50), retention=0.0)
    size = scene.per_request(draw.log(9, 40))
    piece = draw.uniform(0.3, 0.8) * MIB
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(),
            InFlight(Held("big", piece)),
            Keep("body", size),
        ],
    )


def leak_late(draw: Draw) -> Scene:
    """Flat, then a feature flag turns it on."""
    begin = draw.uniform(0.3, 0.7)
    scene = Scene(draw, draw.choice((diurnal(draw), lambda _x: 1.0)))
    size = scene.per_request(draw.log(6, 30), begin)
    return scene.answer(
        "leak", lambda _life: [*scene.ordinary(), Keep("body", size, begin=begin)]
    )


def leak_after_deploy(draw: Draw) -> Scene:
    """Steady; a deploy brings a higher baseline and a leak."""
    begin = draw.uniform(0.25, 0.6)
    scene = Scene(draw, lives=(begin,))
    size = scene.per_request(draw.log(6, 30), begin)
    old = scene.bases[0]
    more = round(draw.uniform(3, 25) * MIB)
    new = replace(old, heap_bytes=old.heap_bytes + more)
    scene.bases.append(new)
    return scene.answer(
        "leak",
        lambda life: [*scene.ordinary(), *([Keep("body", size)] if life else [])],
    )


def leak_with_oom_restarts(draw: Draw) -> Scene:
    """The limit kills it, the supervisor starts it again, and again."""
    scene = Scene(draw, limit_bytes=draw.choice((96, 128, 256)) * MIB)
    room = (scene.limit_bytes - scene.bases[0].heap_bytes) / MIB - 30
    size = scene.per_request(room * draw.uniform(1.6, 4.5))
    return scene.answer(
        "leak", lambda _life: [*scene.ordinary(0.3), Keep("body", size)]
    )


def leak_with_planned_restarts(draw: Draw) -> Scene:
    """Somebody knows, and restarts it each night."""
    lives = draw.randint(2, 4)
    scene = Scene(draw, lives=tuple((i + 1) / lives for i in range(lives - 1)))
    size = scene.per_request(lives * draw.log(6, 25))
    also_ok = ("load", "steady") if scene.blind else ()
    return scene.answer(
        "leak", lambda _life: [*scene.ordinary(), Keep("body", size)], *also_ok
    )


def leak_two(draw: Draw) -> Scene:
    """One leak from the beginning, a smaller second one from the middle on."""
    scene = Scene(draw)
    mib = draw.log(8, 30)
    one = scene.per_request(mib)
    two = scene.per_request(mib * draw.uniform(0.1, 0.25), 0.5)
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.5),
            Keep("small", one),
            Keep("body", two, begin=0.5),
        ],
    )


def leak_slowing(draw: Draw) -> Scene:
    """Like the root of the requests: slower and slower, but without a bound."""
    scene = Scene(draw, flights=draw.uniform(0, 5))
    mib, exponent = draw.log(12, 50), draw.uniform(0.5, 0.7)
    total, entry = scene.load.expected(), draw.log(300, 3000)
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.3),
            KeepNewKeys("body", mib * MIB, total, exponent, entry),
        ],
        "unknown",
    )


def leak_warm_cache_beside(draw: Draw) -> Scene:
    """A cache fills and is done; a slower leak goes on all the time."""
    scene = Scene(draw, flights=draw.uniform(0, 5))
    entries = max(10, round(0.15 * scene.load.expected()))
    entry = draw.uniform(8, 25) * MIB / entries
    size = scene.per_request(draw.log(9, 25))
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.3),
            KeyCache("body", entry, entries, [1.0] * entries),
            Keep("body", size),
        ],
    )


def leak_after_full_cache(draw: Draw) -> Scene:
    """A cache is full after a third; the leak begins later."""
    begin = draw.uniform(0.5, 0.68)
    scene = Scene(draw, flights=draw.uniform(0, 5))
    entries = max(10, round(0.1 * scene.load.expected()))
    entry = draw.uniform(8, 25) * MIB / entries
    size = scene.per_request(draw.log(7, 25), begin)
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.3),
            KeyCache("body", entry, entries, [1.0] * entries),
            Keep("body", size, begin=begin),
        ],
    )


def leak_in_noisy_group(draw: Draw) -> Scene:
    """A sidecar makes the group's usage noisy."""
    scene = Scene(draw, columns=draw.choice(("rss+heap", "cgroup")))
    growth = draw.log(15, 60)
    size = scene.per_request(growth)
    noise = growth * draw.uniform(0.1, 0.3) * MIB
    return scene.answer(
        "leak",
        lambda _life: [*scene.ordinary(), Keep("body", size), Neighbour(noise)],
    )


def leak_in_mapped_noise(draw: Draw) -> Scene:
    """Working memory that wanders as widely as the leak grows in a third."""
    scene = Scene(draw)
    growth = draw.log(12, 50)
    size = scene.per_request(growth)
    mean = growth * MIB * draw.uniform(0.2, 0.6)
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.5),
            Wander(Held("big", 300_000), mean, 0.3, draw.uniform(0, 0.9)),
            Keep("body", size),
        ],
    )


def leak_in_short_log(draw: Draw) -> Scene:
    """Few samples, but a leak that cannot be missed."""
    scene = Scene(draw, count=draw.randint(45, 100), flights=draw.uniform(0, 4))
    size = scene.per_request(draw.log(15, 80))
    return scene.answer(
        "leak", lambda _life: [*scene.ordinary(0.3), Keep("body", size)]
    )


def leak_after_long_warm_up(draw: Draw) -> Scene:
    """Models and modules come in for a tenth of the run, then a slow leak."""
    scene = Scene(draw)
    warm = draw.uniform(10, 40) * MIB
    size = scene.per_request(draw.log(6, 20))
    seconds = scene.seconds(draw.uniform(0.01, 0.04))
    return scene.answer(
        "leak",
        lambda _life: [*scene.ordinary(0.3), WarmUp(warm, seconds), Keep("body", size)],
    )


def leak_after_early_peak(draw: Draw) -> Scene:
    """Like it, but the leak outgrows the free heap: RSS is flat, then climbs."""
    scene = Scene(draw, columns="rss+heap", retention=1.0)
    peak = draw.uniform(10, 30) * MIB
    size = scene.per_request(peak / MIB * draw.uniform(2, 3.5))
    run = scene.seconds(draw.uniform(0.01, 0.04))
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(0.5),
            Batch(Held("native", 2000), 9e9, run, peak),
            Keep("body", size),
        ],
    )


def leak_restarted_lately(draw: Draw) -> Scene:
    """Leaking for nine tenths of the run, then restarted: nobody knows if fixed."""
    scene = Scene(draw, lives=(draw.uniform(0.88, 0.95),))
    size = scene.per_request(growth_mib(scene, 8, 40))
    also_ok = ("unknown", "steady", *(("load",) if scene.blind else ()))
    return scene.answer(
        "leak", lambda _life: [*scene.ordinary(0.5), Keep("body", size)], *also_ok
    )


def leak_beside_page_cache(draw: Draw) -> Scene:
    """Inactive file pages rise and fall in the group while the process leaks."""
    scene = Scene(draw, columns="rss+heap")
    rate = draw.uniform(50, 200) * MIB / scene.duration_seconds
    size = scene.per_request(growth_mib(scene, 8, 30))
    return scene.answer(
        "leak",
        lambda _life: [
            *scene.ordinary(),
            PageCache(rate, active=False),
            Keep("body", size),
        ],
    )


def leak_beside_fragmentation(draw: Draw) -> Scene:
    """Records are kept, and some holes arise beside them."""
    scene = Scene(draw, columns="rss+heap")
    mib = growth_mib(scene, 10, 30)
    size, hole = scene.per_request(mib), scene.per_request(0.15 * mib)
    return scene.answer(
        "leak",
        lambda _life: [*scene.ordinary(0.5), Keep("body", size), Ratchet(hole)],
    )
