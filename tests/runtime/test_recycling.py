"""How a server is asked to replace a worker: once, in turn, and in its own way."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from leakguard._core.policy import Action, Policy
from leakguard._core.pressure import Pressure
from leakguard._core.records import Unknown
from leakguard._core.recycling import NOTHING_LEFT, Legacy, Worker
from leakguard._core.samples import Limit, Reading, Sample
from leakguard._core.surge import Step
from leakguard._readers.servers import Here, here, started_ticks
from leakguard._runtime import recycling, siblings
from leakguard._runtime.recycling import LINGER_SECONDS, WAYS, Recycler
from leakguard._runtime.watcher import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from leakguard._core.recycling import Way

MIB = 1 << 20
LIMIT = Limit(1000 * MIB, "cgroup2 /app memory.max")
ACTION = Action("recycle", "critical", 5.0, "memory is at 97 % of its limit")
ASKED = "this worker asks gunicorn to be replaced: memory is at 97 % of its limit"
NOT = "this process is not replaced: "
SOURCE = str(Path(__file__).parents[2])


def seen(rss_bytes: int | None) -> State:
    pressure = Pressure(0.97, 970 * MIB, LIMIT.limit_bytes, LIMIT.source)
    return State(Reading(LIMIT), pressure, Sample(1.0, rss_bytes=rss_bytes))


class World:
    """Workers of one master, who ask nobody really."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.directory = directory
        self.worker: Worker | Unknown = Worker("gunicorn", 30, 777)
        self.asked: list[Way] = []
        self.ways: dict[Way, Any] = dict.fromkeys(WAYS, self.ask)
        monkeypatch.setattr(recycling, "read_worker", lambda _at: self.worker)
        family = (200 * MIB, (50 * MIB,))
        monkeypatch.setattr(recycling, "read_family", lambda _at: family)

    def ask(self, _at: Here, worker: Worker) -> None:
        self.asked.append(recycling.SERVERS[worker.server].way)

    def sibling(self, policy: Policy | None = None, *places: object) -> Recycler:
        """Return a worker's recycler; the worker is old enough and has grown."""
        made = Recycler(
            policy or Policy(),
            ways=self.ways,
            directories=[str(place) for place in places or [self.directory]],
            clock=lambda: self.now,
        )
        made.ticked(seen(50 * MIB))
        self.now += 60.0
        return made

    def consider(self, worker: Recycler, action: Action = ACTION) -> str | None:
        worker.consider(action, seen(200 * MIB))
        return worker.account.reason


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    return [record.getMessage() for record in caplog.records]


def end(worker: Recycler) -> None:
    """Let go of the lock, as the kernel does when a process ends."""
    worker.reset()


