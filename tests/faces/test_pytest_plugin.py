"""The pytest plugin, in sessions of its own: markers, fixture, watching, baselines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

import leakguard

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(leakguard.__file__).parents[1]
HEAD = """
import pytest

KEPT = []


class Order:
    pass

"""
#: A few calls are enough where the rate is that of a list of kilobytes.
LEAKS = """
@pytest.mark.limit_growth("256 B", calls=24, warmup=1)
def test_leak():
    KEPT.append(bytes(1000))
"""
Session = "Callable[..., pytest.RunResult]"


@pytest.fixture
def session(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Return a function that runs a session on a file of tests, in a process."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(source: str = "", *options: str) -> pytest.RunResult:
        if source:
            pytester.makepyfile(test_shop=HEAD + source)
        return pytester.runpytest_subprocess(
            *("-p", "leakguard.pytest_plugin", "--strict-markers", "-W", "error"),
            *options,
            timeout=300,
        )

    return run


def _section(result: pytest.RunResult) -> str:
    """Return the terminal section, and nothing of what is above it."""
    return result.stdout.str().partition("= leakguard =")[2]


def test_a_leak_fails_and_is_shown_with_line_holder_and_fix(session: Session) -> None:
    result = session(LEAKS)
    result.assert_outcomes(failed=1)
    section = _section(result)
    assert "LEAKS, 1" in section
    assert "test_shop.py::test_leak" in section
    assert "in test_leak" in section
    assert "held by  test_shop.KEPT" in section
    assert "test_shop.KEPT is only ever added to" in section
    assert "the test grows by more than 256 B per call" in result.stdout.str()
    assert "_plugin/judge.py" not in result.stdout.str()


def test_innocents_pass_and_are_not_spoken_of(session: Session) -> None:
    result = session("""
import asyncio, functools, logging, threading, warnings

CACHE = {}

@pytest.fixture(scope="module")
def shop():
    return {"calls": 0}

@pytest.fixture
def order(shop, tmp_path):
    shop["calls"] += 1
    (tmp_path / "order").write_text("one")
    yield Order()

@pytest.mark.limit_growth
@pytest.mark.parametrize("number", [1, 2])
def test_fixtures(order, number):
    CACHE.setdefault(number, bytes(5000))

@pytest.mark.limit_growth(per="call")
def test_what_pytest_keeps(order, caplog, capsys, recwarn):
    logging.getLogger("shop").warning("sold %s", order)
    print("sold")
    assert caplog.records

@pytest.mark.limit_growth
def test_warnings():
    with pytest.warns(UserWarning):
        warnings.warn("x")

@pytest.mark.limit_growth
def test_asyncio():
    asyncio.run(asyncio.sleep(0))

@pytest.mark.no_leaks
def test_thread():
    thread = threading.Thread(target=len, args=("",))
    thread.start()

def test_unmarked():
    pass
""")
    result.assert_outcomes(passed=7)
    assert "LEAKS" not in _section(result)


def test_each_call_has_fixtures_of_its_own_unless_asked_otherwise(
    session: Session,
) -> None:
    result = session("""
MADE = {"test": 0, "call": 0}

@pytest.fixture
def order(request):
    MADE[request.node.name.split("_")[1]] += 1

@pytest.mark.limit_growth(calls=20, warmup=2)
def test_test(order):
    pass

@pytest.mark.limit_growth(calls=20, warmup=2, per="call")
def test_call(order):
    pass

def test_how_often():
    assert MADE == {"test": 23, "call": 1}
""")
    result.assert_outcomes(passed=3)


def test_unittest_and_skipped_and_failing_tests_are_as_before(
    session: Session,
) -> None:
    result = session("""
import unittest

class TestShop(unittest.TestCase):
    def setUp(self):
        self.order = Order()

    @pytest.mark.limit_growth("256 B", calls=24)
    def test_keeps(self):
        KEPT.append((self.order, bytes(1000)))

    @pytest.mark.limit_growth("256 B", calls=24)
    def test_fails(self):
        self.fail("for its own reason")

