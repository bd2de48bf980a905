"""``leakguard run``: the program stays as it was, and a report comes out."""

from __future__ import annotations

import json
import os
import py_compile
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import pytest

import leakguard
from leakguard._core.records import LeakguardError
from leakguard.cli import options, program
from leakguard.cli.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from leakguard._core.records import Report

SOURCE = str(Path(leakguard.__file__).parents[1])
DOCUMENT = """{"schema": "leakguard.report/1", "created_at": "2026-01-01T00:00:00Z",
"program": {"argv0": "shop.py", "pid": 1, "python": "3.12.1", "leakguard": "0.1",
"mode": "run"},
"verdict": {"kind": "KIND", "confidence": 0.9, "reason": "so it was seen"},
"memory": {}, "suspects": [],
"cost": {"overhead_ratio": null, "longest_pause_seconds": null, "windows": 1,
"seconds": 1.0}}"""
#: Starts the command line in a process of its own, with a stand-in for the sampler.
LAUNCHER = f"""
import io, os, sys, types
sys.path.insert(1, {SOURCE!r})
from leakguard import cli, reports

class Sampler:
    def __init__(self, **options):
        self.options = options
    def start(self):
        if os.environ.get("TELL"):
            print("sampling", sorted(self.options.items()), file=sys.stderr)
    def stop(self):
        pass
    def report(self):
        if os.environ.get("KIND") == "broken":
            raise ZeroDivisionError("oops")
        document = {DOCUMENT!r}.replace("KIND", os.environ.get("KIND", "steady"))
        return reports.load(io.StringIO(document))

fake = types.ModuleType("leakguard._runtime.sampler")
fake.Sampler = Sampler
sys.modules["leakguard._runtime.sampler"] = fake
raise SystemExit(cli.main())
"""
REPORTED = "so it was seen"
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and forks")


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    launcher = tmp_path / "bin" / "launch.py"
    launcher.parent.mkdir()
    launcher.write_text(LAUNCHER, encoding="utf-8")


def write(name: str, source: str) -> str:
    """Write a program and return its name."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return name


def command(*arguments: str) -> list[str]:
    return [sys.executable, "bin/launch.py", "run", *arguments]


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


SEEN = """
import json, sys
main = sys.modules["__main__"]
print(json.dumps([__name__, sys.argv, sys.path[0], __file__, main.__dict__ is globals(),
    __package__, type(__loader__).__name__, __spec__ and __spec__.name,
    __builtins__.__name__]))
