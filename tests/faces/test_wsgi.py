"""The WSGI middleware: every request counted once, refusals, what servers rely on."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import wsgiref.simple_server
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

import leakguard
from leakguard import LeakguardError
from leakguard.wsgi import Middleware
from tests.faces.doors import RETRY_SECONDS, Doorman

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed.wsgi import WSGIApplication

SOURCE = str(Path(leakguard.__file__).parents[1])


@pytest.fixture
def door() -> Doorman:
    return Doorman()


class Served:
    """What a server was told."""

    status = ""
    headers: dict[str, str]
    result: Any = None

    def start_response(self, status: str, headers: list[Any], *_: object) -> Any:  # noqa: ANN401
        self.status, self.headers = status, dict(headers)
        return lambda _data: None


def ask(app: WSGIApplication, path: str = "/", **environ: object) -> Served:
    """Ask as a server does, and leave reading and closing to the test."""
    asked: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": path, **environ}
    setup_testing_defaults(asked)
    served = Served()
    served.result = app(asked, served.start_response)
    return served


class Pages:
    """A result in parts; ``pulled`` and ``closed`` tell how far it came."""

    def __init__(self, parts: int = 2) -> None:
        self.left, self.pulled, self.closed = parts, 0, 0

    def __iter__(self) -> Iterator[bytes]:
        while self.left:
            self.left -= 1
            self.pulled += 1
            yield b"part"

    def close(self) -> None:
        self.closed += 1


def answering(result: Any) -> WSGIApplication:  # noqa: ANN401
    def app(_environ: object, start_response: Callable[..., object]) -> Any:  # noqa: ANN401
        start_response("200 OK", [("Content-Type", "text/plain")])
        return result

    return app


# --- counting


@pytest.mark.parametrize("whole", [[b"one"], (b"one", b"two"), []])
def test_a_whole_answer_is_handed_on_as_it_is_and_ends_at_once(
    door: Doorman, whole: object
) -> None:
    served = ask(Middleware(answering(whole), door.guard))
    assert served.result is whole
    assert served.status == "200 OK"
    assert door.work() == (1, 0)


def test_a_streamed_answer_ends_when_it_is_closed_and_only_once(door: Doorman) -> None:
    pages = Pages()
    served = ask(Middleware(answering(pages), door.guard))
    assert pages.pulled == 0
    stream = iter(served.result)
    assert next(stream) == b"part"
    assert pages.pulled == 1  # nothing is asked for ahead of the server
    assert door.work() == (0, 1)
    assert list(stream) == [b"part"]
    assert door.work() == (0, 1)
    served.result.close()
    assert (pages.closed, door.work()) == (1, (1, 0))
    served.result.close()
    del served
    assert (pages.closed, door.work()) == (2, (1, 0))


def test_a_request_ends_though_the_server_never_closes(door: Doorman) -> None:
    served = ask(Middleware(answering(Pages()), door.guard))
    list(served.result)
    served.result = None
    assert door.work() == (1, 0)


def test_a_generator_that_is_never_begun_ends(door: Doorman) -> None:
    served = ask(Middleware(answering(part for part in [b"one"]), door.guard))
    assert door.work() == (0, 1)
    served.result.close()  # the client was gone at once
    assert door.work() == (1, 0)


def test_a_result_without_close_ends_too(door: Doorman) -> None:
    served = ask(Middleware(answering(iter([b"one"])), door.guard))
    assert list(served.result) == [b"one"]
    served.result.close()
    assert door.work() == (1, 0)


@pytest.mark.parametrize("error", [ValueError, MemoryError, KeyboardInterrupt])
def test_a_request_whose_application_raises_ends(
    door: Doorman, error: type[BaseException]
) -> None:
    def app(*_: object) -> list[bytes]:
        raise error

    with pytest.raises(error):
        ask(Middleware(app, door.guard))
    assert door.work() == (1, 0)


def test_a_request_whose_stream_or_close_raises_ends(door: Doorman) -> None:
    class Broken(Pages):
        def __iter__(self) -> Iterator[bytes]:
            raise OSError

        def close(self) -> None:
            raise ValueError

    served = ask(Middleware(answering(Broken()), door.guard))
    with pytest.raises(OSError):  # noqa: PT011
        list(served.result)
    assert door.work() == (0, 1)
    with pytest.raises(ValueError):  # noqa: PT011
        served.result.close()
    assert door.work() == (1, 0)


def test_requests_of_many_threads_are_all_counted(door: Doorman) -> None:
    app = Middleware(answering(Pages(0)), door.guard)

    def client() -> None:
        for _ in range(500):
            ask(app).result.close()

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert door.work() == (2000, 0)


# --- what servers recognise


def test_the_servers_own_file_wrapper_is_handed_on_as_it_is(
    door: Doorman, tmp_path: Path
) -> None:
    (tmp_path / "page").write_bytes(b"a page")
    with (tmp_path / "page").open("rb") as file:
        wrapped = FileWrapper(file)
        app = Middleware(answering(wrapped), door.guard)
        served = ask(app, **{"wsgi.file_wrapper": FileWrapper})
        assert served.result is wrapped
        assert door.work() == (1, 0)
        # The wrapper is not this server's own: an iterable as any other.
        other = ask(app, **{"wsgi.file_wrapper": type("Other", (FileWrapper,), {})})
        assert other.result is not wrapped
        assert door.work() == (1, 1)


def test_a_file_is_handed_on_where_the_wrapper_is_a_function(
    door: Doorman, tmp_path: Path
) -> None:
    (tmp_path / "page").write_bytes(b"a page")

    def sendfile(file: object, _size: int = 0) -> object:
        return file

    with (tmp_path / "page").open("rb") as file:
        app = Middleware(answering(file), door.guard)
        assert ask(app, **{"wsgi.file_wrapper": sendfile}).result is file
        served = ask(Middleware(answering(Pages()), door.guard))
        assert not isinstance(served.result, Pages)
        plain = ask(app).result
        assert plain is not file
        assert list(plain) == [b"a page"]
        plain.close()
        assert file.closed


def test_the_standard_is_kept_on_both_sides(door: Doorman) -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:  # noqa: ANN401
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield environ["PATH_INFO"].encode()

    checked = validator(Middleware(validator(app), door.guard, readiness_path="/up"))

    def talk(path: str, method: str = "GET") -> tuple[str, bytes]:
        asked = ask(checked, path, REQUEST_METHOD=method, QUERY_STRING="")
        body = b"".join(asked.result)
        asked.result.close()
        return asked.status, body

    assert talk("/page") == ("200 OK", b"/page")
    assert talk("/page", "HEAD") == ("200 OK", b"/page")
    assert talk("/up") == ("200 OK", b'{"ready": true}')
    door.close()
    status, body = talk("/page")
    assert status == "503 Service Unavailable"
    assert json.loads(body)["error"] == "memory_pressure"
    assert talk("/page", "HEAD") == ("503 Service Unavailable", b"")
    assert talk("/up")[0] == "503 Service Unavailable"


# --- refusing


def test_a_refusal_reads_no_body_and_does_not_reach_the_application(
    door: Doorman,
) -> None:
    class Unread:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(name)

    door.close()
    app = Middleware(pytest.fail, door.guard)  # type: ignore[arg-type]
    for method in ("POST", "OPTIONS", "HEAD"):
        served = ask(
            app,
            REQUEST_METHOD=method,
            HTTP_EXPECT="100-continue",
            **{"wsgi.input": Unread()},
        )
        assert served.status == "503 Service Unavailable"
        assert served.headers["retry-after"] == str(RETRY_SECONDS)
        assert served.headers["cache-control"] == "no-store"
        # A server's own header, which wsgiref and waitress refuse from an application.
        assert "connection" not in served.headers
        assert bool(served.result) == (method != "HEAD")
    assert door.work() == (0, 0)


def test_a_browser_is_refused_in_words(door: Doorman) -> None:
    door.close()
    served = ask(Middleware(answering([b"one"]), door.guard), HTTP_ACCEPT="text/html")
    assert served.headers["content-type"].startswith("text/plain")
    assert b"short of memory" in b"".join(served.result)


def test_what_is_under_way_is_not_cut(door: Doorman) -> None:
    served = ask(Middleware(answering(Pages()), door.guard))
    stream = iter(served.result)
    next(stream)
    door.close()
    assert list(stream) == [b"part"]
    assert door.work() == (0, 1)


def test_priorities_by_path(door: Doorman) -> None:
    app = Middleware(
        answering([b"one"]),
        door.guard,
        priority={"/admin/*": "critical", "/Größe": "critical", "/metrics": "normal"},
    )
    door.close()
    # Paths come as bytes in the guise of text (PEP 3333, "Unicode Issues").
    utf8 = "/Größe".encode().decode("latin-1")
    for path in ("/healthz", "/readyz", "/admin/users", utf8):
        assert ask(app, path).status == "200 OK", path
    for path in ("/", "/admin", "/metrics", ""):
        assert ask(app, path).status.startswith("503"), path


def test_priorities_by_a_callable(
    door: Doorman, caplog: pytest.LogCaptureFixture
) -> None:
    answers = {"/vip": "critical", "/odd": "urgent", "/none": None, "/list": []}

    def priority(environ: Any) -> Any:  # noqa: ANN401
        return answers[environ["PATH_INFO"]]

    app = Middleware(answering([b"one"]), door.guard, priority=priority)
    door.close()
    assert ask(app, "/vip").status == "200 OK"
    assert ask(app, "/healthz").status == "200 OK"  # not asked
    assert app._door.failures == 0
    with caplog.at_level(logging.WARNING, "leakguard"):
        for path in ("/secret", "/odd", "/none", "/list", "/secret"):
            assert ask(app, path).status.startswith("503"), path
    assert app._door.failures == 4
    assert len(caplog.records) == 1
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_clients_are_told_apart_under_pressure_only(door: Doorman) -> None:
    app = Middleware(answering([b"one"]), door.guard)
    ask(app, REMOTE_ADDR="10.0.0.1")
    assert door.keys == []  # nobody is asked
    door.close()
    ask(app, REMOTE_ADDR="10.0.0.1")
    ask(app, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="192.0.2.7")
    ask(app, REMOTE_ADDR="")
    assert door.keys == ["10.0.0.1", "192.0.2.7", None]
    del door.keys[:]
    ask(
        Middleware(answering([]), door.guard, client_key=lambda e: e["HTTP_USER"]),
        HTTP_USER="ann",
    )
    ask(Middleware(answering([]), door.guard, client_key=lambda e: e["HTTP_USER"]))
    assert door.keys == ["ann", None]


def test_the_same_client_keeps_its_luck(door: Doorman) -> None:
    app = Middleware(answering([b"one"]), door.guard, priority={"/*": "sheddable"})
    door.close(sheddable=0.5)
    statuses = {
        client: {ask(app, REMOTE_ADDR=f"10.0.0.{client}").status for _ in range(5)}
        for client in range(40)
    }
    assert all(len(of_one) == 1 for of_one in statuses.values())
    assert len(set.union(*statuses.values())) == 2


# --- readiness


def test_the_readiness_route_is_answered_here_and_not_counted(door: Doorman) -> None:
    app = Middleware(answering([b"app"]), door.guard, readiness_path="/up")
    served = ask(app, "/up")
    assert (served.status, served.result) == ("200 OK", [b'{"ready": true}'])
    door.close(ready=True)
    assert ask(app, "/up").status == "200 OK"
    door.close()
    assert ask(app, "/up").status == "503 Service Unavailable"
    assert ask(app, "/up", REQUEST_METHOD="HEAD").result == []
    assert door.work() == (0, 0)
    assert ask(app, "/upper").status.startswith("503")


@pytest.mark.parametrize(
    "options",
    [
        {"readiness_path": "up"},
        {"priority": {"/a": "urgent"}},
        {"priority": {"admin": "normal"}},
    ],
)
def test_options_that_make_no_sense_are_said_at_once(options: Any) -> None:  # noqa: ANN401
    with pytest.raises(LeakguardError):
        Middleware(answering([]), **options)


# --- the guard


def run(code: str) -> str:
    """Return what a program prints that ends well, without a word on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert (done.stderr, done.returncode) == ("", 0), done
    return done.stdout


