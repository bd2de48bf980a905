"""The zoo itself: every program tells its story and promises something checkable."""

from __future__ import annotations

import ast
import sys
from typing import get_args

import catalogue
import pytest
import runner

from leakguard._core import records
from leakguard._core.patterns import HABITS

ALL = catalogue.programs()
LEAKS = catalogue.programs("leak")
INNOCENTS = catalogue.programs("innocent")
#: Modules that read a clock or leave the machine.
FORBIDDEN = {"time", "datetime", "socket", "http", "urllib.request", "ssl", "secrets"}


def named(program: catalogue.Program) -> str:
    return program.name


def imports(program: catalogue.Program) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(program.path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_the_zoo_is_large_enough() -> None:
    assert len(LEAKS) >= 36
    assert len(INNOCENTS) >= 20


def test_names_are_unique() -> None:
    names = [program.name for program in ALL]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("program", ALL, ids=named)
def test_a_program_tells_its_story_and_has_a_step(program: catalogue.Program) -> None:
    assert len(program.story) > 30
    tree = ast.parse(program.path.read_text(encoding="utf-8"))
    steps = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name == "step"
    ]
    assert len(steps) == 1
    assert [a.arg for a in steps[0].args.args] in ([], ["i"])


@pytest.mark.parametrize("program", ALL, ids=named)
def test_verdicts_are_known_kinds(program: catalogue.Program) -> None:
    assert program.verdicts
    assert program.verdicts <= set(get_args(records.VerdictKind))
    assert (program.kind == "leak") == bool(program.verdicts & runner.LEAK_VERDICTS)


@pytest.mark.parametrize("program", ALL, ids=named)
def test_a_program_needs_only_the_standard_library(
    program: catalogue.Program,
) -> None:
    modules = imports(program)
    assert not modules & FORBIDDEN
    foreign = {m.split(".")[0] for m in modules} - sys.stdlib_module_names
    assert foreign <= {program.needs}


@pytest.mark.parametrize("program", LEAKS, ids=named)
def test_a_leak_marks_its_lines_in_the_functions_it_names(
    program: catalogue.Program,
) -> None:
    source = program.path.read_text(encoding="utf-8")
    functions = catalogue.enclosing_functions(source)
    assert program.marked_lines
    assert {functions[line] for line in program.marked_lines} <= program.sites
    assert program.sites <= catalogue.function_names(source)


@pytest.mark.parametrize("program", LEAKS, ids=named)
def test_a_leak_states_its_rate_and_a_known_pattern(
    program: catalogue.Program,
) -> None:
    assert program.bytes_per_call is not None
    low, high = program.bytes_per_call
    assert 0 < low < high <= 100_000
    assert program.pattern in (*get_args(records.Pattern), None)
    assert program.habit in (*HABITS, None)


@pytest.mark.parametrize("program", INNOCENTS, ids=named)
def test_an_innocent_marks_nothing(program: catalogue.Program) -> None:
    assert not program.marked_lines
    assert program.owner is None


# --- the judge -----------------------------------------------------------------


def report(kind: str, *suspects: dict[str, object]) -> dict[str, object]:
    return {"verdict": {"kind": kind, "reason": "because"}, "suspects": list(suspects)}


def suspect(
    program: catalogue.Program, line: int, function: str, owner: str | None = None
) -> dict[str, object]:
    site = {"file": str(program.path), "line": line, "function": function}
    return {"source": "site", "site": site, "owner": owner and {"path": owner}}


LEAK = next(p for p in LEAKS if p.name == "event_bus_listeners")
INNOCENT = next(p for p in INNOCENTS if p.name == "lru_cache_1024")


def complaints(program: catalogue.Program, exit_code: int, document: object) -> str:
    assert isinstance(document, dict)
    answer = runner.Run(document, exit_code, 1.0)
    return "; ".join(runner.judge(program, answer).complaints)


def test_the_judge_accepts_a_marked_line_a_function_and_an_owner() -> None:
    marked = suspect(LEAK, min(LEAK.marked_lines), "anything")
    function = suspect(LEAK, 1, "EventBus.subscribe")
    owner = suspect(LEAK, 1, "other", "leaks.BUS._listeners['order.updated']")
    for right in (marked, function, owner):
        assert complaints(LEAK, 1, report("leak", right)) == ""


def test_the_judge_refuses_another_line_file_or_verdict() -> None:
    elsewhere = suspect(LEAK, 1, "render")
    other_file = suspect(INNOCENT, min(LEAK.marked_lines), "subscribe")
    for wrong in (elsewhere, other_file):
        assert "first suspect" in complaints(LEAK, 1, report("leak", wrong))
    right = suspect(LEAK, min(LEAK.marked_lines), "subscribe")
    assert "verdict steady" in complaints(LEAK, 0, report("steady", right))
    assert "nobody" in complaints(LEAK, 1, report("leak"))
    assert "exit code 0" in complaints(LEAK, 0, report("leak", right))


def test_the_judge_refuses_to_accuse_an_innocent() -> None:
    accused = suspect(INNOCENT, 20, "load_profile")
    assert complaints(INNOCENT, 0, report("cache")) == ""
    assert "accused" in complaints(INNOCENT, 0, report("cache", accused))
    assert "verdict leak" in complaints(INNOCENT, 1, report("leak", accused))


def test_the_judge_refuses_another_pattern_or_c_function() -> None:
    right = suspect(LEAK, min(LEAK.marked_lines), "subscribe")
    assert complaints(LEAK, 1, report("leak", {**right, "pattern": "listener"})) == ""
    other = report("leak", {**right, "pattern": "registry"})
    assert complaints(LEAK, 1, other) == "pattern registry, not listener"
    native = next(p for p in LEAKS if p.name == "ctypes_malloc")
    for function, wrong in (("malloc (ctypes)", ""), (None, "C function not known,")):
        taken = {"source": "native", "type": function}
        assert wrong in complaints(native, 1, report("native-leak", taken))
    assert (
        complaints(native, 1, report("native-leak", {**taken, "type": "libc.malloc"}))
        == ""
    )


def test_a_missing_report_is_a_complaint() -> None:
    answer = runner.Run(None, 2, 1.0, "stdout is no JSON document")
    assert not runner.judge(LEAK, answer).ok


@pytest.mark.parametrize(
    ("expected", "path", "matches"),
    [
        ("BUS._listeners", "app.BUS._listeners", True),
        ("BUS._listeners", "app.BUS._listeners['a.b'][2]", True),
        ("validate.__defaults__", "app.validate.__defaults__[0]", True),
        ("BUS._listeners", "app.BUS._listeners_by_topic", False),
        ("BUS._listeners", "app.BUS", False),
        (None, "app.BUS", False),
        ("BUS", None, False),
    ],
)
def test_owner_paths_match_part_by_part(
    expected: str | None, path: str | None, *, matches: bool
) -> None:
    assert runner.owner_matches(expected, path) is matches
