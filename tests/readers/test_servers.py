"""Which server runs a process, told from its own objects; fakes stand in for them."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from leakguard._core.records import Unknown
from leakguard._core.recycling import NEVER, Worker
from leakguard._readers.servers import (
    Here,
    here,
    is_caught,
    read_family,
    read_worker,
    started_ticks,
    uvicorn_server,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PID, MASTER, STARTED, KIB = 40, 30, 777, 1024
TERM, HUP = 1 << signal.SIGTERM - 1, 1 << signal.SIGHUP - 1
GRANIAN_OPTION = "--respawn-failed-workers"


class Machine:
    """A tree of /proc, and what this process would be asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: dict[str, Any] = {}
        self.environ: dict[str, str] = {}
        self.handlers: dict[int, object] = {}
        self.process(MASTER, parent=1, caught=HUP)
        self.process(PID, caught=TERM)

    def write(self, path: str, text: str) -> None:
        file = self.root / "proc" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")

    def process(
        self, pid: int, *, parent: int = MASTER, caught: int = 0, state: str = "S"
    ) -> None:
        middle = " ".join(["0"] * 17)
        stat = f"{pid} (py) thon) {state} {parent} {middle} {STARTED} 0 0\n"
        self.write(f"{pid}/stat", stat)
        self.write(f"{pid}/status", f"Name:\tpython\nSigCgt:\t{caught:016x}\n")

    def memory(self, pid: int, resident_kib: int, private_kib: int | None) -> None:
        pages = resident_kib * KIB // os.sysconf("SC_PAGE_SIZE")
        self.write(f"{pid}/statm", f"9999 {pages} 1 1 0 1 0\n")
        if private_kib is not None:
            rows = (
                f"Rss: 1 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: {private_kib - 4} kB"
            )
            self.write(f"{pid}/smaps_rollup", f"55-7f ---p 0 0 0 [rollup]\n{rows}\n")

    def here(self, pid: int = PID, parent: int = MASTER) -> Here:
        root = str(self.root)
        ask = self.handlers.get
        return Here(pid, parent, self.modules, self.environ, ask, root)

    def found(self) -> str:
        """Return the row of the table, or why there is none."""
        worker = read_worker(self.here())
        if isinstance(worker, Unknown):
            return worker.reason
        assert worker == Worker(worker.server, MASTER, STARTED)
        return worker.server


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# gunicorn


class GunicornWorker:
    def __init__(self, pid: int = PID, parent: int = MASTER) -> None:
        self.pid, self.ppid = pid, parent
        self.cfg = SimpleNamespace(reuse_port=False)

    def handle_usr1(self) -> None: ...
    def handle_exit(self) -> None: ...


class UvicornServer:
    def handle_exit(self) -> None: ...


class MoreSpecific(GunicornWorker):
    """As the classes of workers are, those of the users among them."""


def gunicorn(machine: Machine, worker: GunicornWorker) -> None:
    base = SimpleNamespace(Worker=GunicornWorker)
    machine.modules |= {"gunicorn.workers.base": base, "gunicorn.arbiter": object()}
    machine.handlers[signal.SIGUSR1] = worker.handle_usr1
    machine.handlers[signal.SIGTERM] = worker.handle_exit


def test_a_worker_of_gunicorn(machine: Machine) -> None:
    gunicorn(machine, MoreSpecific())
    assert machine.found() == "gunicorn"


def test_a_signal_that_the_program_has_taken_does_not_hide_it(machine: Machine) -> None:
    worker = GunicornWorker()
    gunicorn(machine, worker)
    machine.handlers[signal.SIGUSR1] = signal.SIG_IGN
    assert machine.found() == NEVER["gunicorn-kind"]
    machine.handlers[signal.SIGQUIT] = worker.handle_exit
    assert machine.found() == "gunicorn"


def test_a_worker_of_gunicorn_that_runs_uvicorn(machine: Machine) -> None:
    gunicorn(machine, GunicornWorker())
    server = UvicornServer()
    machine.modules["uvicorn.server"] = SimpleNamespace(Server=UvicornServer)
    machine.handlers[signal.SIGTERM] = server.handle_exit
    assert machine.found() == "gunicorn-uvicorn"
    assert uvicorn_server(machine.here()) is server


@pytest.mark.parametrize("handler", [signal.SIG_DFL, None, lambda: None])
def test_gunicorn_whose_sigterm_is_the_programs(
    machine: Machine, handler: object
) -> None:
    gunicorn(machine, GunicornWorker())
    machine.handlers[signal.SIGTERM] = handler
    assert machine.found() == NEVER["gunicorn"]


