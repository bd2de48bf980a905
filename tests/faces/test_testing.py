"""diagnose() and assert_no_growth(), as tests and scripts use them."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leakguard
from leakguard import LeakError, WorkFailed, assert_no_growth, diagnose, testing
from leakguard._core.records import Cost, LeakguardError, Report, Verdict
from leakguard._runtime.reporting import build_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEPT: list[object] = []


@pytest.fixture(autouse=True)
def _emptied() -> Iterator[None]:
    yield
    KEPT.clear()


def _keep() -> None:
    KEPT.append(bytearray(1_000))


def _nothing() -> None:
    return None


def _report(kind: str, per_call: float | None = None) -> Report:
    verdict = Verdict(kind, 0.9, "A reason.", growth_bytes_per_call=per_call)  # type: ignore[arg-type]
    return build_report("diagnose", verdict, (), (), Cost(None, None, 1, 1.0))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[object]]:
    """Return a function that makes diagnose() give these reports, one by one."""

    def give(*reports: Report) -> list[object]:
        asked: list[object] = []
        left = iter(reports)

        def answer(work: object, **options: object) -> Report:
            asked.append((work, options))
            return next(left)

        monkeypatch.setattr(testing, "diagnose", answer)
        return asked

    return give


def test_a_leak_is_reported_with_its_line_and_owner() -> None:
    report = diagnose(_keep, calls=200)
    assert report.verdict.kind == "leak"
    assert report.program.mode == "diagnose"
    (suspect,) = report.suspects
    assert suspect.site is not None
    assert suspect.owner is not None
    assert (suspect.site.file, suspect.site.function) == (__file__, "_keep")
    assert suspect.owner.path == f"{__name__}.KEPT"
    assert suspect.growth_bytes_per_call == pytest.approx(1_080, rel=0.2)


def test_a_report_shows_no_value_of_the_users() -> None:
    secret = "open sesame"

    def keep(number: int) -> None:
        KEPT.append({secret: f"{secret} {number}"})

    report = diagnose(keep, calls=100)
    assert report.verdict.kind == "leak"
    assert secret not in leakguard.render(report, "json")
    assert secret not in leakguard.render(report, "text")


def test_the_number_of_calls_and_the_depth_can_be_given_by_position() -> None:
    report = diagnose(_keep, 100, 1)
    assert len(KEPT) == 100
    assert len(report.suspects[0].stack) == 1


def test_progress_is_told() -> None:
    lines: list[str] = []
    diagnose(_nothing, calls=20, progress=lines.append)
    assert lines


@pytest.mark.parametrize("calls", [0, -1])
def test_a_number_of_calls_below_one_is_refused(calls: int) -> None:
    with pytest.raises(LeakguardError, match="calls must be at least 1"):
        diagnose(_keep, calls=calls)
    assert KEPT == []


@pytest.mark.parametrize("nframe", [-1, 100_000])
def test_a_depth_that_cannot_be_traced_is_refused(nframe: int) -> None:
    with pytest.raises(LeakguardError):
        diagnose(_keep, calls=50, nframe=nframe)
    assert KEPT == []


@pytest.mark.parametrize("work", [None, 3, "shop:work"])
def test_work_must_be_callable(work: object) -> None:
    with pytest.raises(LeakguardError, match=f"not {type(work).__name__}"):
        diagnose(work)  # type: ignore[arg-type]


def test_work_that_fails_raises_with_its_cause() -> None:
    with pytest.raises(WorkFailed) as caught:
        diagnose(lambda: 1 / 0, calls=10)
    assert isinstance(caught.value, LeakguardError)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_directory_of_the_work_is_the_application(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "shop"
    package.mkdir(parents=True)
    file = package / "views.py"
    source = "def keep():\n    KEPT.append(bytearray(999))\n"
    file.write_text(source)
    namespace: dict[str, Any] = {"KEPT": KEPT}
    exec(compile(source, str(file), "exec"), namespace)

    @functools.wraps(namespace["keep"])
    def decorated() -> None:
        namespace["keep"]()

    (suspect,) = diagnose(decorated, calls=100).suspects
    assert suspect.site is not None
    assert suspect.site.file == str(file)
    assert suspect.site.in_app


def test_the_application_may_be_named(tmp_path: Path) -> None:
    (suspect,) = diagnose(_keep, calls=100, app_root=str(tmp_path)).suspects
    assert suspect.site is not None
    assert suspect.site.in_app, "as it is in no library"


@pytest.mark.parametrize(
    "work", [functools.partial(_keep), list, type("Work", (), {"__call__": _keep})()]
)
def test_work_without_a_file_of_its_own_has_no_directory(work: object) -> None:
    assert testing._directory_of(work) is None  # type: ignore[arg-type]


def test_methods_and_decorated_functions_have_the_directory_of_their_source() -> None:
    @functools.lru_cache
    def cached() -> None:
        return None

    class Shop:
        def work(self) -> None:
            return None

        @classmethod
        def all(cls) -> None:
            return None

    here = str(Path(__file__).parent)
    for work in (cached, Shop().work, Shop.all, _keep):
        assert testing._directory_of(work) == here
    text = eval("lambda: None")
    assert testing._directory_of(text) is None


def test_growth_fails_the_assertion_with_the_report() -> None:
    with pytest.raises(LeakError) as caught:
        assert_no_growth(_keep, seconds=1.0, retries=0)
    error = caught.value
    assert isinstance(error, AssertionError)
    assert error.report.verdict.kind == "leak"
    owner = error.report.suspects[0].owner
    assert owner is not None
    assert owner.path == f"{__name__}.KEPT"
    assert str(error).startswith("work grows by more than 64 B per call\n")
    assert owner.path in str(error)
    assert json.loads(leakguard.render(error.report, "json"))["suspects"]


def test_steady_work_passes_the_assertion() -> None:
    assert_no_growth(lambda: bytearray(1_000) and None, seconds=1.0)


def test_a_warm_up_passes_the_assertion() -> None:
    seen: dict[int, object] = {}
    assert_no_growth(
        lambda number: seen.setdefault(number % 50, bytearray(500)) and None,
        seconds=1.0,
    )


def test_what_is_allowed_per_call_is_no_failure() -> None:
    assert_no_growth(_keep, per_call="2 KiB", seconds=1.0, retries=0)


def test_work_that_fails_is_no_leak() -> None:
    with pytest.raises(WorkFailed):
        assert_no_growth(lambda: 1 / 0, seconds=1.0)


@pytest.mark.parametrize(
    ("per_call", "passes"),
    [
        (99, False),
        (100, True),
        ("99 B", False),
        ("100 B", True),
        ("0.1 KB", True),
        ("1 KiB", True),
        (0, False),
    ],
)
def test_what_is_allowed_may_be_a_number_or_a_text(
    answers: Callable[..., list[object]], per_call: int | str, passes: object
) -> None:
    answers(*[_report("leak", 100.0)] * 2)
    if passes:
        assert_no_growth(_nothing, per_call)
        return
    with pytest.raises(LeakError):
        assert_no_growth(_nothing, per_call)


@pytest.mark.parametrize("per_call", ["", "64 bananas", "-1", -1])
def test_a_size_that_is_none_is_refused_before_any_call(
    answers: Callable[..., list[object]], per_call: int | str
) -> None:
    asked = answers()
    with pytest.raises(LeakguardError):
        assert_no_growth(_nothing, per_call)
    assert asked == []


@pytest.mark.parametrize(
    "kind", ["cache", "load", "fragmentation", "steady", "unknown"]
)
def test_only_a_leak_fails(answers: Callable[..., list[object]], kind: str) -> None:
    asked = answers(_report(kind, 1e6))
    assert_no_growth(_nothing)
    assert len(asked) == 1


@pytest.mark.parametrize("kind", ["leak", "native-leak"])
def test_a_finding_is_confirmed_before_it_counts(
    answers: Callable[..., list[object]], kind: str
) -> None:
    asked = answers(_report(kind, 1e6), _report("steady", 0.0))
    assert_no_growth(_nothing, seconds=3.0)
    assert asked == [(_nothing, {"seconds": 3.0})] * 2


def test_the_last_finding_is_the_one_reported(
    answers: Callable[..., list[object]],
) -> None:
    last = replace(_report("leak", 300.0), created_at="2026-01-01T00:00:00Z")
    asked = answers(_report("leak", 100.0), _report("leak", 200.0), last)
    with pytest.raises(LeakError) as caught:
        assert_no_growth(_nothing, retries=2)
    assert caught.value.report is last
    assert len(asked) == 3


def test_a_leak_of_unknown_rate_is_below_any_limit(
    answers: Callable[..., list[object]],
) -> None:
    answers(_report("leak", None))
    assert_no_growth(_nothing)