@pytest.mark.limit_growth
def test_skips():
    pytest.skip("not here")

@pytest.mark.xfail(strict=True)
@pytest.mark.limit_growth
def test_expected():
    assert False
""")
    result.assert_outcomes(failed=2, skipped=1, xfailed=1)
    assert "for its own reason" in result.stdout.str()
    assert _section(result).count("LEAKS") == 1


def test_a_test_that_cannot_be_repeated_says_so(session: Session) -> None:
    result = session("""
@pytest.mark.limit_growth
def test_once():
    KEPT.append(1)
    assert len(KEPT) < 3
""")
    result.assert_outcomes(failed=1)
    assert "The test passed once and failed when it was called again" in (
        result.stdout.str()
    )


def test_what_each_run_leaves_behind_fails(session: Session) -> None:
    result = session(
        """
import threading

END = threading.Event()
POOL = []

@pytest.mark.no_leaks
def test_thread():
    threading.Thread(target=END.wait, name=f"worker-{len(POOL)}", daemon=True).start()

@pytest.mark.no_leaks
def test_object():
    KEPT.append(Order())

@pytest.mark.no_leaks(kinds=["objects"], ignore=["test_shop.Ord*"])
def test_ignored():
    KEPT.append(Order())
    KEPT.append(open(__file__))

@pytest.mark.no_leaks(kinds="files", runs=2)
def test_file():
    KEPT.append(open(__file__))

@pytest.mark.no_leaks
def test_pool_that_fills():
    if len(POOL) < 4:
        POOL.append(Order())
""",
        "-W",
        "default",
    )
    result.assert_outcomes(failed=3, passed=2)
    section = _section(result)
    assert "Each of 5 runs of the test leaves behind 1 thread (worker-N)" in section
    assert "leaves behind 1 object (test_shop.Order)" in section
    assert "Each of 2 runs of the test leaves behind 1 open file" in section
    assert "held by  test_shop.KEPT" in section


def test_a_known_leak_passes_with_its_reason_and_one_that_is_mended_is_told(
    session: Session,
) -> None:
    result = session("""
@pytest.mark.known_leak("SHOP-1: the cache has no end")
@pytest.mark.limit_growth("256 B", calls=24)
def test_known():
    KEPT.append(bytes(1000))

@pytest.mark.known_leak("SHOP-2: as above", limit="500 B")
@pytest.mark.limit_growth("256 B", calls=24)
def test_worse_than_known():
    KEPT.append(bytes(1000))

@pytest.mark.known_leak(reason="SHOP-3: not any more")
@pytest.mark.limit_growth(calls=24)
def test_mended():
    pass

@pytest.mark.known_leak(reason="SHOP-4: not any more")
@pytest.mark.no_leaks
def test_mended_too():
    pass
""")
    result.assert_outcomes(passed=3, failed=1)
    section = _section(result)
    assert "SHOP-1: the cache has no end" in section
    assert section.count("leaks no more") == 2
    assert "remove its known_leak marker" in section


def test_a_watched_session_lists_what_grew_most(session: Session) -> None:
    result = session(
        """
@pytest.mark.parametrize("kilobytes", [10, 300, 200])
def test_keeps(kilobytes):
    KEPT.append([bytes(1000) for _ in range(kilobytes)])

def test_keeps_nothing():
    [bytes(1000) for _ in range(500)]
""",
        "--leakguard",
    )
    result.assert_outcomes(passed=4)
    section = _section(result)
    assert section.index("test_keeps[300]") < section.index("test_keeps[200]")
    assert "test_keeps[10]" not in section
    assert "test_keeps_nothing" not in section
    assert "test_shop.py:12" in section


def test_a_watched_test_is_not_excused_by_older_garbage(session: Session) -> None:
    result = session(
        """
import gc

