"""Whether a server should be asked to replace this worker, and what each one bears.

Rules of this file: pure. A server is asked in the one way that is known to lose no
request; where there is none, the reason stands in the table. A worker is asked about
only when the reliefs had their chance, and never so often that workers do nothing but
start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from leakguard._core.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from leakguard._core.policy_table import Policy
    from leakguard._core.surge import Step

#: How a server is asked: ``terminate`` sends SIGTERM to this process, ``leave`` has
#: uvicorn stop accepting and then end, ``reload`` sends SIGHUP to this process,
#: ``reload all`` sends it to the master, ``after task`` has Celery's pool end this
#: process after its task.
Way = Literal["terminate", "leave", "reload", "reload all", "after task"]


class Server(NamedTuple):
    """What may be asked of a server from inside one of its workers.

    With ``starts_first`` it starts the new worker before the old one has ended, so
    there must be memory for both.
    """

    name: str
    way: Way
    starts_first: bool = False


SERVERS: Final[Mapping[str, Server]] = {
    "gunicorn": Server("gunicorn", "terminate"),
    "gunicorn-uvicorn": Server("gunicorn", "leave"),
    "uvicorn": Server("uvicorn", "leave"),
    "granian": Server("granian", "reload all", starts_first=True),
    "granian-respawn": Server("granian", "terminate"),
    "uwsgi": Server("uWSGI", "reload"),
    "celery": Server("Celery", "after task"),
}
#: Why a worker of these is never ended from inside.
NEVER: Final[Mapping[str, str]] = {
    "alone": "no server that is known here has started this process as a worker that"
    " it replaces",
    "celery": "Celery replaces a process that asks for it only with"
    " worker_max_memory_per_child set, at any size",
    "forked": "a worker of a server has started this process, and nobody replaces it",
    "granian": "granian would end all its workers if one ended",
    "gunicorn": "SIGTERM is handled by the program here, and not by gunicorn",
    "gunicorn-kind": "this is gunicorn's master, or a worker of a kind that is not"
    " known here",
    "hypercorn": "no worker of hypercorn's can be ended from inside without dropping"
    " requests; its max_requests replaces workers",
    "init": "this is process 1, which nobody replaces",
    "queue": "each worker has a queue of connections of its own, which ends with it,"
    " unless net.ipv4.tcp_migrate_req is 1",
    "uvicorn": "uvicorn replaces no worker that ends, with --reload or before 0.30",
    "uwsgi": "uWSGI replaces only workers, and only with a master",
    "waitress": "waitress has a single process, which nobody replaces",
}

#: A worker that has grown by less than this share of what it uses gives nothing back.
GROWN_RATIO: Final = 0.1
#: One that has grown by this share of what it uses need not have lived long.
MOSTLY_GROWN_RATIO: Final = 0.5
#: So long the siblings that use more have to go first; one may be stopped, or stuck.
OTHERS_FIRST_SECONDS: Final = 20.0
#: Between two recyclings, so that a new worker is there before the next one goes.
#: One that replaces all workers takes longer to show.
REST_SECONDS: Final = 5.0
REST_AFTER_ALL_SECONDS: Final = 60.0
_HOUR_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Worker:
    """This process as a worker of a server that replaces it; a row of ``SERVERS``.

    ``master_started`` is in the kernel's ticks: with the number it tells one master
    from another.
    """

    server: str
    master_pid: int
    master_started: int


class Situation(NamedTuple):
    """What a recycling depends on; ``None`` is not known.

    ``held_seconds`` is how long the level of pressure has lasted, ``grown_bytes`` what
    this worker has grown by since it was smallest, at ``least_bytes``. The limit is the
    one that is near, and the headroom that under the system's limits.
    """

    held_seconds: float
    age_seconds: float
    own_bytes: int | None
    sibling_bytes: tuple[int, ...]
    least_bytes: int | None
    grown_bytes: int | None
    limit_bytes: int | None
    headroom_bytes: int | None


class Legacy(NamedTuple):
    """What a worker that is replaced knows, and the next one would have to learn.

    ``surge_bytes`` is what was needed for moments, ``floor_bytes`` the least that was
    used; ``at_seconds`` is when that was known. ``step`` is by how much memory rose and
    stayed, more than once.
    """

    surge_bytes: float = 0.0
    floor_bytes: float | None = None
    at_seconds: float | None = None
    step: Step | None = None


NOTHING_LEFT: Final = Legacy()


class Objection(NamedTuple):
    """Why this worker is not recycled now. ``kind`` tells one reason from another."""

    kind: str
    reason: str


def object_to(server: Server, policy: Policy, now: Situation) -> Objection | None:
    """Return what speaks against recycling this worker. Cost: some µs."""
    if now.age_seconds < policy.least_life_seconds and not _is_mostly_growth(now):
        least = format_seconds(policy.least_life_seconds)
        age = format_seconds(now.age_seconds)
        return Objection("young", f"it is {age} old, and lives for {least} at least")
    if now.own_bytes is None:
        return Objection("unknown", "how much memory it uses cannot be read")
    return _not_this_one(now, now.own_bytes) or _no_room(server, now)


def _is_mostly_growth(now: Situation) -> bool:
    """Return whether a new worker would be much smaller: no loop can come of that."""
    if now.own_bytes is None or now.grown_bytes is None:
        return False
    return now.grown_bytes >= MOSTLY_GROWN_RATIO * now.own_bytes


def _not_this_one(now: Situation, own_bytes: int) -> Objection | None:
    own = format_bytes(own_bytes)
    if now.grown_bytes is not None and now.grown_bytes < GROWN_RATIO * own_bytes:
        grown = format_bytes(now.grown_bytes)
        return Objection(
            "other", f"not this worker: it has grown by {grown}, and uses {own}"
        )
    all_bytes = (own_bytes, *now.sibling_bytes)
    fair_bytes = sum(all_bytes) / len(all_bytes)
    if now.limit_bytes is not None:  # it may be a limit on this worker alone
        fair_bytes = min(fair_bytes, now.limit_bytes / 2)
    if own_bytes < fair_bytes and now.held_seconds < OTHERS_FIRST_SECONDS:
        fair = format_bytes(fair_bytes)
        return Objection(
            "other", f"not this worker: it uses {own}, its share is {fair}"
        )
    return None


def _no_room(server: Server, now: Situation) -> Objection | None:
    if not server.starts_first:
        return None
    needed, left = now.least_bytes, now.headroom_bytes
    if needed is not None and left is not None and left >= needed:
        return None
    return Objection(
        "headroom",
        f"{server.name} starts the new worker first, and there may be no memory for it:"
        f" it needs about {format_bytes(needed)}, and {format_bytes(left)} is left",
    )


def object_to_rate(
    server: Server, policy: Policy, ages_seconds: tuple[float, ...]
) -> Objection | None:
    """Return what speaks against it after the siblings' recyclings, so long ago."""
    lately = [age for age in ages_seconds if age < _HOUR_SECONDS]
    if len(lately) >= policy.recycles_per_hour:
        times = policy.recycles_per_hour
        return Objection("rate", f"there were {times} within an hour already")
    goes_all = server.way == "reload all"
    rest_seconds = REST_AFTER_ALL_SECONDS if goes_all else REST_SECONDS
    if lately and min(lately) < rest_seconds:
        return Objection("soon", "another one has just been replaced")
    return None
