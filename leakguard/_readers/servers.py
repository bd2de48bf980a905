"""Which server this process is a worker of, and how its siblings compare.

Rules of this file: nothing is imported, and nothing is guessed: a server is known by
its own objects, found in ``sys.modules``, and by its master being this process's
parent. What cannot be told is a reason, and then nobody is asked for anything.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from leakguard._core.records import Unknown
from leakguard._core.recycling import NEVER, Worker
from leakguard._readers.ledger import read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Fields of ``/proc/<pid>/stat`` behind the name (proc(5), the 3rd, 4th and 22nd).
_STATE, _PARENT, _STARTED = 0, 1, 19
#: Stopped, traced, dead: these neither grow nor make room.
_OUT_OF_PLAY: Final = frozenset("TtZXx")
_PRIVATE: Final = ("Private_Clean:", "Private_Dirty:", "Private_Hugetlb:")
_KIB = 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
#: What click, granian's command line, takes for true.
_TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})


class Here(NamedTuple):
    """What is asked about this process; tests hand in another one."""

    pid: int
    parent_pid: int
    modules: Mapping[str, Any]
    environ: Mapping[str, str]
    handler: Callable[[int], object]
    root: str = "/"


def here() -> Here:
    """Return this process."""
    modules, environ = sys.modules, os.environ
    return Here(os.getpid(), os.getppid(), modules, environ, signal.getsignal)


def read_worker(at: Here) -> Worker | Unknown:
    """Return whose worker this process is, or why nobody can be asked to replace it.

    Never raises. Cost: about 0.1 ms.
    """
    started = started_ticks(at.parent_pid, at.root)
    if at.pid == 1:
        return Unknown(NEVER["init"])
    if started is None:
        return Unknown("unsupported: the parent of this process cannot be looked at")
    for look in (_in_uwsgi, _in_celery, _in_gunicorn, _in_child):
        try:
            found = look(at)
        except Exception as error:  # noqa: BLE001 - a server unlike those that are known
            return Unknown(f"its server cannot be told ({type(error).__name__})")
        if isinstance(found, Unknown):
            return found
        if found is not None:
            return Worker(found, at.parent_pid, started)
    return Unknown(NEVER["waitress" if "waitress.server" in at.modules else "alone"])


def uvicorn_server(at: Here) -> Any:  # noqa: ANN401 - uvicorn's types are not ours
    """Return the ``uvicorn.Server`` that runs in this worker, or ``None``."""
    kind = _class(at, "uvicorn.server", "Server")
    of_gunicorn = _owner(at.handler(signal.SIGTERM), kind)
    if of_gunicorn is not None:
        return of_gunicorn
    process = at.modules["multiprocessing.process"].current_process()
    return process._kwargs["target"].__self__.server  # noqa: SLF001 - the only way


def is_caught(number: int, pid: int, root: str = "/") -> bool:
    """Return whether a process is known to handle a signal.

    Otherwise the signal would kill it, or, as process 1, not reach it.
    """
    for line in (read_text(root, f"proc/{pid}/status") or "").splitlines():
        name, _, mask = line.partition(":")
        if name == "SigCgt":
            return bool(int(mask, 16) >> (number - 1) & 1)
    return False


def started_ticks(pid: int, root: str = "/") -> int | None:
    """Return when a process started, in ticks since the machine did."""
    fields = _stat(pid, root)
    return int(fields[_STARTED]) if fields is not None else None


def read_family(at: Here) -> tuple[int | None, tuple[int, ...]]:
    """Return what this process alone uses, and each of its living siblings.

    Private memory where that can be read of all, else resident memory. Cost: 30 µs for
    each process of the machine, and some ms for each sibling.
    """
    siblings = _siblings(at)
    for measure in (_private_bytes, _resident_bytes):
        own = measure(at.pid, at.root)
        others = [measure(pid, at.root) for pid in siblings]
        known = tuple(size for size in others if size is not None)
        if own is not None and len(known) == len(others):
            return own, known
    return own, known


def _in_uwsgi(at: Here) -> str | Unknown | None:
    uwsgi = at.modules.get("uwsgi")
    if uwsgi is None:
        return None
    is_worker = uwsgi.masterpid() == at.parent_pid and uwsgi.worker_id() > 0
    if is_worker and is_caught(signal.SIGHUP, at.pid, at.root):
        return "uwsgi"
    return Unknown(NEVER["uwsgi"])


def _in_celery(at: Here) -> str | Unknown | None:
    """Tell a process of the prefork pool, which is billiard's."""
    billiard = at.modules.get("billiard.process")
    process: Any = billiard.current_process() if billiard is not None else None
    target: Any = getattr(process, "_target", None)
    is_one = isinstance(target, _class(at, "billiard.pool", "Worker"))
    if not is_one:
        return None
    if process._parent_pid != at.parent_pid:  # noqa: SLF001 - the only way
        return Unknown(NEVER["forked"])
    return "celery" if target.max_memory_per_child else Unknown(NEVER["celery"])