PROGRAM = """
import os, threading
import leakguard
from leakguard.wsgi import Middleware

def app(environ, start_response):
    start_response("200 OK", [])
    return iter([b"one"])

def ask(app):
    result = app({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *_: None)
    list(result), result.close()

def watchers():
    return [t.name for t in threading.enumerate()].count("leakguard-watcher")

one, two = Middleware(app), Middleware(app)
"""


def test_the_first_request_starts_the_processs_guard_once() -> None:
    code = """
assert leakguard.current() is None and watchers() == 0
ask(one)
guard = leakguard.current()
assert guard is not None and watchers() == 1
ask(two), ask(one)
assert leakguard.current() is guard and watchers() == 1
from leakguard._runtime.monitor import process
print(process().work.read())
"""
    assert run(PROGRAM + code) == "Work(finished=3, in_flight=0)\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_worker_is_guarded_too() -> None:
    code = """
result = one({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *_: None)
if os.fork() == 0:
    from leakguard._runtime.monitor import process
    ask(one), ask(two)
    assert watchers() == 1 and leakguard.current() is not None
    assert process().work.read().in_flight == 0
    print("guarded", flush=True)
    os._exit(0)
assert os.wait()[1] == 0
"""
    assert run(PROGRAM + code) == "guarded\n"


