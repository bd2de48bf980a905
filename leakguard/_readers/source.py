"""What a source file can tell: whose it is, and which function holds a line.

Reads files, keeps nothing between reports (a ``SourceMap`` lives as long as one).
"""

from __future__ import annotations

import ast
import contextlib
import os
import site
import sysconfig
import tokenize
import warnings
from pathlib import Path

from leakguard._core.suspects import Names
from leakguard._readers.interpreter import installed_version, read_collector

#: Directory names that hold installed packages, whatever the layout around them.
_PACKAGE_DIRECTORIES = ("site-packages", "dist-packages")
_OWN_DIRECTORIES = tuple(
    str(path.parent.parent) + os.sep
    for path in (Path(__file__).absolute(), Path(__file__).resolve())
)
#: Larger files are not parsed for function names: 2 MiB of source is 0.5 s of ast.
_MAX_SOURCE_BYTES = 2 * 1024 * 1024
_ATTEMPTS = 3


def library_directories() -> tuple[str, ...]:
    """Return where the standard library and installed packages live, resolved."""
    paths = sysconfig.get_paths()
    found = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found.update(site.getsitepackages())
    found.add(site.getusersitepackages())
    found.update({os.path.realpath(path) for path in found})
    return tuple(sorted(path.rstrip(os.sep) + os.sep for path in found))


class SourceMap:
    """Answers questions about source lines for the length of one report.

    ``app_root`` names a directory whose files count as the application's even when
    they lie among installed packages (the target of ``leakguard diagnose``).
    """

    def __init__(self, app_root: str | None = None) -> None:
        """Remember the application's root; reads nothing yet."""
        self._root = app_root.rstrip(os.sep) + os.sep if app_root else None
        self._libraries = library_directories()
        self._functions: dict[str, list[tuple[int, int, str]]] = {}
        self._in_app: dict[str, bool] = {}

    def in_app(self, file: str) -> bool:
        """Return whether ``file`` is the application's own code."""
        known = self._in_app.get(file)
        if known is None:
            known = self._in_app[file] = self._belongs(file)
        return known

    def function_at(self, file: str, line: int) -> str | None:
        """Return the qualified name of the innermost function around a line.

        ``None`` for a module's top level and where the source cannot be read.
        """
        spans = self._functions.get(file)
        if spans is None:
            spans = self._functions[file] = _function_spans(file)
        best: tuple[int, str] | None = None
        for first, last, name in spans:
            if first <= line <= last and (best is None or last - first <= best[0]):
                best = (last - first, name)
        return best[1] if best else None

    def called_at(self, file: str, line: int) -> tuple[str, ...]:
        """Return the dotted names that a line calls, the outermost call first."""
        tree = parse(file)
        return tuple(
            name
            for node in ast.walk(tree or ast.Module([], []))
            if isinstance(node, ast.Call)
            and node.lineno <= line <= (node.end_lineno or node.lineno)
            and (name := _dotted(node.func))
        )

    def relative(self, file: str) -> str:
        """Return a file's path below the application, its packages or the stdlib."""
        for part in _PACKAGE_DIRECTORIES:
            if f"/{part}/" in file:
                return file.rsplit(f"/{part}/", 1)[1]
        for root in (self._root, *self._libraries):
            if root and file.startswith(root):
                return file[len(root) :]
        return "/".join(file.replace("\\", "/").split("/")[-2:])

    def names(self) -> Names:
        """Return what the pure layer may ask of sources, and of what surrounds them."""
        return Names(
            self.in_app,
            is_own,
            self.relative,
            self.function_at,
            read_collector(),
            installed_version,
        )

    def _belongs(self, file: str) -> bool:
        if file.startswith("<"):
            # code of exec and of generated methods; a notebook's and a prompt's cells
            # are the user's own
            return file.startswith(("<stdin", "<ipython-input"))
        if is_own(file):
            return False
        if self._root and file.startswith(self._root):
            inner = file[len(self._root) :]
            return not any(part in inner for part in _PACKAGE_DIRECTORIES)
        if any(part in _PACKAGE_DIRECTORIES for part in Path(file).parts):
            return False
        return not file.startswith(self._libraries)


def is_own(file: str) -> bool:
    """Return whether ``file`` is part of leakguard itself."""
    return file.startswith(_OWN_DIRECTORIES)


def parse(file: str) -> ast.Module | None:
    """Return the syntax tree of a source file, or ``None`` when there is none."""
    try:
        if Path(file).stat().st_size > _MAX_SOURCE_BYTES:
            return None
        with tokenize.open(file) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the file's own, told when it was loaded
            return _tree_of(stream.read())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _tree_of(source: str) -> ast.Module | None:
    """Parse, again if need be.

    CPython 3.11 has one count of the depth for all threads, and where it finds it
    changed raises a ``SystemError`` (see python/cpython#106905).
    """
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(SystemError):
            return ast.parse(source)
    return None


def _dotted(node: ast.expr) -> str:
    """Return ``"library.make"`` for names and attributes, and nothing for others."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([node.id, *reversed(parts)])


def _function_spans(file: str) -> list[tuple[int, int, str]]:
    tree = parse(file)
    spans: list[tuple[int, int, str]] = []
    pending: list[tuple[ast.AST, str]] = [(tree, "")] if tree else []
    while pending:
        node, prefix = pending.pop()
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                name = f"{prefix}{child.name}"
                first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                spans.append((first, child.end_lineno or child.lineno, name))
                name += "."
            elif isinstance(child, ast.ClassDef):
                name = f"{prefix}{child.name}."
            pending.append((child, name))
    return spans
