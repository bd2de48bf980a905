"""What each program of the zoo promises, read from its text alone.

Rules of this file: programs are parsed, never imported, for they leak on purpose.
A leak marks each line that may rightly be named as its origin with ``# LEAK``.
"""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["leak", "innocent"]

ZOO = Path(__file__).resolve().parent
FOLDERS: dict[Kind, str] = {"leak": "leaks", "innocent": "innocent"}
MARK = "# LEAK"


@dataclass(frozen=True, slots=True)
class Program:
    """One program: its story, and what a report on it has to say.

    ``bytes_per_call`` is what the process loses per call, from the traced Python
    bytes to the resident ones where C memory hangs on the Python objects.
    """

    name: str
    path: Path
    kind: Kind
    story: str
    verdicts: frozenset[str]
    sites: frozenset[str] = frozenset()
    marked_lines: frozenset[int] = frozenset()
    owner: str | None = None
    pattern: str | None = None
    habit: str | None = None
    c_function: str | None = None
    bytes_per_call: tuple[int, int] | None = None
    needs: str | None = None


def programs(kind: Kind | None = None) -> tuple[Program, ...]:
    """Return all programs (or those of one kind), by kind and name."""
    kinds: tuple[Kind, ...] = ("leak", "innocent") if kind is None else (kind,)
    return tuple(
        read_program(path, each)
        for each in kinds
        for path in sorted((ZOO / FOLDERS[each]).glob("*.py"))
    )


def read_program(path: Path, kind: Kind) -> Program:
    """Read one program; ``KeyError`` or ``ValueError`` when it promises nothing."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source, str(path))
    expect = _expectation(tree)
    verdict = expect["verdict"]
    return Program(
        name=path.stem,
        path=path,
        kind=kind,
        story=ast.get_docstring(tree) or "",
        verdicts=frozenset({verdict} if isinstance(verdict, str) else verdict),
        sites=frozenset(expect.get("sites", ())),
        marked_lines=marked_lines(source),
        owner=expect.get("owner"),
        pattern=expect.get("pattern"),
        habit=expect.get("habit"),
        c_function=expect.get("c_function"),
        bytes_per_call=expect.get("bytes_per_call"),
        needs=expect.get("needs"),
    )


def _expectation(tree: ast.Module) -> dict[str, Any]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="EXPECT")], value=ast.Dict() as value):
                return dict(ast.literal_eval(value))
    raise ValueError("no EXPECT = {...} at the top level")


def marked_lines(source: str) -> frozenset[int]:
    """Return the numbers of the lines whose comment is the mark."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return frozenset(
        token.start[0]
        for token in tokens
        if token.type == tokenize.COMMENT and token.string.endswith(MARK)
    )


def function_names(source: str) -> frozenset[str]:
    """Return the bare names of all functions in a source, methods included."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.walk(ast.parse(source))
    return frozenset(node.name for node in tree if isinstance(node, functions))


def enclosing_functions(source: str) -> dict[int, str]:
    """Map each line inside a function to that function's name.

    The lines of a nested ``def`` and its decorators run in the function around it.
    """
    names: dict[int, str] = {}
    _note_functions(ast.parse(source), None, names)
    return names


def _note_functions(node: ast.AST, name: str | None, names: dict[int, str]) -> None:
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = child.name
            for line in range(child.body[0].lineno, (child.end_lineno or 0) + 1):
                names[line] = inner
        _note_functions(child, inner, names)