"""


def seen_by_python(*arguments: str) -> Any:  # noqa: ANN401 - as JSON
    done = subprocess.check_output([sys.executable, *arguments], text=True, timeout=60)
    return json.loads(done)


@pytest.mark.parametrize(
    "arguments",
    [
        ["inner/app.py", "--json", "a b", "--", "-m"],
        ["-m", "inner.app", "--every", "-m"],
        ["-m", "inner"],
        ["link.py", "x"],
    ],
)
def test_a_program_sees_what_python_would_have_shown_it(arguments: list[str]) -> None:
    write("inner/__init__.py", "")
    write("inner/__main__.py", SEEN)
    write("inner/app.py", SEEN)
    Path("link.py").symlink_to("inner/app.py")
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == seen_by_python(*arguments)
    assert REPORTED in done.stderr


def test_directories_and_archives_run() -> None:
    write("inner/__main__.py", "import sys, near\nprint(near.x, sys.path[0])")
    write("inner/near.py", "x = 5")
    with zipfile.ZipFile("inner.zip", "w") as archive:
        archive.write("inner/__main__.py", "__main__.py")
        archive.write("inner/near.py", "near.py")
    for name in ("inner", "inner.zip"):
        done = run(name)
        assert done.stdout.split() == ["5", name], done.stderr


def test_compiled_programs_run() -> None:
    write("app.py", "print(__name__)")
    py_compile.compile("app.py", "app.pyc")
    assert run("app.pyc").stdout == "__main__\n"


def test_our_options_end_where_the_program_begins() -> None:
    write("app.py", "import sys; print(sys.argv)")
    for before in ([], ["--"], ["--json"], ["--every", "1h", "--budget=2%"]):
        done = run(*before, "app.py", "--budget", "--help")
        assert done.stdout == "['app.py', '--budget', '--help']\n", done.stderr


def test_options_reach_the_sampler(tmp_path: Path) -> None:
    write("inner/app.py", "")
    done = run("--budget", "2%", "inner/app.py", TELL="1")
    root = str(tmp_path / "inner")
    assert (
        f"sampling [('app_root', {root!r}), ('budget', 0.02), ('config'," in done.stderr
    )


@pytest.mark.parametrize(
    ("source", "code", "err"),
    [
        ("", 0, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no stock')", 1, "no stock\n"),
        ("raise SystemExit(-1)", 255, ""),
    ],
)
def test_the_exit_code_stays_the_programs(source: str, code: int, err: str) -> None:
    done = run(write("app.py", source))
    assert done.returncode == code
    assert done.stderr.startswith(err)
    assert REPORTED in done.stderr


@pytest.mark.parametrize(
    "source",
    [
        "def sell():\n    raise ValueError('no stock')\nsell()\n",
        "x = (\n",
        "raise RuntimeError('b') from ValueError('a')",
        "import sys\nsys.excepthook = lambda *_: print('mine', file=sys.stderr)\n1/0",
    ],
)
def test_a_traceback_stays_the_programs(source: str) -> None:
    write("app.py", source)
    plain = subprocess.run(
        [sys.executable, "app.py"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    done = run("app.py")
    assert done.returncode == plain.returncode == 1
    assert done.stderr.startswith(plain.stderr)


def test_a_broken_excepthook_is_survived() -> None:
    done = run(write("app.py", "import sys\nsys.excepthook = None\n1/0"))
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert REPORTED in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["gone.py"], "no such file: gone.py"),
        (["bin"], "bin is a directory without a __main__.py"),
        (["-m", "gone"], "no module named 'gone'"),
        (["-m", "gone.deep"], "no module named 'gone.deep'"),
        (["-m", "empty"], "empty is a package without a __main__: it cannot run"),
        (["-m", "sys"], "sys is not Python source: it cannot be run"),
        (["--output", "r.html", "app.py"], "cannot write r.html"),
    ],
)
def test_what_cannot_run_is_one_line_and_exit_2(
    arguments: list[str], says: str
) -> None:
    write("empty/__init__.py", "")
    write("app.py", "")
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"leakguard: {says}")
    assert len(done.stderr.splitlines()) == 1


def test_a_program_without_permission_is_one_line_and_exit_2(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("app.py", "")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(LeakguardError, match=r"cannot read app\.py: permission denied"):
        program.script("app.py", [])


def test_a_package_that_fails_is_the_programs_trouble() -> None:
    write("broken/__init__.py", "import nothing_there")
    done = run("-m", "broken.app")
    assert done.returncode == 1
    assert "ModuleNotFoundError: No module named 'nothing_there'" in done.stderr


@pytest.mark.parametrize(
    ("kind", "source", "code"),
    [
        ("leak", "", 1),
        ("native-leak", "", 1),
        ("steady", "", 0),
        ("leak", "raise SystemExit(7)", 7),
        ("broken", "", 0),
    ],
)
def test_a_leak_fails_the_run_when_asked_to(kind: str, source: str, code: int) -> None:
    write("app.py", source)
    assert run("--fail-on-leak", "app.py", KIND=kind).returncode == code
    expected = 7 if source else 0
    assert run("app.py", KIND=kind).returncode == expected


def test_a_report_that_fails_is_one_line() -> None:
    done = run(write("app.py", "print('done')"), KIND="broken")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert done.stderr == "leakguard: no report: ZeroDivisionError: oops\n"


def test_the_report_is_written_where_asked(tmp_path: Path) -> None:
    write("app.py", "import os; os.chdir('/')")
    done = run("--output", "r.json", "app.py", KIND="leak")
    document = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert document["verdict"]["kind"] == "leak"
    assert done.stderr == f"leakguard: leak: the report is in {tmp_path / 'r.json'}\n"
    done = run("--json", "app.py")
    assert json.loads(done.stderr)["verdict"]["kind"] == "steady"


def test_a_program_that_closes_its_streams_is_no_trouble() -> None:
    write("app.py", "import sys; sys.stdout.close(); sys.stderr.close()")
    done = run("app.py", "x")
    assert (done.returncode, done.stderr) == (0, "")


def test_threads_and_pools_end_before_the_report() -> None:
    source = """
