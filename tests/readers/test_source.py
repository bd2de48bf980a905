"""Whose a file is, and which function holds a line."""

from __future__ import annotations

import ast
import json
import os
import site
import subprocess
import sys
import sysconfig
import warnings
from pathlib import Path
from textwrap import dedent

import pytest

import leakguard
from leakguard._readers import source
from leakguard._readers.source import SourceMap, is_own, library_directories, parse

PURELIB = sysconfig.get_paths()["purelib"]


@pytest.mark.parametrize(
    "file",
    [
        json.__file__,
        os.__file__,
        str(Path(PURELIB, "flask", "app.py")),
        "/opt/venv/lib/python3.12/site-packages/flask/app.py",
        "/usr/lib/python3/dist-packages/yaml/__init__.py",
        str(Path(site.getusersitepackages(), "flask", "app.py")),
        "<frozen importlib._bootstrap>",
        "<string>",
        "<attrs generated init shop.Order>",
        leakguard.__file__,
        source.__file__,
    ],
)
def test_libraries_and_generated_code_are_not_the_application(file: str) -> None:
    assert not SourceMap().in_app(file)


@pytest.mark.parametrize(
    "file",
    ["/srv/shop/app.py", "app.py", "<stdin>", "<stdin-3>", "<ipython-input-7-abc>"],
)
def test_everything_else_is_the_application(file: str) -> None:
    sources = SourceMap()
    assert sources.in_app(file)
    assert sources.in_app(file), "the same the second time"


@pytest.mark.parametrize(
    "root", ["/opt/lib/site-packages/shop", "/opt/lib/site-packages/shop/"]
)
def test_the_targets_own_directory_is_the_application(root: str) -> None:
    sources = SourceMap(root)
    assert sources.in_app("/opt/lib/site-packages/shop/views/page.py")
    assert not sources.in_app("/opt/lib/site-packages/shopping/page.py")
    assert not sources.in_app("/opt/lib/site-packages/flask/app.py")


def test_packages_installed_below_the_target_are_not_the_application() -> None:
    sources = SourceMap("/srv/shop")
    assert sources.in_app("/srv/shop/app.py")
    assert not sources.in_app("/srv/shop/.venv/lib/python3/site-packages/x.py")


def test_leakguard_is_never_the_application() -> None:
    package = Path(leakguard.__file__).parent
    assert not SourceMap(str(package)).in_app(source.__file__)
    assert is_own(source.__file__)
    assert not is_own(json.__file__)
    assert not is_own(str(package) + "_extras/plugin.py")


def test_leakguard_knows_itself_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "leakguard").symlink_to(Path(leakguard.__file__).parent)
    program = (
        "from leakguard._readers import source; print(source.is_own(source.__file__))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "True"


@pytest.mark.parametrize(
    ("file", "relative"),
    [
        ("/opt/venv/lib/python3/site-packages/flask/app.py", "flask/app.py"),
        ("/usr/lib/python3/dist-packages/yaml/nodes.py", "yaml/nodes.py"),
        ("/srv/shop/views/page.py", "views/page.py"),
        (json.__file__, "json/__init__.py"),
        ("/elsewhere/deep/in/app/page.py", "app/page.py"),
        ("C:\\elsewhere\\app\\page.py", "app/page.py"),
        ("page.py", "page.py"),
        ("<string>", "<string>"),
    ],
)
def test_a_file_has_the_same_relative_name_on_every_machine(
    file: str, relative: str
) -> None:
    assert SourceMap("/srv/shop").relative(file) == relative


def test_the_pure_layer_gets_the_answers_as_functions(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text("def f():\n    return 1\n", encoding="utf-8")
    names = SourceMap(str(tmp_path)).names()
    assert names.in_app(str(file))
    assert not names.is_own(str(file))
    assert names.relative(str(file)) == "shop.py"
    assert names.function_at(str(file), 2) == "f"


def test_library_directories_end_so_that_no_longer_name_matches() -> None:
    assert all(path.endswith(os.sep) for path in library_directories())
    assert PURELIB + os.sep in library_directories()


MODULE = dedent("""\
    import functools

    LIMIT = 3


    def plain(x):
        return x


    @functools.lru_cache(
        maxsize=None,
    )
    def decorated(x):
        def inner(y):
            return [
                y,
            ]

        return inner(x)


    class Shop:
        name = "shop"

        def sell(self):
            return lambda: self

        class Shelf:
            async def fetch(self):
                return 1

    if LIMIT:
        def conditional():
            return 1
    """)


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("LIMIT = 3", None),
        ("return x", "plain"),
        ("def plain", "plain"),
        ("@functools", "decorated"),
        ("maxsize=None", "decorated"),
        ("return inner(x)", "decorated"),
        ("def inner", "decorated.inner"),
        ("    y,", "decorated.inner"),
        ("name =", None),
        ("return lambda", "Shop.sell"),
        ("        return 1", "Shop.Shelf.fetch"),
        ("def conditional", "conditional"),
    ],
)
def test_a_line_belongs_to_its_innermost_function(
    tmp_path: Path, text: str, function: str | None
) -> None:
    file = tmp_path / "shop.py"
    file.write_text(MODULE, encoding="utf-8")
    line = next(n for n, s in enumerate(MODULE.splitlines(), start=1) if text in s)
    assert SourceMap().function_at(str(file), line) == function