def _garbage():
    for _ in range(20_000):
        one = []
        one.append(one)

gc.disable()
_garbage()

def test_keeps():
    KEPT.append([bytes(1000) for _ in range(300)])
""",
        "--leakguard",
    )
    result.assert_outcomes(passed=1)
    assert "test_keeps" in _section(result)


@pytest.mark.slow
def test_a_baseline_lets_known_growth_pass_and_new_growth_fail(
    session: Session, pytester: pytest.Pytester
) -> None:
    limits = ("--leakguard-limit", "256 B", "--leakguard-baseline", "leaks.json")
    recorded = session(LEAKS, *limits, "--leakguard-update-baseline")
    recorded.assert_outcomes(passed=1)
    assert "baseline of 1 known leaks written" in recorded.stdout.str()
    document = json.loads((pytester.path / "leaks.json").read_text())
    assert document["schema"] == "leakguard.tests/1"
    assert list(document["tests"]) == ["test_shop.py::test_leak"]

    again = session("", *limits)
    again.assert_outcomes(passed=1)
    assert "it is in the baseline" in _section(again)

    more = session(LEAKS + "\ndef test_new(): KEPT.append(bytes(5000))\n", *limits)
    more.assert_outcomes(passed=1, failed=1)
    assert "LEAKS, 4." in _section(more)


@pytest.mark.slow
def test_settings_may_stand_in_files_and_reports_are_saved(
    session: Session, pytester: pytest.Pytester
) -> None:
    pytester.makepyprojecttoml("""
[tool.leakguard.tests]
limit = "256 B"
dir = "from-project"
seconds = 0.5
""")
    unmarked = "\ndef test_unmarked(): KEPT.append(bytes(1000))\n"
    result = session(unmarked, "--junitxml=junit.xml")
    result.assert_outcomes(failed=1)
    saved = pytester.path / "from-project" / "test_shop.py-test_unmarked.json"
    assert json.loads(saved.read_text())["schema"] == "leakguard.report/1"
    assert saved.with_suffix(".md").read_text().startswith("#")
    junit = ET.parse(pytester.path / "junit.xml")
    properties = {
        node.attrib["name"]: node.attrib["value"] for node in junit.iter("property")
    }
    assert properties["leakguard"] == "leak"
    assert float(properties["leakguard_bytes_per_call"]) > 1000
    assert properties["leakguard_owner"] == "test_shop.KEPT"
    assert properties["leakguard_report"] == str(saved)

    pytester.makeini("[pytest]\nleakguard_limit = 1 MB\n")
    session(unmarked).assert_outcomes(passed=1)
    session(unmarked, "--leakguard-limit=1 KB").assert_outcomes(failed=1)


def test_what_makes_no_sense_ends_the_session_with_one_sentence(
    session: Session,
) -> None:
    result = session(LEAKS, "--leakguard-limit=much")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "leakguard-limit: 'much'" in result.stderr.str()


@pytest.mark.slow
def test_workers_of_xdist_tell_the_controller_and_that_tells_github(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xdist")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    unmarked = "\ndef test_other():\n    pass\n"
    result = session(LEAKS + unmarked, "-p", "xdist.plugin", "-n", "2", "--leakguard")
    result.assert_outcomes(passed=1, failed=1)
    assert "LEAKS, 1" in _section(result)
    (line,) = (text for text in result.outlines if text.startswith("::error "))
    assert line.startswith("::error file=test_shop.py,line=12,title=leak in test_shop")
    assert "%3A%3Atest_leak::Memory grows" in line


def test_hypothesis_and_anyio_can_be_repeated(session: Session) -> None:
    result = session(
        """
from hypothesis import given, settings, strategies as st

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.limit_growth("2 KB", calls=16, warmup=1)
@settings(max_examples=5, deadline=None, database=None)
@given(st.integers())
def test_property(number):
    assert number == number

