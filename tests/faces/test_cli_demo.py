"""``leakguard demo``: the shop leaks as it says, and the report is held against it."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leakguard
from leakguard import cli, reports, testing
from leakguard._core.records import Acquittal, LeakguardError, Report, Site, Suspect
from leakguard.cli import demo
from leakguard.cli.demo import checks
from leakguard.cli.demo.load import Shop, Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = str(Path(leakguard.__file__).parents[1])
APP = Path(demo.__file__).with_name("app.py")
DOCUMENT = """{"schema": "leakguard.report/1", "created_at": "2026-01-01T00:00:00Z",
"program": {"argv0": "shop.py", "pid": 1, "python": "3.12.1", "leakguard": "0.1",
"mode": "diagnose"},
"verdict": {"kind": "leak", "confidence": 0.9, "reason": "it grows"},
"memory": {}, "suspects": [],
"cost": {"overhead_ratio": null, "longest_pause_seconds": null, "windows": 1,
"seconds": 1.0}}"""


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the demo keep its copy where the test's files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(demo, "_survives", lambda *_: True)  # half a minute
    yield
    sys.modules.pop("shop", None)


def lines_of(kind: str) -> list[int]:
    """Return the lines of the shop that are marked so."""
    marks = checks.marks(APP.read_text("utf-8"))
    return [mark.line for mark in marks if mark.kind == kind]


def a_report(file: str, accused: list[int], acquitted: list[int]) -> Report:
    """Return a report that accuses and acquits these lines of the shop."""
    suspects = tuple(
        Suspect(
            rank=rank,
            fingerprint=f"{line:012x}",
            source="site",
            site=Site(file, line, "sell", in_app=True),
            stack=(),
            type=None,
            owner=None,
            growth_bytes_per_call=64.0,
            growth_count_per_call=1.0,
            growth_bytes_per_second=None,
            confidence=0.9,
            pattern="other",
            hint="mend it",
        )
        for rank, line in enumerate(accused, start=1)
    )
    acquittals = tuple(
        Acquittal(Site(file, line, "tag", in_app=True), None, 1.0, None, "it is full")
        for line in acquitted
    )
    report = reports.load(io.StringIO(DOCUMENT))
    return dataclasses.replace(report, suspects=suspects, acquitted=acquittals)


class FakeDiagnose:
    """Visits the shop a few times and says what the test wants said."""

    def __init__(self) -> None:
        self.accused = lines_of("leak")
        self.acquitted = lines_of("innocent")
        self.app_root = ""

    def __call__(
        self, work: Callable[[], None], *, app_root: str, **_: object
    ) -> Report:
        self.app_root = app_root
        for _visit in range(3):
            work()
        return a_report(f"{app_root}/shop.py", self.accused, self.acquitted)


@pytest.fixture
def diagnose(monkeypatch: pytest.MonkeyPatch) -> FakeDiagnose:
    fake = FakeDiagnose()
    monkeypatch.setattr(testing, "diagnose", fake)
    return fake


def test_a_demo_that_comes_out_right_exits_with_0(
    diagnose: FakeDiagnose, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo"]) == 0
    shown = capsys.readouterr()
    assert "it grows" in shown.out
    assert "The shop (15 requests)" in shown.out
    assert "All as it should be" in shown.out
    assert shown.err == ""
    assert (Path(diagnose.app_root) / "shop.py").read_text("utf-8") == APP.read_text(
        "utf-8"
    )


def test_what_a_leak_keeps_alive_may_be_named_too(diagnose: FakeDiagnose) -> None:
    diagnose.accused += lines_of("with it")
    assert cli.main(["demo"]) == 0


def test_stdout_holds_nothing_but_the_document_when_asked(
    diagnose: FakeDiagnose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.json"
    assert cli.main(["demo", "--json", "--output", str(path)]) == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)["suspects"]) == len(diagnose.accused)
    assert json.loads(path.read_text("utf-8")) == json.loads(shown.out)
    assert "All as it should be" in shown.err


@pytest.mark.parametrize("mistake", ["missing", "innocent", "silent", "other"])
def test_a_demo_that_comes_out_wrong_says_so_and_exits_with_1(
    mistake: str, diagnose: FakeDiagnose, capsys: pytest.CaptureFixture[str]
) -> None:
    if mistake == "missing":
        line = diagnose.accused.pop()
    elif mistake == "innocent":
        line = diagnose.acquitted.pop()
        diagnose.accused.append(line)
    elif mistake == "silent":
        line = diagnose.acquitted.pop()
    else:
        diagnose.accused.append(line := 1)
    assert cli.main(["demo"]) == 1
    shown = capsys.readouterr().out
    (wrong,) = re.findall(r"  ! line (\d+)", shown)
    assert int(wrong) == line
    assert "That is not as it should be" in shown


def test_without_flask_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert cli.main(["demo"]) == 2
    assert capsys.readouterr().err == (
        "leakguard: the demo needs Flask: pip install 'leakguard[demo]'\n"
    )


def test_a_demo_that_fails_leaves_no_copy(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def diagnose(*_args: object, **_options: object) -> Report:
        error = ConnectionError("the shop is shut")
        raise testing.WorkFailed(3, error) from error

    monkeypatch.setattr(testing, "diagnose", diagnose)
    assert cli.main(["demo"]) == 2
    assert capsys.readouterr().err == (
        "leakguard: the demo failed: ConnectionError: the shop is shut\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.fixture
def shop() -> Iterator[Any]:
    """Import the shop, under another name than its place in the package gives it."""
    module = demo.imported(APP)
    yield module
    module.pool.close()


def test_the_shop_leaks_what_it_says_and_nothing_else(shop: Any) -> None:  # noqa: ANN401
    visits = 5
    with Shop(shop.app) as server:
        visitor = Visitor(server.port)
        for _ in range(visits):
            visitor.visit()
        visitor.close()
    assert visitor.requests == 5 * visits
    assert len(shop.bus.listeners) == len(shop.pool.lent) == len(shop.pages) == visits
    cached = shop.price_tag.cache_info()
    assert (cached.currsize, cached.maxsize) == (visits, 4096)


def test_connections_that_are_given_back_are_used_again(shop: Any) -> None:  # noqa: ANN401
    first = shop.pool.take()
    shop.pool.give_back(first)
    assert shop.pool.take() is first


def test_an_answer_that_is_an_error_ends_the_visit(shop: Any) -> None:  # noqa: ANN401
    shop.pool.close()
    shop.app.logger.disabled = True
    with Shop(shop.app) as server:
        visitor = Visitor(server.port)
        with pytest.raises(LeakguardError, match="the shop answered 500 to /stock/1"):
            visitor.visit()
        visitor.close()


def test_the_marks_stand_above_the_lines_they_speak_of() -> None:
    text = APP.read_text("utf-8")
    lines = dict(enumerate(text.splitlines(), start=1))
    marked = {
        lines[mark.line].split("(")[0].strip()
        for mark in checks.marks(text)
        if mark.kind != "with it"
    }
    assert marked == {
        "return sqlite3.connect",
        "pages[address] = template.render",
        "bus.on",
        'return f"Product {number} costs {number * 19 % 400}.99 EUR.".ljust',
    }


@pytest.mark.slow
@pytest.mark.zoo
def test_the_real_demo_names_three_leaks_acquits_the_cache_and_survives(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "leakguard", "demo", "--json"],
        env=os.environ | {"PYTHONPATH": SOURCE, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"guarded +alive after", done.stderr)
    report = json.loads(done.stdout)
    assert report["verdict"]["kind"] == "leak"
    assert {suspect["pattern"] for suspect in report["suspects"]} == {
        "listener",
        "unclosed-connection",
        "unbounded-cache",
    }
