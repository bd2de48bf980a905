"""Files, sockets, threads and executors of the standard library."""

from __future__ import annotations

from typing import Any

from leakguard._core.resources import Kind
from leakguard._instruments.targets import Resource, Target, makes, releases, returns


def _is_open_file(file: Any, _key: object) -> bool:
    return not file.closed


def _is_unfinished(thread: Any, _key: object) -> bool:
    """Return whether a thread has not ended, and is not a pool's, nor a stranger's."""
    target = getattr(thread, "_target", None)
    if getattr(target, "__module__", None) in _POOLS or _is_stranger(thread):
        return False
    return thread.is_alive() or not thread._started.is_set()  # noqa: SLF001


def _is_stranger(thread: object) -> bool:
    return type(thread).__name__ == "_DummyThread"


_POOLS = ("concurrent.futures.thread", "concurrent.futures.process")
FILE = Resource(
    Kind(
        "files",
        "unclosed-connection",
        "Close each file where it is opened, by `with`.",
        "with open(path) as file: ...",
        collected="released",  # closed or not, nobody can tell by then
    ),
    _is_open_file,
)
SOCKET = Resource(
    Kind(
        "sockets",
        "unclosed-connection",
        "Close each socket where it is opened, by `with` or in a finally block.",
        "with socket.create_connection(address) as connection: ...",
    )
)
THREAD = Resource(
    Kind(
        "threads",
        "thread",
        "End each thread: by an Event that it looks at, and join(). Or use one "
        "ThreadPoolExecutor for all.",
        collected="released",
    ),
    _is_unfinished,
)
EXECUTOR = Resource(
    Kind(
        "executors",
        "thread",
        "Keep one executor for the process, or shut each one down: its threads wait "
        "for work.",
        "with ThreadPoolExecutor() as pool: ...",
    )
)

FILES = (
    Target("builtins", "open", returns, FILE),
    Target("io", "open", returns, FILE),
)
SOCKETS = (
    Target("socket", "socket.__init__", makes, SOCKET),
    Target("socket", "socket.close", releases, SOCKET),
    Target("socket", "socket.detach", releases, SOCKET),
)
THREADS = (Target("threading", "Thread.__init__", makes, THREAD),)
EXECUTORS = (
    Target(_POOLS[0], "ThreadPoolExecutor.__init__", makes, EXECUTOR),
    Target(_POOLS[0], "ThreadPoolExecutor.shutdown", releases, EXECUTOR),
    Target(_POOLS[1], "ProcessPoolExecutor.__init__", makes, EXECUTOR),
    Target(_POOLS[1], "ProcessPoolExecutor.shutdown", releases, EXECUTOR),
)