import atexit, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
pool = ThreadPoolExecutor(2)
pool.submit(print, "pooled")
def late():
    threading.main_thread().join()
    print("late", __name__, sys.modules["__main__"].pool is pool, flush=True)
threading.Thread(target=late).start()
atexit.register(print, "goodbye")
"""
    done = run(write("app.py", source))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "pooled"
    assert done.stdout.splitlines()[-2:] == ["late __main__ True", "goodbye"]
    assert REPORTED in done.stderr


SPAWNING = """
import multiprocessing, os, sys

class Order:
    pass

def work(order):
    print("child", type(order).__module__ in ("__main__", "__mp_main__"), flush=True)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    child = context.Process(target=work, args=(Order(),))
    child.start()
    child.join()
    print("parent", child.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", pytest.param("fork", marks=posix)])
@pytest.mark.parametrize("start", [["app.py"], ["-m", "app"]])
def test_multiprocessing_works_and_reports_once(start: list[str], method: str) -> None:
    write("app.py", SPAWNING)
    done = run(*start, method)
    assert done.stdout.splitlines() == ["child True", "parent 0"], done.stderr
    assert done.stderr.count(REPORTED) == 1


@posix
def test_a_forked_child_does_not_report_and_gets_its_signals_back() -> None:
    source = """
import os, signal
before = signal.getsignal(signal.SIGUSR2), signal.getsignal(signal.SIGTERM)
child = os.fork()
if child:
    print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(all(map(callable, before)))
else:
    after = signal.getsignal(signal.SIGUSR2), signal.getsignal(signal.SIGTERM)
    assert after == (signal.SIG_DFL, signal.SIG_DFL), after
    raise SystemExit(5)
"""
    done = run("--fail-on-leak", write("app.py", source), KIND="leak")
    assert done.stdout == "child 5\nTrue\n", done.stderr
    assert done.stderr.count(REPORTED) == 1
    assert done.returncode == 1


READY = "import sys, time\nprint('ready', flush=True)\n"
# In short waits: a signal that lands just before a blocking read would not end it.
WAIT = "import select\nwhile not select.select([sys.stdin], [], [], 0.05)[0]: pass\n"


def _take_interrupts() -> None:
    """Undo what a shell does to its background jobs, should we be one."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@final
class Running:
    """A program under ``leakguard run`` that has said it is ready."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_take_interrupts,  # noqa: PLW1509 - nothing but a signal's default
        )
        # what hangs is killed: then the pipes end, and the test fails
        self.watchdog = threading.Timer(120, self.process.kill)
        self.watchdog.start()
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.watchdog.cancel()
        self.process.kill()
        self.process.communicate(timeout=60)

    def read_report(self) -> str:
        """Read what came out on stderr up to the verdict's reason."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if REPORTED in line:
                return line
        raise AssertionError("no report came out")

    def finish(self, text: str | None = None) -> tuple[int, str]:
        """Let it end and return its exit code and the rest of stderr."""
        _, err = self.process.communicate(text, timeout=60)
        return self.process.returncode, err


@posix
@pytest.mark.parametrize(
    ("options_", "number"),
    [([], signal.SIGUSR2), (["--signal", "usr1"], signal.SIGUSR1)],
)
def test_a_signal_asks_for_a_report(
    options_: list[str], number: signal.Signals
) -> None:
    write("app.py", READY + WAIT)
    with Running(*options_, "app.py") as running:
        for _ in range(2):
            running.process.send_signal(number)
            assert running.read_report()
        code, err = running.finish("\n")
    assert code == 0
    assert err.count(REPORTED) == 1


@posix
def test_no_signal_is_taken_when_none_is_wanted() -> None:
    source = "import signal; print(signal.getsignal(signal.SIGUSR2) == 0)"
    assert run("--signal", "none", write("app.py", source)).stdout == "True\n"


@posix
def test_a_program_keeps_the_handlers_it_installs() -> None:
    source = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = run(write("app.py", source))
    assert (done.returncode, done.stdout) == (0, "mine\n")
    assert REPORTED in done.stderr


@posix
def test_a_terminated_program_still_reports_and_dies_of_it() -> None:
    write("app.py", READY + WAIT)
    with Running("app.py") as running:
        running.process.terminate()
        code, err = running.finish()
    assert code == -signal.SIGTERM
    assert err.count(REPORTED) == 1


@posix
def test_ctrl_c_reports_and_exits_with_130() -> None:
    write("app.py", READY + WAIT)
    with Running("app.py") as running:
        running.process.send_signal(signal.SIGINT)
        code, err = running.finish()
    assert code == 130
    assert "KeyboardInterrupt" in err
    assert REPORTED in err


def test_reports_come_every_so_often() -> None:
    write("app.py", READY + WAIT)
    with Running("--every", "10ms", "app.py") as running:
        assert running.read_report()
        assert running.read_report()
        assert running.finish("\n")[0] == 0


# -- the parts ----------------------------------------------------------------


class FakeSampler:
    """Reports when asked; remembers whether it runs."""

    def __init__(self, error: Exception | None = None) -> None:
        self.running = False
        self.error = error

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def report(self) -> Report:
        if self.error:
            raise self.error
        from io import StringIO

        return leakguard.load(StringIO(DOCUMENT.replace("KIND", "steady")))


@pytest.fixture
def handlers() -> Iterator[Callable[[], list[object]]]:
    """Return a reader of the handlers in question; fail if they are left changed."""
    numbers = [signal.SIGTERM, getattr(signal, "SIGUSR2", signal.SIGINT)]

    def read() -> list[object]:
        return [signal.getsignal(number) for number in numbers]

    before = read()
    yield read
    assert read() == before


def test_finishing_restores_the_signals(
    handlers: Callable[[], list[object]],
) -> None:
    before = handlers()
    number = getattr(signal, "SIGUSR2", None)
    sampler = FakeSampler()
    supervisor = Supervisor(sampler, print, print, signal_number=number)
    assert supervisor.finish() is None
    supervisor.start()
    assert sampler.running
    assert handlers() != before
    assert supervisor.finish() is not None
    assert not sampler.running


@pytest.mark.usefixtures("handlers")
def test_a_report_that_fails_is_told_and_survived() -> None:
    from queue import Queue

    told: Queue[Exception] = Queue()
    sampler = FakeSampler(ValueError("oops"))
    supervisor = Supervisor(sampler, print, told.put, every_seconds=0.001)
    supervisor.start()
    for _ in range(2):
        assert str(told.get(timeout=30)) == "oops"
    with pytest.raises(ValueError, match="oops"):
        supervisor.finish()


@pytest.mark.parametrize(
    ("text", "share"), [("0.05", 0.05), ("5%", 0.05), (" 5 % ", 0.05), ("1", 1.0)]
)
def test_shares_are_read_as_numbers_and_percentages(text: str, share: float) -> None:
    assert options.share(text) == pytest.approx(share)
