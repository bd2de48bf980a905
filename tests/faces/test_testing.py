"""diagnose() and assert_no_growth(), as tests and scripts use them."""

from __future__ import annotations

import functools
import json
import threading
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leakguard
from leakguard import LeakError, WorkFailed, assert_no_growth, diagnose, testing
from leakguard._core.conclusion import Conclusion
from leakguard._core.records import Cost, LeakguardError, Verdict
from leakguard._runtime.trial import Trial

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


def _trial(*, fails: bool, per_call: float = 100.0) -> Trial:
    kind = "leak" if fails else "steady"
    verdict = Verdict(kind, 0.9, "A reason.", growth_bytes_per_call=per_call)  # type: ignore[arg-type]
    return Trial(Conclusion(verdict, (), ()), Cost(None, None, 1, 1.0), 100, fails)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[object]]:
    """Return a function that makes trials end like this, one by one."""

    def give(*trials: Trial) -> list[object]:
        asked: list[object] = []
        left = iter(trials)

        def answer(*arguments: object) -> Trial:
            asked.append(arguments)
            return next(left)

        monkeypatch.setattr(testing, "_tried", answer)
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


# --- assert_no_growth ----------------------------------------------------------------


def test_a_block_that_is_extended_need_not_be_seen_twice() -> None:
    log = bytearray()
    with pytest.raises(LeakError, match="only ever extended"):
        assert_no_growth(lambda: log.extend(bytes(1_000)), seconds=5.0)


def test_growth_fails_the_assertion_with_the_report() -> None:
    with pytest.raises(LeakError) as caught:
        assert_no_growth(_keep, retries=0)
    error = caught.value
    assert isinstance(error, AssertionError)
    assert error.report is not None
    assert error.report.verdict.kind == "leak"
    owner = error.report.suspects[0].owner
    assert owner is not None
    assert owner.path == f"{__name__}.KEPT"
    assert str(error).startswith("work grows by more than 64 B per call\n")
    assert owner.path in str(error)
    assert json.loads(leakguard.render(error.report, "json"))["suspects"]


def test_steady_work_passes_the_assertion() -> None:
    assert_no_growth(lambda: bytearray(1_000) and None)


def test_a_warm_up_passes_the_assertion() -> None:
    seen: dict[int, object] = {}
    assert_no_growth(
        lambda number: seen.setdefault(number % 50, bytearray(500)) and None
    )


def test_what_is_allowed_per_call_is_no_failure() -> None:
    assert_no_growth(_keep, per_call="2 KiB", retries=0)


def test_the_number_of_calls_and_the_warm_up_may_be_given() -> None:
    assert_no_growth(_keep, "2 KiB", calls=20, warmup=5)
    assert len(KEPT) == 25


def test_work_that_fails_is_no_leak() -> None:
    with pytest.raises(WorkFailed):
        assert_no_growth(lambda: 1 / 0)


@pytest.mark.parametrize(
    ("per_call", "bytes_per_call"),
    [(99, 99), ("99 B", 99), ("0.1 KB", 100), ("1 KiB", 1024), (0, 0)],
)
def test_what_is_allowed_may_be_a_number_or_a_text(
    answers: Callable[..., list[object]], per_call: int | str, bytes_per_call: int
) -> None:
    asked = answers(_trial(fails=False))
    assert_no_growth(_nothing, per_call, seconds=3.0, calls=7, warmup=2)
    assert asked == [(_nothing, bytes_per_call, 3.0, 7, 2)]


@pytest.mark.parametrize("per_call", ["", "64 bananas", "-1", -1])
def test_a_size_that_is_none_is_refused_before_any_call(
    answers: Callable[..., list[object]], per_call: int | str
) -> None:
    asked = answers()
    with pytest.raises(LeakguardError):
        assert_no_growth(_nothing, per_call)
    assert asked == []


def test_a_finding_is_confirmed_before_it_counts(
    answers: Callable[..., list[object]],
) -> None:
    asked = answers(_trial(fails=True), _trial(fails=False))
    assert_no_growth(_nothing)
    assert len(asked) == 2


def test_the_last_finding_is_the_one_reported(
    answers: Callable[..., list[object]],
) -> None:
    asked = answers(*[_trial(fails=True, per_call=rate) for rate in (100, 200, 300)])
    with pytest.raises(LeakError) as caught:
        assert_no_growth(_nothing, retries=2)
    assert caught.value.report is not None
    assert caught.value.report.verdict.growth_bytes_per_call == 300
    assert len(asked) == 3


