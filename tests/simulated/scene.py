"""A simulated program on its stage: length, load, columns; and the play itself.

Rules of this file: all randomness comes from the one ``Draw``; time never sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from leakguard._core.samples import Sample
from tests.simulated.load import Load, constant
from tests.simulated.memory import MIB, Base, Draw, Group, Memory
from tests.simulated.parts import (
    Held,
    InFlight,
    Part,
    Process,
    Settle,
    WarmUp,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulated.load import Shape

Columns = Literal["rss+heap", "rss", "cgroup"]
ALL_COLUMNS: tuple[Columns, ...] = ("rss+heap", "rss+heap", "rss+heap", "rss", "cgroup")
PERIODS_SECONDS = (0.25, 0.5, 0.5, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class History:
    """A labelled series: the right answer, those one may also give, the true rate."""

    name: str
    label: str
    also_ok: tuple[str, ...]
    samples: list[Sample]
    rate_bytes_per_second: float | None
    columns: Columns


@dataclass
class Scene:
    """What one draw of a family decides before the play begins.

    ``parts`` makes the program's habits anew for each life. ``lives`` are the
    fractions at which a new one begins, by a deploy; the limit may begin others.
    Where a value is not given, it is drawn.
    """

    draw: Draw
    shape: Shape = constant
    count: int = 0
    columns: Columns | None = None
    lives: tuple[float, ...] = ()
    limit_bytes: int = 512 * MIB
    static_mib: float = 0.0
    pools: bool = True
    retention: float | None = None
    requests_per_sample: float = 0.0
    flights: float | None = None
    without_requests: bool | None = None
    label: str = ""
    also_ok: tuple[str, ...] = ()
    parts: Callable[[int], list[Part]] = lambda _life: []
    bases: list[Base] = field(default_factory=list)

    def __post_init__(self) -> None:
        draw = self.draw
        self.count = self.count or draw.randint(200, 500)
        self.period_seconds = draw.choice(PERIODS_SECONDS)
        self.duration_seconds = self.count * self.period_seconds
        flights = draw.choice((0.0, draw.log(2, 40)))
        flights = flights if self.flights is None else self.flights
        per_sample = self.requests_per_sample or draw.log(6, 50)
        per_second = per_sample / self.period_seconds
        self.load = Load(
            shape=self.shape,
            per_second=per_second,
            latency_seconds=flights / per_second,
            noise=draw.uniform(0.03, 0.3),
            duration_seconds=self.duration_seconds,
        )
        self.columns = self.columns or draw.choice(ALL_COLUMNS)
        if self.without_requests is None:
            self.without_requests = draw.chance(0.15)
        base = Base.drawn(draw, static_mib=self.static_mib, pools=self.pools)
        if self.retention is not None:
            base = replace(base, retention=self.retention)
        self.bases = [base]
        self._warm_bytes = draw.choice((0.0, 1.0, 1.0, 1.0)) * draw.log(0.5, 5) * MIB
        self._warm_seconds = self.seconds(draw.uniform(0.01, 0.03))
        self._settle_bytes = draw.log(0.01, 0.15) * MIB
        self._flight_bytes = draw.log(4_000, 60_000)
        self._flight_kind = draw.choice(("body", "native", "big"))

    @property
    def blind(self) -> bool:
        """Whether the columns show neither load nor restarts."""
        return self.columns == "cgroup" or bool(self.without_requests)

    def seconds(self, fraction: float) -> float:
        return fraction * self.duration_seconds

    def per_request(self, mib: float, begin: float = 0.0, end: float = 1.0) -> float:
        """Return the bytes for each request that make so many MiB in all."""
        return mib * MIB / self.load.expected(begin, end)

    def one_of(self, pieces: float) -> float:
        """Return of how many requests one makes a piece, for so many pieces in all."""
        return max(1.0, self.load.expected() / pieces)

    def ordinary(self, noise: float = 1.0) -> list[Part]:
        """Return what nearly every program does: it warms up, settles, has noise."""
        return [
            WarmUp(self._warm_bytes, self._warm_seconds),
            Settle(self._settle_bytes, self.seconds(0.05)),
            InFlight(Held(self._flight_kind, noise * self._flight_bytes)),
        ]

    def answer(
        self, label: str, parts: Callable[[int], list[Part]], *also_ok: str
    ) -> Scene:
        self.label, self.parts, self.also_ok = label, parts, also_ok
        return self


def play(scene: Scene, name: str) -> History:
    """Run the program of the scene and return what was seen of it."""
    stage = Stage(scene)
    samples = list(stage.seen())
    leaked = sum(life.leaked_bytes for life in stage.truth)
    seconds = sum(life.leak_seconds for life in stage.truth)
    rate = leaked / seconds if leaked and seconds else None
    columns = scene.columns or "rss+heap"
    return History(name, scene.label, scene.also_ok, samples, rate, columns)


class Stage:
    """The play of one scene; ``truth`` holds the lives of its process."""

    def __init__(self, scene: Scene) -> None:
        self.truth: list[Process] = []
        self._scene = scene
        self._draw = scene.draw
        self._group = Group(scene.draw, scene.limit_bytes)
        self._parts: list[Part] = []
        self._lives = list(scene.lives)
        self._stale_share = scene.draw.choice((0.0, 0.02, 0.15))

    def seen(self) -> Iterator[Sample]:
        """Yield the samples, one for each step of the play."""
        period_seconds = self._scene.period_seconds
        t_seconds = self._draw.uniform(0.0, 0.2) * period_seconds
        shown: Sample | None = None
        for tick in range(self._scene.count):
            dt_seconds = _interval(self._draw, period_seconds) if tick else 0.01
            t_seconds += dt_seconds
            fraction = tick / self._scene.count
            fresh = self._is_due(fraction)
            if fresh:
                self._begin()
            self._step(fraction, dt_seconds)
            sample = self._sample(t_seconds)
            # A program's own counters come from its own clock, at times late.
            if shown is None or fresh or not self._draw.chance(self._stale_share):
                shown = sample
            yield _masked(self._scene, sample, shown)

    def _is_due(self, fraction: float) -> bool:
        """Say whether a new life begins: the first, by a deploy, after a kill."""
        if self._lives and fraction >= self._lives[0]:
            self._lives.pop(0)
            return True
        return not self.truth or self._group.is_over(self.truth[-1].memory)

    def _begin(self) -> None:
        life, bases = len(self.truth), self._scene.bases
        memory = Memory(bases[min(life, len(bases) - 1)])
        duration_seconds = self._scene.duration_seconds
        self.truth.append(Process(self._draw, memory, self._group, duration_seconds))
        self._parts = self._scene.parts(life)

    def _step(self, fraction: float, dt_seconds: float) -> None:
        process, load = self.truth[-1], self._scene.load
        process.fraction = fraction
        process.age_seconds += dt_seconds
        requests = load.step(self._draw, self._scene.seconds(fraction), dt_seconds)
        process.requests_total += requests
        process.in_flight = load.in_flight
        process.leaking = False
        for part in self._parts:
            part.step(process, dt_seconds, requests)
        process.leak_seconds += dt_seconds * process.leaking

    def _sample(self, t_seconds: float) -> Sample:
        process, group = self.truth[-1], self._group
        return Sample(
            round(t_seconds, 3),
            rss_bytes=process.memory.rss_bytes,
            in_use_bytes=process.memory.in_use_bytes,
            python_blocks=round(process.memory.blocks),
            cgroup_usage_bytes=min(
                group.usage_bytes(process.memory), group.limit_bytes
            ),
            cgroup_inactive_file_bytes=round(group.inactive),
            cgroup_limit_bytes=group.limit_bytes,
            requests_total=process.requests_total,
            in_flight=process.in_flight,
        )


def _interval(draw: Draw, period_seconds: float) -> float:
    """Return the time to the next sample: late at times, rarely with a hole."""
    if draw.chance(0.004):
        return period_seconds * draw.uniform(2, 6)
    late = draw.expovariate(100) if draw.chance(0.9) else draw.uniform(0, 0.4)
    return period_seconds * (1 + late)


def _masked(scene: Scene, sample: Sample, shown: Sample) -> Sample:
    """Blank what the columns do not hold, and show the program's own counters."""
    if scene.columns == "cgroup":
        usage_bytes = sample.cgroup_usage_bytes or 0
        working_set = usage_bytes - (sample.cgroup_inactive_file_bytes or 0)
        return Sample(
            sample.t_seconds,
            cgroup_usage_bytes=_four_digits(working_set),
            cgroup_limit_bytes=sample.cgroup_limit_bytes,
        )
    heap = scene.columns == "rss+heap"
    return sample._replace(
        in_use_bytes=shown.in_use_bytes if heap else None,
        python_blocks=shown.python_blocks if heap else None,
        requests_total=None if scene.without_requests else shown.requests_total,
        in_flight=None if scene.without_requests else shown.in_flight,
    )


def _four_digits(size_bytes: int) -> int:
    """Return a size as ``docker stats`` prints it: four digits of a binary unit."""
    unit = MIB if size_bytes < 1024 * MIB else 1024 * MIB
    return round(float(f"{size_bytes / unit:.4g}") * unit)