@pytest.mark.parametrize(("pid", "parent"), [(PID - 1, MASTER), (PID, 1)])
def test_what_a_worker_of_gunicorn_has_forked(
    machine: Machine, pid: int, parent: int
) -> None:
    gunicorn(machine, GunicornWorker(pid, parent))
    assert machine.found() == NEVER["forked"]


@pytest.mark.parametrize(
    ("migrates", "found"),
    [("0\n", NEVER["queue"]), ("1\n", "gunicorn"), (None, NEVER["queue"])],
)
def test_gunicorn_where_each_worker_has_a_queue(
    machine: Machine, migrates: str | None, found: str
) -> None:
    worker = GunicornWorker()
    worker.cfg.reuse_port = True
    gunicorn(machine, worker)
    if migrates is not None:
        machine.write("sys/net/ipv4/tcp_migrate_req", migrates)
    assert machine.found() == found


# uvicorn, granian, hypercorn: children of multiprocessing


def child(machine: Machine, runs: Callable[..., object], **options: object) -> None:
    parent = SimpleNamespace(pid=MASTER)
    process = SimpleNamespace(_target=runs, _kwargs=options)
    machine.modules["multiprocessing.process"] = SimpleNamespace(
        parent_process=lambda: parent, current_process=lambda: process
    )


def of(module: str) -> Callable[[], None]:
    def runs() -> None: ...

    runs.__module__ = module
    return runs


class Supervised:
    """As ``uvicorn.supervisors.multiprocess.Process``."""

    def __init__(self) -> None:
        self.server = UvicornServer()

    def target(self) -> None: ...


def uvicorn(machine: Machine, target: object) -> None:
    machine.modules["uvicorn.supervisors.multiprocess"] = SimpleNamespace(
        Process=Supervised
    )
    child(machine, of("uvicorn._subprocess"), target=target)


def test_a_worker_of_uvicorn(machine: Machine) -> None:
    supervised = Supervised()
    uvicorn(machine, supervised.target)
    assert machine.found() == "uvicorn"
    assert uvicorn_server(machine.here()) is supervised.server


def test_uvicorns_reloader_replaces_nobody(machine: Machine) -> None:
    uvicorn(machine, UvicornServer().handle_exit)
    assert machine.found() == NEVER["uvicorn"]


def test_uvicorn_alone(machine: Machine) -> None:
    machine.modules["uvicorn.server"] = SimpleNamespace(Server=UvicornServer)
    machine.modules["multiprocessing.process"] = SimpleNamespace(
        parent_process=lambda: None, current_process=lambda: None
    )
    assert machine.found() == NEVER["alone"]


def test_what_a_worker_of_uvicorn_has_forked(machine: Machine) -> None:
    uvicorn(machine, Supervised().target)
    machine.process(PID + 1, parent=PID)
    machine.modules["uvicorn.server"] = SimpleNamespace(Server=UvicornServer)
    worker = read_worker(machine.here(PID + 1, PID))
    assert worker == Unknown(NEVER["forked"])


@pytest.mark.parametrize(
    ("words", "variable", "found"),
    [
        ("granian\0app:app\0", None, "granian"),
        (f"granian\0{GRANIAN_OPTION}\0app:app\0", None, "granian-respawn"),
        ("granian\0app:app\0", "true", "granian-respawn"),
        ("granian\0app:app\0", "0", "granian"),
        ("granian\0--no-respawn-failed-workers\0", "1", "granian"),
    ],
)
def test_a_worker_of_granian(
    machine: Machine, words: str, variable: str | None, found: str
) -> None:
    machine.write(f"{MASTER}/cmdline", words)
    if variable is not None:
        machine.environ["GRANIAN_RESPAWN_FAILED_WORKERS"] = variable
    child(machine, of("granian.server.mp"))
    assert machine.found() == found


def test_granian_is_sent_no_signal_that_would_kill(machine: Machine) -> None:
    machine.write(f"{MASTER}/cmdline", f"granian\0{GRANIAN_OPTION}\0")
    child(machine, of("granian.server.mp"))
    machine.process(PID, caught=HUP)
    assert machine.found() == "granian"
    machine.process(MASTER, parent=1, caught=TERM)
    assert machine.found() == NEVER["granian"]


def test_a_worker_of_hypercorn(machine: Machine) -> None:
    child(machine, of("hypercorn.asyncio.run"))
    assert machine.found() == NEVER["hypercorn"]


def test_a_child_of_the_programs_own(machine: Machine) -> None:
    child(machine, of("shop.jobs"))
    assert machine.found() == NEVER["alone"]


# Celery, uWSGI, and those alone


