"""The pytest plugin: markers, a fixture, a watched session.

Loaded by pytest itself in every project that has leakguard installed. Rules of this
file: it imports pytest and nothing of leakguard's, and hooks that run for each test
are registered only where a test, an option or a setting asks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.nodes import Node

    from leakguard._plugin.fixture import Leakguard

#: Name and arguments -> what it does.
MARKERS = {
    "limit_growth(limit, *, calls, warmup, seconds, kinds, per)": "call the test again "
    "and again, and fail it if each call keeps more than limit",
    "no_leaks(*, kinds, ignore, runs)": "fail the test if each run leaves objects, "
    "tasks, threads, files or connections behind",
    "known_leak(reason, *, limit)": "do not fail the test for its leak; say why",
}
#: Option or setting -> what it does. A setting of the same name stands in an ini file,
#: with an underscore for each dash.
OPTIONS = {
    "--leakguard": "watch the session and list the tests after which memory grew most",
    "--leakguard-limit": "hold each test without a marker to this growth per call",
    "--leakguard-seconds": "how long a fast test is called again (default: 1)",
    "--leakguard-dir": "save the reports of what leaks in this directory",
    "--leakguard-baseline": "a file of known growth: only what is new or faster fails",
    "--leakguard-update-baseline": "write today's growth into the baseline",
}
_MARKS = ("limit_growth", "no_leaks", "known_leak")
_PROPERTIES = "user_properties"
#: Where a project may speak of its tests, and how.
_TABLES = {"leakguard.toml": b"[tests", "pyproject.toml": b"[tool.leakguard.tests"}
_FLAGS = ("--leakguard", "--leakguard-update-baseline")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and their ini settings."""
    group = parser.getgroup("leakguard", "leaks (leakguard)")
    for option, text in OPTIONS.items():
        name = option[2:].replace("-", "_")
        if option in _FLAGS:
            group.addoption(option, action="store_true", default=None, help=text)
        else:
            group.addoption(option, metavar="X", default=None, help=text)
        if option != "--leakguard-update-baseline":
            kind = "bool" if option in _FLAGS else "string"
            parser.addini(name, text, type=kind, default=None)  # type: ignore[arg-type]


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; watch the session where that is asked for."""
    for marker, text in MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {text}")
    if config.getoption("--leakguard") or config.getini("leakguard"):
        from leakguard._plugin.watch import Watch

        config.pluginmanager.register(Watch(config), "leakguard-watch")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Look for marked tests; only they bring in what repeats and judges them."""
    asked = _may_limit_all(config) or _is_any_marked(items)
    if asked and not config.pluginmanager.has_plugin("leakguard-runner"):
        from leakguard._plugin.runner import Runner

        config.pluginmanager.register(Runner(config, items), "leakguard-runner")


def _is_any_marked(items: list[pytest.Item]) -> bool:
    """Return whether a test has a marker of ours. Cost: 0.1 µs for each test."""
    marked: list[Node] = []
    parents = set()
    for item in items:
        if item.own_markers:
            marked.append(item)
        parents.add(item.parent)
    marked += {node for parent in parents if parent for node in parent.listchain()}
    return any(mark.name in _MARKS for node in marked for mark in node.own_markers)


def _may_limit_all(config: pytest.Config) -> bool:
    """Return whether a limit for all tests may be set anywhere, without our parser."""
    if config.getoption("--leakguard-limit") or config.getini("leakguard_limit"):
        return True
    files = (config.rootpath / name for name in _TABLES)
    return any(f.is_file() and _TABLES[f.name] in f.read_bytes() for f in files)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show what leaks, with its line, its holder and what to change."""
    reports = [
        report
        for found in terminalreporter.stats.values()
        for report in found
        if getattr(report, _PROPERTIES, None)
        and any(item[0] == "leakguard" for item in report.user_properties)
    ]
    if reports or config.getoption("--leakguard-update-baseline"):
        from leakguard._plugin.summary import summarise

        summarise(terminalreporter, config, reports)


@pytest.fixture
def leakguard(request: pytest.FixtureRequest) -> Leakguard:
    """``check(work)``, ``growth()`` and ``snapshot()``, with the project's limits."""
    from leakguard._plugin.fixture import Leakguard

    return Leakguard(request)
