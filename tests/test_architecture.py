"""The house rules, read off the source: layers, cycles, sizes, the cost of import."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: layer -> the layers it may import. Every other module is a face and may import all.
MAY_IMPORT = {
    "_core": {"_core"},
    "_readers": {"_readers", "_core"},
    "_runtime": {"_runtime", "_readers", "_core"},
    "_instruments": {"_instruments", "_runtime", "_readers", "_core"},
    "_render": {"_render", "_core"},
}
CORE_STDLIB = """__future__ array bisect collections dataclasses enum functools hashlib
    heapq itertools math operator re typing"""
MAX_MODULE_LINES, MAX_FUNCTION_LINES, MAX_IMPORTED_MODULES = 400, 40, 80


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


SOURCES = {
    _name(path).removesuffix(".__init__"): path.read_text("utf-8")
    for path in sorted((ROOT / "leakguard").rglob("*.py"))
}
TREES = {name: ast.parse(source) for name, source in SOURCES.items()}


def _imports(nodes: list[ast.AST]) -> set[str]:
    """Return the modules the import statements among ``nodes`` name."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (named & TREES.keys()) or {str(node.module)}
    return found


def _run_by_import(tree: ast.Module) -> list[ast.AST]:
    """Return the nodes an import runs: no function body, no ``if TYPE_CHECKING``."""
    todo: list[ast.AST] = list(tree.body)
    seen: list[ast.AST] = []
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            seen.append(node)
            todo += ast.iter_child_nodes(node)
    return seen


def _layer(module: str) -> str:
    return f"{module}..".split(".")[1]


@pytest.mark.parametrize("module", TREES)
def test_imports_point_one_way(module: str) -> None:
    named = _imports(list(ast.walk(TREES[module])))
    ours = {name for name in named if name.split(".")[0] == "leakguard"}
    layer = _layer(module)
    if layer in MAY_IMPORT:
        # The bare package holds the version and loads nothing of ours.
        assert {_layer(name) for name in ours - {"leakguard"}} <= MAY_IMPORT[layer]
    if layer == "_core":
        stdlib = {name.split(".")[0] for name in named - ours}
        assert stdlib <= set(CORE_STDLIB.split())


def test_imports_make_no_cycle() -> None:
    graph = {name: _imports(_run_by_import(tree)) for name, tree in TREES.items()}
    ours = {name: named & TREES.keys() for name, named in graph.items()}
    TopologicalSorter(ours).prepare()  # raises CycleError, naming the cycle


@pytest.mark.parametrize("module", TREES)
def test_modules_and_functions_are_small(module: str) -> None:
    assert len(SOURCES[module].splitlines()) <= MAX_MODULE_LINES
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = node.body[:1] if ast.get_docstring(node) else []
            counted = [(node.lineno, node.end_lineno or 0, 1)]
            counted += [(doc.lineno, doc.end_lineno or 0, -1) for doc in docstring]
            lines = sum(sign * (last - first + 1) for first, last, sign in counted)
            assert lines <= MAX_FUNCTION_LINES, f"{node.name}: {lines} lines"


def _loaded(*options: str, then: str = "pass") -> set[str]:
    """Return the modules loaded by ``import leakguard`` and ``then``, in a child."""
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        before = set(sys.modules)
        import leakguard
        {then}
        print(*set(sys.modules) - before)
    """
    command = [sys.executable, "-I", *options, "-c", code]
    return set(subprocess.check_output(command, text=True, timeout=60).split())


def test_importing_leakguard_loads_few_modules() -> None:
    # Without site (-S) nothing was loaded for us beforehand, so all is counted.
    assert len(_loaded("-S")) <= MAX_IMPORTED_MODULES


def test_the_public_names_load_nothing_of_a_third_party() -> None:
    loaded = _loaded(then="[getattr(leakguard, name) for name in leakguard.__all__]")
    packages = {name.split(".")[0] for name in loaded}
    assert packages - sys.stdlib_module_names == {"leakguard"}