def test_a_worker_asks_once_in_its_life(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    worker = world.sibling()
    assert not worker.is_asked
    for _ in range(5):
        world.consider(worker)
    assert worker.is_asked
    assert world.asked == ["terminate"]
    assert worker.account == (1, "memory is at 97 % of its limit, 200 MiB of it here")
    assert told(caplog) == [f"{ASKED}, 200 MiB of it here"]
    end(worker)


def test_why_not_is_told_once_for_each_reason(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    worker = world.sibling()
    worker.reset()
    worker.ticked(seen(120 * MIB))
    world.now += 30.0
    for _ in range(5):
        world.consider(worker)
        world.now += 1.0
    world.worker = Unknown("no server")
    assert [world.consider(worker) for _ in range(3)] == ["no server"] * 3
    assert told(caplog) == [
        f"{NOT}it is 30 s old, and lives for 1 min at least",
        f"{NOT}no server",
    ]
    assert worker.account == (0, "no server")
    assert world.asked == []


def test_while_the_reliefs_have_their_chance_nothing_is_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    worker = world.sibling()
    at_once = Action("recycle", "critical", 2.9, ACTION.reason)
    assert world.consider(worker, at_once) is None
    assert (world.asked, told(caplog)) == ([], [])
    world.consider(worker, Action("recycle", "critical", 3.0, ACTION.reason))
    assert worker.is_asked
    end(worker)


def test_one_sibling_at_a_time(world: World) -> None:
    one, other = world.sibling(), world.sibling()
    world.consider(one)
    world.now += 1_000.0
    assert world.consider(other) == "another one is just being replaced"
    end(one)
    world.consider(other)
    assert len(world.asked) == 2
    end(other)


def test_the_next_one_waits_for_the_new_one(world: World) -> None:
    one, other = world.sibling(), world.sibling()
    world.consider(one)
    end(one)
    world.now += 4.9
    assert world.consider(other) is None  # soon
    world.now += 0.2
    world.consider(other)
    assert other.is_asked
    end(other)


def test_all_siblings_share_one_rate(world: World) -> None:
    policy = Policy(recycles_per_hour=3, least_life_seconds=0.0)
    for _ in range(3):
        worker = world.sibling(policy)
        world.consider(worker)
        end(worker)
    last = world.sibling(policy)
    assert world.consider(last) == "there were 3 within an hour already"
    world.now += 3_600.0
    world.consider(last)
    assert last.is_asked
    end(last)


def test_workers_of_another_master_do_not_count(world: World) -> None:
    one, other = world.sibling(), world.sibling()
    world.consider(one)
    world.worker = Worker("gunicorn", 30, 778)
    world.consider(other)
    assert len(world.asked) == 2
    end(one)
    end(other)


def test_what_is_in_the_file_is_bounded_and_need_not_make_sense(world: World) -> None:
    policy = Policy(recycles_per_hour=2, least_life_seconds=0.0)
    for _ in range(5):
        worker = world.sibling(policy)
        world.now += 3_600.0
        world.consider(worker)
        end(worker)
    (file,) = world.directory.glob("leakguard-*/recycling-30-777")
    *times, surge = file.read_text("ascii").split()
    assert (len(times), surge) == (2, "surge=0")
    file.write_bytes(b"\0\xff one 1e999 nan -5 surge=x surge= =5 " + bytes(100_000))
    assert last_surge(world) == 0.0
    world.consider(last := world.sibling(policy))
    assert last.is_asked
    end(last)


def last_surge(world: World) -> float:
    return world.sibling().inherited().surge_bytes


def test_the_next_worker_knows_what_the_last_one_needed_for_moments(
    world: World,
) -> None:
    assert world.sibling().inherited() == NOTHING_LEFT
    assert list(world.directory.iterdir()) == []  # who only looks makes nothing
    worker = world.sibling()
    left = Legacy(24 * MIB, 90 * MIB, step=Step(1_000.0, 0, 12 * MIB))
    worker.consider(ACTION, seen(200 * MIB), left)
    went_at = world.now
    assert world.sibling().inherited() == left._replace(at_seconds=went_at)
    end(worker)
    assert last_surge(world) == 24 * MIB


def test_who_has_no_siblings_inherits_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = world.directory / "missing"
    assert world.sibling(None, missing).inherited() == NOTHING_LEFT
    world.worker = Unknown("no server")
    assert world.sibling().inherited() == NOTHING_LEFT
    monkeypatch.setattr(recycling, "read_worker", lambda _at: 1 / 0)
    assert world.sibling().inherited() == NOTHING_LEFT


def test_the_lock_is_this_users_alone(world: World) -> None:
    worker = world.sibling()
    world.consider(worker)
    (directory,) = world.directory.iterdir()
    assert directory.name == f"leakguard-{os.geteuid()}"
    assert directory.stat().st_mode & 0o777 == 0o700
    (file,) = directory.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    end(worker)


def planted_link(directory: Path) -> None:
    (directory / "elsewhere").mkdir()
    (directory / f"leakguard-{os.geteuid()}").symlink_to(directory / "elsewhere")


def open_to_all(directory: Path) -> None:
    (directory / f"leakguard-{os.geteuid()}").mkdir(0o755)


def linked_file(directory: Path) -> None:
    ours = directory / f"leakguard-{os.geteuid()}"
    ours.mkdir(0o700)
    (directory / "victim").write_text("keep me")
    (ours / "recycling-30-777").symlink_to(directory / "victim")


@pytest.mark.parametrize("plant", [planted_link, open_to_all, linked_file])
def test_what_others_have_planted_is_not_followed(
    world: World, plant: Callable[[Path], None]
) -> None:
    plant(world.directory)
    before = sorted(world.directory.rglob("*"))
    reason = world.consider(world.sibling())
    assert reason is not None
    assert reason.startswith("it can share no lock with the others")
    assert world.asked == []
    assert sorted(world.directory.rglob("*")) == before
    for victim in world.directory.glob("victim"):
        assert victim.read_text() == "keep me"


def test_the_first_directory_that_will_do(world: World) -> None:
    missing = world.directory / "missing"
    one, other = (world.sibling(None, missing, world.directory) for _ in range(2))
    world.consider(one)
    assert one.is_asked
    world.consider(other)
    assert not other.is_asked
    end(one)
    reason = world.consider(world.sibling(None, missing))
    assert reason == (
        f"it can share no lock with the others ({missing}: No such file or directory)"
    )


def test_where_siblings_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    monkeypatch.setenv("TMPDIR", "")
    assert siblings.shared_directories() == ["/run/user/7", "/tmp", "/dev/shm"]


def test_asking_that_fails_frees_the_lock_and_is_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_at: Here, _worker: Worker) -> None:
        raise ProcessLookupError

    ask, world.ways["terminate"] = world.ways["terminate"], fail
    worker = world.sibling()
    assert world.consider(worker) == "asking failed: ProcessLookupError"
    assert len(told(caplog)) == 1
    assert not worker.is_asked
    world.ways["terminate"] = ask
    world.now += 10.0
    world.consider(worker)
    assert worker.is_asked
    end(worker)


def test_the_situation_is_that_of_the_worker(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    worker = world.sibling()
    worker.ticked(seen(None))
    worker.ticked(seen(190 * MIB))
    worker.consider(ACTION, seen(69 * MIB))
    assert told(caplog) == [
        f"{NOT}not this worker: it has grown by 19 MiB, and uses 200 MiB"
    ]
    worker.consider(ACTION, seen(70 * MIB))
    assert worker.is_asked
    end(worker)


@pytest.mark.parametrize(
    ("reading", "left"),
    [
        (Reading(LIMIT, unreclaimable_bytes=900 * MIB), "100 MiB is left"),
        (Reading(LIMIT, unreclaimable_bytes=1100 * MIB), "0 B is left"),
        (Reading(Unknown("no limit"), unreclaimable_bytes=1), "unknown is left"),
    ],
)
def test_headroom_is_that_under_the_systems_limits(
    world: World, reading: Reading, left: str
) -> None:
    world.worker = Worker("granian", 30, 777)
    worker = world.sibling()
    worker.ticked(seen(120 * MIB))
    worker._least_bytes = 120 * MIB
    worker.consider(ACTION, seen(200 * MIB)._replace(reading=reading))
    reason = worker.account.reason
    assert reason is not None
    assert reason.endswith(f"it needs about 120 MiB, and {left}")


def test_a_forked_child_begins_anew_and_leaves_the_lock_to_its_parent(
    world: World,
) -> None:
    worker = world.sibling()
    world.consider(worker)
    child = os.fork()
    if child == 0:  # pragma: no cover - the child is not measured
        worker.reset()
        fresh = (worker.is_asked, worker.account) == (False, (0, None))
        os._exit(0 if fresh else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert worker.is_asked
    assert world.consider(world.sibling()) == "another one is just being replaced"
    end(worker)


def test_a_worker_that_is_killed_frees_the_lock(world: World) -> None:
    program = (
        f"import sys, time; sys.path.insert(0, {SOURCE!r})\n"
        "from leakguard._core.recycling import Worker\n"
        "from leakguard._runtime.siblings import take_turn\n"
        f"turn = take_turn(Worker('gunicorn', 30, 777), [{str(world.directory)!r}])\n"
        "print(turn, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip().isdigit()
        worker = world.sibling()
        assert world.consider(worker) == "another one is just being replaced"
        other.kill()
        other.wait()
    world.consider(worker)
    assert worker.is_asked
    end(worker)


# The ways


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


MASTER = Worker("granian", os.getppid(), started_ticks(os.getppid()) or 0)


@pytest.mark.parametrize(
    ("way", "sent"),
    [
        ("terminate", (os.getpid(), signal.SIGTERM)),
        ("reload", (os.getpid(), signal.SIGHUP)),
        ("reload all", (os.getppid(), signal.SIGHUP)),
    ],
)
def test_a_signal(
    killed: list[tuple[int, int]], way: Way, sent: tuple[int, int]
) -> None:
    WAYS[way](here(), MASTER)
    assert killed == [sent]


@pytest.mark.parametrize(
    "gone",
    [Worker("granian", 99_999_999, 5), Worker("granian", os.getppid(), 5)],
)
def test_no_signal_to_whoever_has_the_number_of_a_master_that_is_gone(
    killed: list[tuple[int, int]], gone: Worker
) -> None:
    with pytest.raises(ProcessLookupError):
        WAYS["reload all"](here(), gone)
    assert killed == []


class Listener:
    """As uvloop's, which has no reader in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.get_loop, self.closed = (lambda: loop), 0
        self.sockets = [SimpleNamespace(fileno=lambda: 99_999)]

    def close(self) -> None:
        self.closed += 1


class UvicornServer:
    def __init__(self, *servers: object) -> None:
        self.servers: Any = servers
        self.signals: list[int] = []

    def handle_exit(self, number: int, _frame: object) -> None:
        self.signals.append(number)


def running(server: UvicornServer) -> Here:
    modules: Any = {"uvicorn.server": SimpleNamespace(Server=UvicornServer)}
    return here()._replace(modules=modules, handler=lambda _number: server.handle_exit)


def test_uvicorn_stops_to_accept_before_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recycling, "LINGER_SECONDS", 0.01)
    loop = asyncio.new_event_loop()
    server = UvicornServer(Listener(loop), Listener(loop))
    WAYS["leave"](running(server), MASTER)
    assert server.servers[0].closed == 0  # the loop does it, not this thread
    loop.run_until_complete(asyncio.sleep(0))
    assert [one.closed for one in server.servers] == [1, 1]
    assert server.signals == []
    loop.run_until_complete(asyncio.sleep(0.05))
    assert server.signals == [signal.SIGTERM]
    loop.close()


def test_what_asyncio_accepts_at_this_very_moment_is_answered() -> None:
    async def serve() -> bytes:
        loop = asyncio.get_running_loop()

        async def answer(_: object, writer: asyncio.StreamWriter) -> None:
            writer.write(b"here")
            writer.close()

        listener = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = listener.sockets[0].getsockname()
        with socket.create_connection(address) as client:
            client.settimeout(0)
            # It is accepted between the two, and its task comes after both.
            leave = partial(recycling._close, UvicornServer(listener), loop)
            loop.call_soon(loop.call_soon, leave)
            found = await asyncio.wait_for(loop.sock_recv(client, 9), 5)
        assert not loop.remove_reader(listener.sockets[0].fileno())
        listener.close()
        return found

    assert asyncio.run(serve()) == b"here"


def test_uvicorn_whose_loop_is_closed_is_on_its_way_already() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError):
        WAYS["leave"](running(UvicornServer(Listener(loop))), MASTER)
    assert LINGER_SECONDS >= 0.5


def test_celerys_pool_finds_that_it_is_too_much() -> None:
    pool = SimpleNamespace(mem_rss=lambda: 5)
    at = here()._replace(modules={"billiard.pool": pool})
    WAYS["after task"](at, MASTER)
    assert pool.mem_rss() > 1 << 60