@pytest.mark.anyio
@pytest.mark.limit_growth("256 B", calls=24)
async def test_coroutine():
    KEPT.append(bytes(1000))
""",
        *("-p", "anyio.pytest_plugin", "-p", "_hypothesis_pytestplugin"),
    )
    result.assert_outcomes(passed=1, failed=1)
    assert "in test_coroutine" in _section(result)


def test_pytest_asyncio_keeps_nothing_of_each_run(session: Session) -> None:
    result = session(
        """
import asyncio
import pytest_asyncio

@pytest_asyncio.fixture
async def order():
    yield Order()

@pytest.mark.asyncio
@pytest.mark.limit_growth("100 B", calls=24, warmup=1)
async def test_innocent(order):
    await asyncio.sleep(0)

@pytest.mark.asyncio
@pytest.mark.no_leaks
async def test_done():
    await asyncio.ensure_future(asyncio.sleep(0))

@pytest.mark.asyncio
@pytest.mark.limit_growth("100 B", calls=24, warmup=1)
async def test_leaky(order):
    KEPT.append(bytes(1000))
""",
        *(
            "-p",
            "pytest_asyncio.plugin",
            "-W",
            "ignore::pytest.PytestDeprecationWarning",
        ),
    )
    result.assert_outcomes(passed=2, failed=1)
    assert "test_shop.KEPT" in _section(result)


def test_the_fixture_checks_measures_and_restores(session: Session) -> None:
    result = session("""
import tracemalloc

def test_check(leakguard):
    leakguard.check(lambda: None)
    leakguard.check(lambda: KEPT.append(bytes(500)), "1 KB", calls=20)
    leakguard.released(Order)

def test_check_fails(leakguard):
    leakguard.check(lambda: KEPT.append(bytes(500)))

def test_growth(leakguard):
    with leakguard.growth() as grown:
        KEPT.append(bytes(5000))
    assert 5000 < grown.net_bytes < 6000

def test_snapshot(leakguard):
    before = leakguard.snapshot()
    assert leakguard.snapshot().since(before).net_bytes < 100_000

def test_restored():
    assert not tracemalloc.is_tracing()
""")
    result.assert_outcomes(passed=4, failed=1)
    assert "LEAKS" in _section(result)


def test_loading_the_plugin_loads_nothing_else_of_leakguard() -> None:
    code = (
        "import sys, pytest, leakguard.pytest_plugin; "
        "print(*[name for name in sys.modules if name.startswith('leakguard')])"
    )
    command = [sys.executable, "-c", code]
    loaded = subprocess.check_output(command, text=True, cwd=ROOT, timeout=60)
    assert loaded.split() == ["leakguard", "leakguard.pytest_plugin"]


def test_an_unmarked_session_brings_in_nothing(session: Session) -> None:
    result = session("""
import sys

def test_loaded():
    names = [name for name in sys.modules if name.startswith("leakguard")]
    assert names == ["leakguard", "leakguard.pytest_plugin"], names
""")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("core", ["ctrace", "pytrace"])
def test_what_coverage_keeps_of_threads_is_no_leak(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, core: str
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COVERAGE_CORE", core)
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    thread = "    thread = threading.Thread(target=len, args=([],))\n"
    thread += "    thread.start()\n    thread.join()\n"
    tests = (
        "import threading\n\n@pytest.mark.limit_growth(calls=300)\n"
        f"def test_fine():\n{thread}\n@pytest.mark.limit_growth(calls=300)\n"
        f"def test_leak():\n{thread}    KEPT.append(bytes(1000))\n"
    )
    pytester.makepyfile(test_shop=HEAD + tests)
    result = pytester.run(
        *(sys.executable, "-m", "coverage", "run", "--source", str(pytester.path)),
        *("-m", "pytest", "-p", "leakguard.pytest_plugin"),
        timeout=300,
    )
    result.assert_outcomes(passed=1, failed=1)
    assert "coverage.collector" not in result.stdout.str()