# --- growth --------------------------------------------------------------------------


def test_a_block_tells_what_it_keeps() -> None:
    with leakguard.growth():
        KEPT.append(bytearray(10_000))  # what is used first is kept, too
    with leakguard.growth() as grown:
        KEPT.append(bytearray(10_000))
        _ = bytearray(50_000) and None
    assert grown.net_bytes == pytest.approx(10_100, abs=300)
    assert grown.diff.sites[0].file == __file__


def test_a_block_holds_its_limit() -> None:
    with pytest.raises(LeakError, match="the block keeps") as caught:  # noqa: SIM117
        with leakguard.growth("1 KB"):
            KEPT.append(bytearray(10_000))
    assert caught.value.report is None
    with leakguard.growth("64 KiB"):
        KEPT.append(bytearray(10_000))


def test_a_block_that_fails_fails_as_it_would() -> None:
    with pytest.raises(ZeroDivisionError), leakguard.growth(0):
        KEPT.append(1 / 0)


def test_growth_is_known_at_the_end_only() -> None:
    grown = leakguard.growth()
    with pytest.raises(LeakguardError, match="when its block has ended"):
        _ = grown.net_bytes


def test_a_decorated_function_is_held_to_a_limit_per_call() -> None:
    @leakguard.growth()
    def keeps(size: int) -> None:
        KEPT.append(bytearray(size))

    @leakguard.growth("2 KiB", calls=20, warmup=1)
    async def keeps_little() -> None:
        KEPT.append(bytearray(1_000))

    with pytest.raises(LeakError):
        keeps(1_000)
    KEPT.clear()
    keeps_little()  # type: ignore[unused-coroutine]
    assert len(KEPT) == 21
    assert keeps.__name__ == "keeps"


# --- assert_released and check -------------------------------------------------------


class Order:
    """Something that has to go."""


def _kept_order() -> Order:
    order = Order()
    KEPT.append(order)
    return order


def test_what_nobody_holds_is_released() -> None:
    leakguard.assert_released(Order)


def test_what_is_held_is_told_with_its_holder() -> None:
    with pytest.raises(LeakError, match="lives on after it was dropped") as caught:
        leakguard.assert_released(_kept_order, seconds=0.0)
    report = caught.value.report
    assert report is not None
    (suspect,) = report.suspects
    assert suspect.type == f"{__name__}.Order"
    assert suspect.owner is not None
    assert suspect.owner.path.startswith(f"{__name__}.KEPT")
    assert suspect.owner.links[-1].status == "leaking"
    assert (suspect.pattern, suspect.source) == ("registry", "type")


def test_what_goes_a_moment_later_is_released() -> None:
    def freed_soon() -> Order:
        order = _kept_order()
        threading.Timer(0.05, KEPT.clear).start()
        return order

    leakguard.assert_released(freed_soon, seconds=30.0)


def test_what_cannot_be_watched_is_refused() -> None:
    with pytest.raises(LeakguardError, match="list takes no weak references"):
        leakguard.assert_released(list)


def test_a_difference_of_two_checks_names_what_is_new() -> None:
    before = leakguard.check()
    assert not leakguard.check().difference(before)
    KEPT.append(Order())
    started, stop = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        stop.wait()

    thread = threading.Thread(target=wait, name="worker-7")
    thread.start()
    started.wait()
    try:
        found = leakguard.check().difference(before)
    finally:
        stop.set()
        thread.join()
    assert found.of("threads") == {"worker-N": 1}
    assert found.of("objects") == {f"{__name__}.Order": 1}
    assert "1 thread (worker-N)" in str(found)
    assert str(leakguard.check().difference(leakguard.check())) == "nothing"


# --- unittest ------------------------------------------------------------------------


def test_unittest_has_the_assertions() -> None:
    class Leaks(testing.LeakTestCase):
        def test_growth(self) -> None:
            self.assertNoGrowth(_keep)

        def test_kept(self) -> None:
            self.assertReleases(_kept_order, seconds=0.0)

        def test_none(self) -> None:
            self.assertNoGrowth(_nothing, "1 KB", calls=20)
            self.assertReleases(Order)

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Leaks).run(result)
    assert result.testsRun == 3
    failed = sorted(case.id().rsplit(".", 1)[1] for case, _ in result.failures)
    assert failed == ["test_growth", "test_kept"]
    assert result.errors == []


def test_the_module_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = testing.nothing  # type: ignore[attr-defined]
