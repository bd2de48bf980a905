"""The parts of the pytest plugin by themselves: markers, settings, baselines."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from leakguard._plugin import marks, settings
from leakguard._plugin.baseline import Baseline, write
from leakguard._plugin.finding import Finding, findings_in
from leakguard._plugin.summary import workflow_commands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Config:
    """As much of pytest's configuration as the settings ask for."""

    def __init__(self, root: Path, **options: object) -> None:
        self.rootpath = root
        self.invocation_params = SimpleNamespace(dir=root / "here")
        self.stash = pytest.Stash()
        self.options = options
        self.ini: dict[str, object] = {}

    def getoption(self, name: str) -> object:
        return self.options.get(name[2:].replace("-", "_"))

    def getini(self, name: str) -> object:
        return self.ini.get(name, "")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path)


class Item:
    """A test with one marker."""

    nodeid = "test_x"

    def __init__(self, config: Config, mark: SimpleNamespace | None) -> None:
        self.config, self._mark = config, mark

    def get_closest_marker(self, name: str) -> SimpleNamespace | None:
        return self._mark if self._mark and self._mark.name == name else None


def _mark(name: str) -> Callable[..., SimpleNamespace]:
    return lambda *args, **kwargs: SimpleNamespace(name=name, args=args, kwargs=kwargs)


@pytest.mark.parametrize(
    ("marker", "sentence"),
    [
        ("limit_growth('64 bananas')", "limit_growth: '64 bananas' is not a size"),
        ("limit_growth(1, 2)", "limit_growth takes 1 argument without a name"),
        ("limit_growth(bytes=3)", "limit_growth has no argument 'bytes'"),
        ("limit_growth(calls=0)", "calls is a whole number from 1 on, not 0"),
        ("limit_growth(warmup=-1)", "warmup is a whole number from 0 on, not -1"),
        ("limit_growth(seconds='1')", "seconds is a number above 0, not '1'"),
        ("limit_growth(per='day')", "per is 'test' or 'call', not 'day'"),
        ("limit_growth(kinds='gold')", "kinds are python, native, not 'gold'"),
        ("no_leaks('x')", "no_leaks takes no argument without a name"),
        ("no_leaks(runs=1)", "runs is a whole number from 2 on, not 1"),
        ("known_leak()", "known_leak needs a reason"),
        ("known_leak(reason=' ')", "known_leak needs a reason"),
        ("limit_growth(1)", "limit_growth is for test functions: this is a Item"),
    ],
)
def test_a_marker_that_makes_no_sense_is_one_sentence(
    config: Config, marker: str, sentence: str
) -> None:
    names = {name: _mark(name) for name in ("limit_growth", "no_leaks", "known_leak")}
    item: Any = Item(config, eval(marker, names))
    with pytest.raises(pytest.UsageError, match="leakguard: test_x: ") as caught:
        marks.asked_of(item)
    assert sentence in str(caught.value)


def test_an_unmarked_test_is_asked_nothing(config: Config) -> None:
    item: Any = Item(config, None)
    assert marks.asked_of(item) == marks.Asked(None, None, None)


def _asked(name: str, config: Config) -> object:
    return getattr(settings, name)(config)


def test_settings_are_those_of_option_then_ini_then_project(config: Config) -> None:
    assert _asked("limit_of_all", config) is None
    assert _asked("seconds", config) == 1.0
    assert _asked("directory", config) is None
    assert _asked("baseline", config) is None

    (config.rootpath / "pyproject.toml").write_text(
        "[tool.leakguard.tests]\nlimit = 300\nseconds = 2\ndir = 'out'\n"
    )
    config.stash = pytest.Stash()
    assert _asked("limit_of_all", config) == 300
    assert _asked("seconds", config) == 2.0
    assert _asked("directory", config) == config.rootpath / "out"
    config.ini["leakguard_limit"] = "1 KB"
    assert _asked("limit_of_all", config) == 1000
    config.options["leakguard_limit"] = "2 KB"
    config.options["leakguard_dir"] = "out"
    assert _asked("limit_of_all", config) == 2000
    assert _asked("directory", config) == config.rootpath / "here" / "out"