def _in_gunicorn(at: Here) -> str | Unknown | None:
    """Tell a worker of gunicorn's by whose method handles its signals."""
    kind = _class(at, "gunicorn.workers.base", "Worker")
    handlers = (at.handler(number) for number in (signal.SIGUSR1, signal.SIGQUIT))
    worker = next((one for h in handlers if (one := _owner(h, kind))), None)
    if worker is None:
        of_gunicorn = "gunicorn.arbiter" in at.modules
        return Unknown(NEVER["gunicorn-kind"]) if of_gunicorn else None
    if (worker.pid, worker.ppid) != (at.pid, at.parent_pid):
        return Unknown(NEVER["forked"])
    if worker.cfg.reuse_port and not _queue_moves(at):
        return Unknown(NEVER["queue"])
    stop = at.handler(signal.SIGTERM)
    if _owner(stop, kind) is not None:
        return "gunicorn"
    of_uvicorn = _owner(stop, _class(at, "uvicorn.server", "Server"))
    return "gunicorn-uvicorn" if of_uvicorn is not None else Unknown(NEVER["gunicorn"])


def _in_child(at: Here) -> str | Unknown | None:
    """Tell what a server has started by ``multiprocessing``, by what it runs."""
    children = at.modules.get("multiprocessing.process")
    parent = children.parent_process() if children is not None else None
    if children is None or parent is None:
        return None
    process = children.current_process()
    runs = getattr(process, "_target", None)
    server = str(getattr(runs, "__module__", None)).partition(".")[0]
    look = _CHILDREN.get(server)
    if look is None:
        return None
    if parent.pid != at.parent_pid:
        return Unknown(NEVER["forked"])
    return look(at, process)


def _of_uvicorn(at: Here, process: Any) -> str | Unknown:  # noqa: ANN401
    """Tell the supervisor that replaces workers from the reloader, which does not."""
    runs = process._kwargs.get("target")  # noqa: SLF001 - the only way
    kind = _class(at, "uvicorn.supervisors.multiprocess", "Process")
    return "uvicorn" if _owner(runs, kind) is not None else Unknown(NEVER["uvicorn"])


def _of_granian(at: Here, _process: object) -> str | Unknown:
    words = (read_text(at.root, f"proc/{at.parent_pid}/cmdline") or "").split("\0")
    option = "respawn-failed-workers"
    wanted = at.environ.get("GRANIAN_RESPAWN_FAILED_WORKERS", "").lower() in _TRUE
    respawns = f"--{option}" in words or (wanted and f"--no-{option}" not in words)
    if respawns and is_caught(signal.SIGTERM, at.pid, at.root):
        return "granian-respawn"
    if is_caught(signal.SIGHUP, at.parent_pid, at.root):
        return "granian"
    return Unknown(NEVER["granian"])


def _of_hypercorn(_at: Here, _process: object) -> Unknown:
    return Unknown(NEVER["hypercorn"])


_CHILDREN: Final[Mapping[str, Callable[[Here, Any], str | Unknown]]] = {
    "granian": _of_granian,
    "hypercorn": _of_hypercorn,
    "uvicorn": _of_uvicorn,
}


def _queue_moves(at: Here) -> bool:
    """Return whether the kernel moves waiting connections to a socket that stays."""
    text = read_text(at.root, "proc/sys/net/ipv4/tcp_migrate_req")
    return (text or "").strip() == "1"


def _siblings(at: Here) -> list[int]:
    try:
        names = os.listdir(os.path.join(at.root, "proc"))
    except OSError:
        return []
    found = []
    for pid in sorted(map(int, filter(str.isdecimal, names))):
        fields = _stat(pid, at.root)
        is_one = fields is not None and int(fields[_PARENT]) == at.parent_pid
        if is_one and pid != at.pid and fields and fields[_STATE] not in _OUT_OF_PLAY:
            found.append(pid)
    return found


def _private_bytes(pid: int, root: str) -> int | None:
    text = read_text(root, f"proc/{pid}/smaps_rollup")
    if not text:
        return None
    rows = map(str.split, text.splitlines())
    return sum(int(row[1]) * _KIB for row in rows if row[0] in _PRIVATE)


def _resident_bytes(pid: int, root: str) -> int | None:
    fields = (read_text(root, f"proc/{pid}/statm") or "").split()
    return int(fields[1]) * _PAGE_BYTES if len(fields) > 1 else None


def _stat(pid: int, root: str) -> list[str] | None:
    text = read_text(root, f"proc/{pid}/stat") or ""
    fields = text.rpartition(")")[2].split()  # the name may hold anything
    return fields if len(fields) > _STARTED else None


def _class(at: Here, module: str, name: str) -> type:
    """Return a class of a module if that is loaded, else one without instances."""
    found = getattr(at.modules.get(module), name, None)
    return found if isinstance(found, type) else _Nothing


class _Nothing:
    """No object is of this class."""


def _owner(method: object, kind: type) -> Any:  # noqa: ANN401 - an object of a server
    """Return whose method it is, if that is of this kind."""
    owner = getattr(method, "__self__", None)
    return owner if isinstance(owner, kind) else None