class PoolWorker:
    def __init__(self, limit: int | None) -> None:
        self.max_memory_per_child = limit


def celery(machine: Machine, limit: int | None, parent: int = MASTER) -> None:
    process = SimpleNamespace(_target=PoolWorker(limit), _parent_pid=parent)
    machine.modules |= {
        "billiard.process": SimpleNamespace(current_process=lambda: process),
        "billiard.pool": SimpleNamespace(Worker=PoolWorker),
    }


def test_a_process_of_celerys_pool(machine: Machine) -> None:
    celery(machine, 400_000)
    assert machine.found() == "celery"


def test_celery_without_the_setting_asks_nobody(machine: Machine) -> None:
    celery(machine, None)
    assert machine.found() == NEVER["celery"]


def test_what_a_process_of_celerys_pool_has_forked(machine: Machine) -> None:
    celery(machine, 400_000, parent=1)
    assert machine.found() == NEVER["forked"]


def test_celerys_main_process(machine: Machine) -> None:
    celery(machine, 400_000)
    main = SimpleNamespace(_parent_pid=None)
    machine.modules["billiard.process"].current_process = lambda: main
    assert machine.found() == NEVER["alone"]


@pytest.mark.parametrize(
    ("master", "worker", "caught", "found"),
    [
        (MASTER, 1, HUP, "uwsgi"),
        (0, 1, HUP, NEVER["uwsgi"]),
        (MASTER, 0, HUP, NEVER["uwsgi"]),  # a mule
        (MASTER, 1, TERM, NEVER["uwsgi"]),
    ],
)
def test_a_worker_of_uwsgi(
    machine: Machine, master: int, worker: int, caught: int, found: str
) -> None:
    machine.process(PID, caught=caught)
    machine.modules["uwsgi"] = SimpleNamespace(
        masterpid=lambda: master, worker_id=lambda: worker
    )
    assert machine.found() == found


def test_waitress(machine: Machine) -> None:
    machine.modules["waitress.server"] = object()
    assert machine.found() == NEVER["waitress"]


def test_a_plain_script(machine: Machine) -> None:
    assert machine.found() == NEVER["alone"]


def test_process_1(machine: Machine) -> None:
    assert read_worker(machine.here(1, 0)) == Unknown(NEVER["init"])


def test_without_proc_nothing_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    worker = read_worker(machine.here()._replace(root=str(tmp_path / "none")))
    assert isinstance(worker, Unknown)
    assert "unsupported" in worker.reason


def test_a_server_unlike_those_that_are_known(machine: Machine) -> None:
    machine.modules["uwsgi"] = SimpleNamespace()
    assert machine.found() == "its server cannot be told (AttributeError)"


def test_this_very_process_is_no_worker() -> None:
    assert isinstance(read_worker(here()), Unknown)
    assert started_ticks(os.getpid())


# signals and siblings


def test_whether_a_signal_is_caught(machine: Machine) -> None:
    root = str(machine.root)
    assert is_caught(signal.SIGTERM, PID, root)
    assert not is_caught(signal.SIGHUP, PID, root)
    assert not is_caught(signal.SIGTERM, 9999, root)
    machine.write(f"{PID}/status", "Name:\tpython\n")
    assert not is_caught(signal.SIGTERM, PID, root)


def test_whether_the_kernel_says_so_of_a_real_process() -> None:
    assert is_caught(signal.SIGINT, os.getpid())
    assert not is_caught(signal.SIGSTOP, os.getpid())


def test_a_family_is_weighed_by_what_is_its_own(machine: Machine) -> None:
    machine.memory(PID, 900, 500)
    for pid, state in ((41, "R"), (42, "S"), (43, "T"), (44, "Z")):
        machine.process(pid, state=state)
        machine.memory(pid, 800, 100 + pid)
    machine.process(45, parent=1)
    assert read_family(machine.here()) == (500 * KIB, (141 * KIB, 142 * KIB))


def test_else_by_what_is_resident(machine: Machine) -> None:
    machine.memory(PID, 900, 500)
    machine.process(41)
    machine.memory(41, 800, None)
    assert read_family(machine.here()) == (900 * KIB, (800 * KIB,))
    (machine.root / "proc/41/statm").unlink()
    assert read_family(machine.here()) == (900 * KIB, ())


def test_a_family_that_cannot_be_read(machine: Machine) -> None:
    nowhere = machine.here()._replace(root=str(machine.root / "none"))
    assert read_family(nowhere) == (None, ())


def test_the_family_of_this_very_process() -> None:
    own, _ = read_family(here())
    assert own is not None
    assert own > KIB * KIB