def test_a_file_is_read_once_for_all_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text("def f():\n    return 1\n", encoding="utf-8")
    sources = SourceMap()
    assert sources.function_at(str(file), 2) == "f"
    file.unlink()
    assert sources.function_at(str(file), 1) == "f"
    assert SourceMap().function_at(str(file), 1) is None


@pytest.mark.parametrize(
    "content",
    [
        b"def half(",
        b"def odd():\n  return 1\n return 2\n",
        b"# coding: no-such-encoding\n",
        b"name = '\xff\xfe'\n",
        b"zero = '\x00'\n",
    ],
)
def test_a_file_that_is_no_python_names_no_function(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "shop.py"
    file.write_bytes(content)
    assert parse(str(file)) is None
    assert SourceMap().function_at(str(file), 1) is None


@pytest.mark.parametrize("name", ["missing.py", ".", "shop.py/inner.py", "a\0b.py"])
def test_a_file_that_cannot_be_read_names_no_function(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "shop.py").write_text("")
    assert SourceMap().function_at(str(tmp_path / name), 1) is None


def test_a_file_says_its_own_encoding(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_bytes("# coding: latin-1\ndef caf\xe9():\n    pass\n".encode("latin-1"))
    assert SourceMap().function_at(str(file), 3) == "caf\xe9"


@pytest.mark.parametrize("failures", [2, 3])
def test_a_parser_that_other_threads_disturb_is_asked_again(
    failures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "shop.py"
    file.write_text("def sell(): pass\n", "utf-8")
    real, left = ast.parse, [SystemError("depth mismatch")] * failures

    def disturbed(source: str) -> ast.Module:
        if left:
            raise left.pop()
        return real(source)

    monkeypatch.setattr(ast, "parse", disturbed)
    assert (parse(str(file)) is None) == (failures == 3)


def test_a_huge_file_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "shop.py"
    file.write_text("def f():\n    pass\n")
    monkeypatch.setattr(source, "_MAX_SOURCE_BYTES", 10)
    assert parse(str(file)) is None


def test_reading_a_file_gives_no_warning(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text('def f():\n    return "\\d"\n')
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        assert SourceMap().function_at(str(file), 2) == "f"
    assert [str(warning.message) for warning in shown] == []


def test_a_file_too_deep_for_the_parser_names_no_function(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text("x = " + "-" * 20_000 + "1\n")
    assert parse(str(file)) is None


def test_a_line_calls_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "codec.py"
    file.write_text(
        "address = libc.malloc(len(data))\n"
        "found = make()(\n"
        "    library.of[0].thing(), parse(text)\n"
        ")\n"
    )
    sources = SourceMap()
    assert sources.called_at(str(file), 1) == ("libc.malloc", "len")
    assert sources.called_at(str(file), 3) == ("parse",)
    assert sources.called_at(str(file), 2) == ("make",)
    assert sources.called_at(str(tmp_path / "gone.py"), 1) == ()