def test_the_first_request_starts_the_guard_that_was_given(door: Doorman) -> None:
    app = Middleware(answering([b"one"]), door.guard)
    assert door.starts == 0
    for _ in range(2):
        ask(app)
        assert door.starts == 1


def test_without_a_guard_requests_are_served_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise OSError("no memory is read here")

    monkeypatch.setattr("leakguard._middleware.watch", fail)
    app = Middleware(answering([b"one"]), readiness_path="/up")
    with caplog.at_level(logging.WARNING, "leakguard"):
        for _ in range(3):
            assert ask(app).result == [b"one"]
            assert ask(app, "/up").status == "200 OK"
    assert [record.getMessage() for record in caplog.records] == [
        "no request will be refused: there is no guard (no memory is read here)"
    ]


# --- servers


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def wsgiref_server(app: WSGIApplication) -> Iterator[str]:
    server = wsgiref.simple_server.make_server(
        "127.0.0.1", 0, app, handler_class=_Quiet
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def waitress_server(app: WSGIApplication) -> Iterator[str]:
    waitress = pytest.importorskip("waitress")
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=2)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.trigger.pull_trigger(server.close)
        thread.join(10)
        server.task_dispatcher.shutdown(timeout=10)


def fetch(url: str, method: str = "GET") -> tuple[int, bytes, str | None]:
    asked = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as got:
            return got.status, got.read(), got.headers["Retry-After"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers["Retry-After"]


@pytest.mark.parametrize("serve", [wsgiref_server, waitress_server])
def test_real_servers_serve_and_refuse(
    serve: Callable[[WSGIApplication], contextlib.AbstractContextManager[str]],
    door: Doorman,
    tmp_path: Path,
) -> None:
    (tmp_path / "page").write_bytes(b"a page" * 10_000)

    def app(environ: Any, start_response: Any) -> Any:  # noqa: ANN401
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/file":
            file = (tmp_path / "page").open("rb")
            return environ["wsgi.file_wrapper"](file)
        return iter([b"one ", b"page"])

    with serve(Middleware(app, door.guard, readiness_path="/up")) as url:
        assert fetch(url) == (200, b"one page", None)
        assert fetch(f"{url}/file") == (200, b"a page" * 10_000, None)
        assert fetch(f"{url}/up") == (200, b'{"ready": true}', None)
        door.close()
        status, body, retry_after = fetch(url)
        assert (status, retry_after) == (503, str(RETRY_SECONDS))
        assert json.loads(body)["level"] == "critical"
        assert fetch(url, "HEAD") == (503, b"", str(RETRY_SECONDS))
        assert fetch(f"{url}/healthz") == (200, b"one page", None)
    assert door.work() == (3, 0)
