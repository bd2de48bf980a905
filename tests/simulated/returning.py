"""Programs whose memory follows their load and comes back, or stays where it is.

Rules of this file: one function for each family; it draws its scene and says the
answer. Other answers that an honest judge may give stand beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulated.habits import (
    Batch,
    Lazy,
    Neighbour,
    PageCache,
    Queue,
    Ratchet,
    Ttl,
)
from tests.simulated.load import (
    bursts,
    diurnal,
    hill,
    nights,
    plateau,
    pulses,
    weekly,
)
from tests.simulated.memory import MIB
from tests.simulated.parts import Garbage, Held, InFlight, Keep, Wander, WarmUp
from tests.simulated.scene import Scene

if TYPE_CHECKING:
    from tests.simulated.memory import Draw


def load_in_flight(draw: Draw) -> Scene:
    shape = draw.choice((diurnal(draw), bursts(draw), pulses(draw), nights(draw)))
    scene = Scene(draw, shape, flights=draw.uniform(8, 40), retention=0.0)
    piece, kind = draw.uniform(0.3, 0.9) * MIB, draw.choice(("big", "native"))
    return scene.answer(
        "load",
        lambda _life: [*scene.ordinary(), InFlight(Held(kind, piece))],
    )


def load_weekly_sessions(draw: Draw) -> Scene:
    scene = Scene(draw, weekly(draw), flights=0.0, retention=0.0)
    ttl = draw.uniform(0.01, 0.04)
    size = draw.uniform(30, 70) * MIB / (ttl * scene.load.expected())
    return scene.answer(
        "load",
        lambda _life: [*scene.ordinary(), Ttl("big", size, scene.seconds(ttl))],
    )


def load_ttl_diurnal(draw: Draw) -> Scene:
    scene = Scene(draw, diurnal(draw, draw.uniform(3, 8)), retention=0.0)
    ttl = draw.uniform(0.01, 0.04)
    size = draw.uniform(15, 50) * MIB / (ttl * scene.load.expected())
    return scene.answer(
        "load",
        lambda _life: [*scene.ordinary(0.5), Ttl("native", size, scene.seconds(ttl))],
    )


def load_queue(draw: Draw) -> Scene:
    """A backlog by day that is worked off by night."""
    scene = Scene(draw, diurnal(draw, draw.uniform(3, 7)), retention=0.0)
    capacity = scene.load.per_second * draw.uniform(1.15, 1.4)
    size = draw.uniform(20, 60) * MIB / (0.03 * scene.load.expected())
    return scene.answer(
        "load",
        lambda _life: [*scene.ordinary(0.5), Queue(Held("native", size), capacity)],
    )


def load_batch(draw: Draw) -> Scene:
    """A job at equal distances: memory rises while it runs and comes back."""
    scene = Scene(draw, flights=draw.uniform(0, 5), retention=0.0)
    jobs, peak = draw.randint(4, 9), draw.uniform(15, 80) * MIB
    every, share = scene.seconds(1 / jobs), draw.uniform(0.2, 0.6)
    return scene.answer(
        "load",
        lambda _life: [
            *scene.ordinary(0.5),
            Batch(Held("big", 100_000), every, share * every, peak),
        ],
        "steady",
    )


def load_busier_days(draw: Draw) -> Scene:
    """Each day is busier than the last, and each night comes back."""
    cycles = draw.randint(4, 7) + 0.0
    shape = diurnal(draw, cycles, trend=draw.uniform(0.5, 1.2))
    scene = Scene(draw, shape, columns="rss+heap", flights=draw.uniform(10, 30))
    scene.bases = [replace(scene.bases[0], retention=0.0)]
    piece = draw.uniform(0.3, 0.9) * MIB
    scene.without_requests = False
    return scene.answer(
        "load",
        lambda _life: [*scene.ordinary(), InFlight(Held("big", piece))],
    )


def load_hill(draw: Draw) -> Scene:
    """One rise, one fall."""
    scene = Scene(draw, hill(draw), flights=draw.uniform(15, 40), retention=0.0)
    piece = draw.uniform(0.3, 0.9) * MIB
    return scene.answer(
        "load",
        lambda _life: [*scene.ordinary(), InFlight(Held("big", piece))],
    )


def steady_mapped_noise(draw: Draw) -> Scene:
    scene = Scene(draw, flights=draw.uniform(15, 40), retention=0.0)
    piece = draw.uniform(0.15, 0.5) * MIB
    return scene.answer(
        "steady",
        lambda _life: [*scene.ordinary(0.5), InFlight(Held("big", piece))],
        "load",
    )


def steady_wandering(draw: Draw) -> Scene:
    """Working memory that wanders around its mean, slowly or fast."""
    scene = Scene(draw, retention=draw.choice((0.0, 0.3)))
    mean, memory = draw.log(1, 10) * MIB, draw.uniform(0.0, 0.93)
    return scene.answer(
        "steady",
        lambda _life: [
            *scene.ordinary(0.3),
            Wander(Held("big", 100_000), mean, 0.3, memory, draw.gauss(0, 1)),
        ],
        "load",
    )


def steady_gc_sawtooth(draw: Draw) -> Scene:
    """Cycles pile up and are collected, every few samples or a few times in all."""
    scene = Scene(draw, retention=draw.choice((0.0, 0.1)))
    rounds = draw.log(5, 60)
    size = scene.per_request(draw.uniform(8, 30) * rounds)
    kind, every = draw.choice(("body", "big")), scene.seconds(1 / rounds)
    return scene.answer(
        "steady",
        lambda _life: [*scene.ordinary(0.3), Garbage(kind, size, every)],
        "load",
    )


def steady_big_static(draw: Draw) -> Scene:
    mib = draw.uniform(100, 900)
    scene = Scene(draw, diurnal(draw), static_mib=mib, limit_bytes=2048 * MIB)
    return scene.answer("steady", lambda _life: scene.ordinary(0.5), "load")


def steady_idle(draw: Draw) -> Scene:
    """Nearly nothing happens: a page now and then."""
    scene = Scene(draw, requests_per_sample=draw.uniform(0.2, 1.5), flights=0.0)
    size = scene.per_request(draw.uniform(0.02, 0.08))
    return scene.answer("steady", lambda _life: [Ratchet(size, crumb=0.8)])


def steady_rare_steps(draw: Draw) -> Scene:
    """Idle, with two or three small steps in the whole run."""
    scene = Scene(draw, requests_per_sample=draw.uniform(0.5, 3), flights=0.0)
    moments = [
        (draw.uniform(0.05, 0.6), draw.uniform(0.05, 0.4) * MIB)
        for _ in range(draw.randint(1, 3))
    ]
    return scene.answer("steady", lambda _life: [Lazy("body", list(moments))], "cache")


def steady_quantized(draw: Draw) -> Scene:
    """A flat program in a log of four digits."""
    scene = Scene(draw, columns="cgroup", static_mib=draw.choice((0.0, 300.0)))
    return scene.answer("steady", lambda _life: scene.ordinary(0.5), "load")


def steady_warm_up(draw: Draw) -> Scene:
    """Flat after a warm-up of some MiB in the first 5 to 10 %."""
    scene = Scene(draw)
    warm = draw.uniform(3, 20) * MIB
    seconds = scene.seconds(draw.uniform(0.015, 0.03))
    return scene.answer(
        "steady",
        lambda _life: [*scene.ordinary(0.5), WarmUp(warm, seconds)],
        "cache",
        "load",
    )


def steady_restarts(draw: Draw) -> Scene:
    """Deploys without a leak; each life warms up."""
    lives = tuple(sorted(draw.uniform(0.15, 0.85) for _ in range(draw.randint(1, 4))))
    scene = Scene(draw, lives=lives)
    warm, seconds = draw.uniform(1, 8) * MIB, scene.seconds(0.01)
    return scene.answer(
        "steady",
        lambda _life: [*scene.ordinary(0.5), WarmUp(warm, seconds)],
        "cache",
        "load",
    )


def steady_deploy_step(draw: Draw) -> Scene:
    """A deploy brings another baseline, higher or lower, and no leak."""
    scene = Scene(draw, lives=(draw.uniform(0.25, 0.7),))
    old = scene.bases[0]
    more = round(draw.uniform(-2, 25) * MIB)
    scene.bases.append(replace(old, heap_bytes=max(3 * MIB, old.heap_bytes + more)))
    return scene.answer("steady", lambda _life: scene.ordinary(0.5), "cache", "load")


def steady_sidecar(draw: Draw) -> Scene:
    scene = Scene(draw, columns="rss+heap")
    most = draw.uniform(10, 40) * MIB
    return scene.answer(
        "steady", lambda _life: [*scene.ordinary(0.5), Neighbour(most)], "load"
    )


def steady_fixed_by_redeploy(draw: Draw) -> Scene:
    """A leak, until a deploy brings the fix: flat from a low level."""
    fixed_at = draw.uniform(0.35, 0.6)
    scene = Scene(draw, lives=(fixed_at,), flights=draw.uniform(0, 12))
    size = scene.per_request(draw.log(8, 40), 0, fixed_at)
    blind = ("load",) if scene.blind else ()
    return scene.answer(
        "steady",
        lambda life: [
            *scene.ordinary(0.3),
            *([] if life else [Keep("body", size)]),
        ],
        "cache",
        *blind,
    )


def steady_page_cache(draw: Draw) -> Scene:
    """Files are written and not read again: inactive pages, as good as free."""
    scene = Scene(draw, columns="rss+heap")
    rate = draw.uniform(50, 300) * MIB / scene.duration_seconds
    return scene.answer(
        "steady",
        lambda _life: [*scene.ordinary(0.5), PageCache(rate, active=False)],
        "cache",
        "load",
    )


def load_step_up(draw: Draw) -> Scene:
    """Traffic doubles for good: more in flight, then level."""
    at, low = draw.uniform(0.25, 0.6), draw.uniform(0.15, 0.4)
    scene = Scene(draw, lambda x: low if x < at else 1.4, flights=draw.uniform(12, 30))
    scene.bases = [replace(scene.bases[0], retention=0.0)]
    piece = draw.uniform(0.3, 0.9) * MIB
    return scene.answer(
        "load",
        lambda _life: [*scene.ordinary(), InFlight(Held("big", piece))],
        "steady",
        "cache",
    )


def load_ramp_and_level(draw: Draw) -> Scene:
    """A slow start of traffic that then stays: memory follows, and is level."""
    top = draw.uniform(0.25, 0.55)
    scene = Scene(draw, plateau(top), flights=draw.uniform(12, 30), retention=0.0)
    piece = draw.uniform(0.3, 0.9) * MIB
    return scene.answer(
        "load",
        lambda _life: [*scene.ordinary(), InFlight(Held("big", piece))],
        "steady",
        "cache",
    )


def steady_flat_heap_busy(draw: Draw) -> Scene:
    """Busy on its own free heap: in-use moves a lot, RSS hardly."""
    scene = Scene(draw, retention=1.0, flights=draw.uniform(10, 40))
    piece = draw.uniform(0.03, 0.2) * MIB
    return scene.answer(
        "steady",
        lambda _life: [*scene.ordinary(0.3), InFlight(Held("native", piece))],
        "load",
        "cache",
    )
