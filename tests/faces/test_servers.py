"""Real servers replace a worker under load, and not one request is lost."""

from __future__ import annotations

import http.client
import importlib.util
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from leakguard._core.recycling import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0
FAST, SLOW, KEPT = 3, 2, 2
PAUSE_SECONDS = 0.005
OLD_ENOUGH_SECONDS = 0.7

pytestmark = pytest.mark.slow

GUNICORN = "gunicorn -w 2 -b 127.0.0.1:{port}"
GRANIAN = "granian --workers 2 --port {port} --no-access-log"
WSGI, ASGI = "tests.faces.served:over_wsgi", "tests.faces.served:over_asgi"
REPLACES = {
    "gunicorn-sync": f"{GUNICORN} {WSGI}",
    "gunicorn-gthread": f"{GUNICORN} -k gthread --threads 8 {WSGI}",
    "gunicorn-gevent": f"{GUNICORN} -k gevent {WSGI}",
    "gunicorn-uvicorn": f"{GUNICORN} -k uvicorn_worker.UvicornWorker {ASGI}",
    "uvicorn": f"uvicorn --workers 2 --port {{port}} {ASGI}",
    "granian": f"{GRANIAN} --respawn-interval 1 --interface asgi {ASGI}",
    "granian-respawn": f"{GRANIAN} --respawn-failed-workers --interface wsgi {WSGI}",
}
#: Closes, when it ends, what it has accepted and not read yet.
CLOSES_UNREAD = frozenset({"granian", "granian-respawn"})
REFUSES = {
    "hypercorn": (f"hypercorn -w 2 -b 127.0.0.1:{{port}} {ASGI}", NEVER["hypercorn"]),
    "waitress": (f"waitress --port {{port}} {WSGI}", NEVER["waitress"]),
    "uvicorn": (f"uvicorn --port {{port}} {ASGI}", NEVER["alone"]),
}


def until(is_so: Callable[[], object], what: str) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < end, f"in vain: {what}"
        time.sleep(0.02)


def environment(directory: Path) -> dict[str, str]:
    here = str(directory)
    named = {"SERVED": here, "XDG_RUNTIME_DIR": here, "PYTHONPATH": str(ROOT)}
    return {**os.environ, **named}


@contextmanager
def running(command: str, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server of this environment; it is gone afterwards, with its workers."""
    module, _, arguments = command.partition(" ")
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    words = [sys.executable, "-m", module, *arguments.split()]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            words,
            cwd=directory,
            env=environment(directory),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Client:
    """Connections to one server, as pools of clients have them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: Counter[bytes] = Counter()
        self.failures: dict[str, str] = {}
        self._numbers = count()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def get(self, path: str) -> bytes:
        """Ask by a connection of its own."""
        return self._ask(self._connect(), self._numbered(path), keep=False)

    def is_there(self) -> bool:
        try:
            return bool(self.get("/"))
        except OSError:
            return False

    @contextmanager
    def load(self) -> Iterator[None]:
        """Ask without end meanwhile: new connections, slow ones, and kept ones."""
        asks = [*[("/", False)] * FAST, *[("/slow", False)] * SLOW]
        for ask in [*asks, *[("/", True)] * KEPT]:
            self._threads.append(threading.Thread(target=self._repeat, args=ask))
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(PATIENCE_SECONDS)

    def _repeat(self, path: str, keep: bool) -> None:  # noqa: FBT001
        connection = self._connect()
        while not self._over.is_set():
            was_used = connection.sock is not None
            numbered = self._numbered(path)
            try:
                self.answers[self._ask(connection, numbered, keep=keep)] += 1
            except Exception as error:  # noqa: BLE001 - it is what is counted
                connection.close()
                # Who reuses a connection has to ask again (RFC 9112, 9.3.1).
                if not was_used or not isinstance(error, ConnectionError):
                    self.failures[numbered] = f"{keep=} {was_used=}: {error!r}"
            time.sleep(PAUSE_SECONDS)
        connection.close()

    def _numbered(self, path: str) -> str:
        return f"{path}?{next(self._numbers)}"

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def _ask(
        self, connection: http.client.HTTPConnection, path: str, *, keep: bool
    ) -> bytes:
        if (
            connection.sock is not None
            and select.select([connection.sock], [], [], 0)[0]
        ):
            connection.close()  # by the server, as one sees beforehand
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == http.HTTPStatus.OK, answer.status
        if not keep or answer.will_close:
            connection.close()
        return body


@pytest.fixture
def client() -> Client:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return Client(found.getsockname()[1])


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").split()[2] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("server", REPLACES)
def test_a_worker_that_has_grown_is_replaced_and_no_request_is_lost(
    server: str, client: Client, tmp_path: Path
) -> None:
    if server == "gunicorn-gevent":
        pytest.importorskip("gevent")
    if server == "gunicorn-uvicorn":
        pytest.importorskip("uvicorn_worker")
    command = REPLACES[server].format(port=client.port)
    with running(command, tmp_path) as process:
        until(client.is_there, "an answer")
        with client.load():
            time.sleep(OLD_ENOUGH_SECONDS)
            first = set(client.answers)
            grown = client.get("/grow")
            until(lambda: is_gone(int(grown)), "the end of the worker")
            until(lambda: set(client.answers) - first, "an answer of the new one")
        assert process.poll() is None
        assert client.get("/") != grown
    log = (tmp_path / "log").read_text("utf-8", "replace")
    seen = set((tmp_path / "seen").read_text("utf-8").split())
    assert not [one for one in client.failures if one.partition("?")[2] in seen], log
    assert len(client.failures) <= (server in CLOSES_UNREAD), (client.failures, log)
    assert log.count("asks") == 1, log
    assert min(client.answers.values()) > 0


@pytest.mark.parametrize("server", REFUSES)
def test_a_server_that_would_lose_requests_is_not_asked(
    server: str, client: Client, tmp_path: Path
) -> None:
    command, reason = REFUSES[server]
    with running(command.format(port=client.port), tmp_path) as process:
        until(client.is_there, "an answer")
        time.sleep(OLD_ENOUGH_SECONDS)
        grown = client.get("/grow")
        until(lambda: client.get("/reason") == reason.encode(), "a reason")
        assert not is_gone(int(grown))
        assert process.poll() is None
    log = (tmp_path / "log").read_text("utf-8", "replace")
    assert "is not replaced" in log
    assert "asks" not in log


def test_celery_replaces_a_process_after_its_task(tmp_path: Path) -> None:
    pytest.importorskip("celery")
    tasks, growing = 30, 8
    enqueue = (
        "from tests.faces.served_tasks import work\n"
        f"for number in range({tasks}): work.delay(number, {growing})\n"
    )
    subprocess.run(
        [sys.executable, "-c", enqueue],
        cwd=tmp_path,
        env=environment(tmp_path),
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    command = "celery -A tests.faces.served_tasks worker -c 2 -l INFO"
    done = tmp_path / "done"
    rows: list[list[str]] = []
    with running(command, tmp_path) as process:

        def all_done() -> bool:
            text = done.read_text("ascii") if done.exists() else ""
            rows[:] = [line.split() for line in text.splitlines()]
            return len(rows) >= tasks

        until(all_done, "all tasks")
        assert process.poll() is None
    assert sorted(int(number) for number, _ in rows) == list(range(tasks))
    (grown,) = {pid for number, pid in rows if number == str(growing)}
    assert is_gone(int(grown))
    assert len({pid for _, pid in rows}) == 3
    log = (tmp_path / "log").read_text("utf-8", "replace")
    assert log.count("asks Celery to be replaced") == 1, log