def test_settings_may_stand_in_our_own_file(config: Config) -> None:
    (config.rootpath / "leakguard.toml").write_text("[tests]\nlimit = '2 KB'\n")
    assert _asked("limit_of_all", config) == 2000


@pytest.mark.parametrize(
    ("options", "ask", "sentence"),
    [
        ({"leakguard_limit": "much"}, "limit_of_all", "leakguard-limit: 'much'"),
        ({"leakguard_seconds": "0"}, "seconds", "a number above 0, not '0'"),
        ({"leakguard_seconds": "soon"}, "seconds", "a number above 0, not 'soon'"),
        (
            {"leakguard_update_baseline": True},
            "baseline",
            "needs --leakguard-baseline FILE",
        ),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_sentence(
    tmp_path: Path, options: dict[str, object], ask: str, sentence: str
) -> None:
    with pytest.raises(pytest.UsageError, match=r"^leakguard: ") as caught:
        _asked(ask, Config(tmp_path, **options))
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[tool.leakguard.tests]\nlimits = 3\n", "has no 'limits'"),
        ("[tool.leakguard.tests]\nlimit =\n", "is not TOML"),
        ("[tool.leakguard]\ntests = 3\n", "its tests are no table"),
    ],
)
def test_a_project_file_that_makes_no_sense_is_one_sentence(
    config: Config, text: str, sentence: str
) -> None:
    (config.rootpath / "pyproject.toml").write_text(text)
    with pytest.raises(pytest.UsageError, match=r"^leakguard: ") as caught:
        _asked("limit_of_all", config)
    assert sentence in str(caught.value)


LEAK = Finding("leak", bytes_per_call=100.0, fingerprint="a" * 12)
LEFT = Finding("known", fingerprint="b" * 12)


def test_a_baseline_knows_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "leaks.json"
    other = Finding("undecided", fingerprint="c" * 12)
    assert write(path, [("t::b", LEAK), ("t::a", LEFT), ("t::c", other)]) == 2
    known = Baseline.read(path)
    assert list(known.known) == ["t::a", "t::b"]
    assert known.covers("t::b", LEAK)
    assert known.covers("t::b", replace(LEAK, bytes_per_call=260.0))
    assert not known.covers("t::b", replace(LEAK, bytes_per_call=270.0))
    assert not known.covers("t::b", replace(LEAK, fingerprint="d" * 12))
    assert not known.covers("t::c", LEAK)
    assert known.covers("t::a", LEFT)
    assert not known.covers("t::a", Finding("leak"))


def test_no_baseline_yet_knows_nothing(tmp_path: Path) -> None:
    assert not Baseline.read(tmp_path / "none").covers("t", LEAK)


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "other"}'])
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "leaks.json"
    path.write_text(text)
    with pytest.raises(pytest.UsageError, match=r"leaks\.json"):
        Baseline.read(path)


def test_findings_travel_as_properties() -> None:
    properties = [("theirs", 1), *LEAK.properties, *LEFT.properties]
    assert findings_in(properties) == [LEAK, LEFT]
    # JSON, between the workers of xdist, makes lists of pairs.
    assert findings_in([list(pair) for pair in properties]) == [LEAK, LEFT]  # type: ignore[misc]


def test_workflow_commands_are_escaped() -> None:
    found = Finding("leak", "100 % of it,\nhere: there", file="/shop/a,b.py", line=3)
    rows = [("t.py::x", found), ("t.py::y", LEFT), ("t.py::z", LEAK)]
    one, other = workflow_commands(rows, "/shop")
    assert one == (
        "::error file=a%2Cb.py,line=3,title=leak in t.py%3A%3Ax"
        "::100 %25 of it%2C%0Ahere%3A there"
    )
    assert other == "::error file=t.py,title=leak in t.py%3A%3Az::"
