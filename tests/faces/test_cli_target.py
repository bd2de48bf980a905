"""What ``module:function`` and ``file.py:function`` find, and what they say if not."""

from __future__ import annotations

import inspect
import pickle
import sys
from typing import TYPE_CHECKING

import pytest

from leakguard._core.records import LeakguardError
from leakguard.cli.target import explain, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHOP = """
import dataclasses

@dataclasses.dataclass
class Basket:
    size: int = 0

    def pay(self): return "method"

    @staticmethod
    def count(number): return number

    @classmethod
    def new(cls): return cls()

    @property
    def broken(self): raise ZeroDivisionError

def browse(): return __name__
def checkout(i): return i
def both(cart, user): return None
def by_name(*, user): return None
def defaults(cart=1, *rest, user=None, **more): return None
async def serve(): return "served"
def lines(): yield 1
async def events(): yield 1
def _private(): return None
PRICE = 5
basket = Basket()
"""


@pytest.fixture(autouse=True)
def restored_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in a directory of its own; forget what was imported there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.py"
    path.write_text(SHOP, encoding="utf-8")
    return path


def error_of(text: str) -> str:
    """Return the sentence that a bad target is refused with: always one line."""
    with pytest.raises(LeakguardError) as caught:
        resolve(text)
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    "place", ["shop.py", "./shop.py", "{dir}/shop.py", "shop", "my shop/shop.py"]
)
def test_a_function_of_a_file_or_a_module_is_found(
    place: str, shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "my shop").mkdir()
    (tmp_path / "my shop" / "shop.py").write_text(SHOP, encoding="utf-8")
    target = resolve(place.format(dir=tmp_path) + ":browse")
    assert target.work() == "shop"
    assert target.file is not None
    assert target.file.endswith("shop.py")
    assert target.name == ("shop:browse" if place == "shop" else "shop.py:browse")
    inside = shop.parent / "my shop" if " " in place else shop.parent
    assert target.root == str(inside)


@pytest.mark.parametrize(
    "function",
    ["browse", "checkout", "defaults", "serve", "Basket.count", "basket.pay"],
)
@pytest.mark.usefixtures("shop")
def test_whatever_can_be_called_again_and_again_is_accepted(function: str) -> None:
    assert callable(resolve(f"shop.py:{function}").work)


@pytest.mark.usefixtures("shop")
def test_async_functions_stay_async() -> None:
    assert inspect.iscoroutinefunction(resolve("shop.py:serve").work)


@pytest.mark.usefixtures("shop")
def test_a_files_objects_can_be_pickled() -> None:
    basket = resolve("shop.py:Basket").work()
    assert pickle.loads(pickle.dumps(basket)) == basket


def test_a_package_is_found_by_its_dotted_name(tmp_path: Path) -> None:
    package = tmp_path / "stores" / "north"
    package.mkdir(parents=True)
    (tmp_path / "stores" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "shop.py").write_text(SHOP, encoding="utf-8")
    target = resolve("stores.north.shop:browse")
    assert target.work() == "stores.north.shop"
    assert target.root == str(tmp_path / "stores")


def test_a_builtin_without_a_signature_is_accepted() -> None:
    target = resolve("builtins:dict")
    assert (target.work, target.file, target.root) == (dict, None, None)


@pytest.mark.parametrize("name", ["json.py", "shop.v2.py", "my-shop.py"])
def test_awkward_file_names_do_no_harm(name: str, tmp_path: Path) -> None:
    import json

    (tmp_path / name).write_text("def work(): return __name__", encoding="utf-8")
    assert resolve(f"{name}:work").work() not in {"__main__", "json"}
    assert sys.modules["json"] is json


def test_a_file_finds_its_neighbours_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    directory = tmp_path / "inner"
    directory.mkdir()
    (directory / "colorsys.py").write_text("mine = True", encoding="utf-8")
    (directory / "app.py").write_text(
        "import colorsys\ndef work(): return colorsys.mine", encoding="utf-8"
    )
    assert resolve("inner/app.py:work").work() is True
    assert sys.path[0] == str(directory)


def test_main_blocks_stay_shut(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def work(): pass\nif __name__ == '__main__': raise SystemExit",
        encoding="utf-8",
    )
    resolve("app.py:work")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nowhere.py:work", "no such file: nowhere.py"),
        ("nowhere/app.py:work", "no such file: nowhere/app.py"),
        (r"C:\shop\app.py:work", r"no such file: C:\shop\app.py"),
        (r"C:\shop\app.py", r"no such file: C:\shop\app.py"),
        ("nowhere:work", "no module named 'nowhere' here"),
        ("nowhere.deep:work", "no module named 'nowhere.deep' here"),
        ("shop.deep:work", "no module named 'shop.deep' here"),
        ("nowhere", "no module named 'nowhere' here"),
        ("", "no module named '' here"),
        (".:work", "'.' is neither a module's name nor a file"),
        ("my-shop:work", "'my-shop' is neither a module's name nor a file"),
        ("shop:two words", "'shop:two words' is not a target: write module:function"),
        ("shop:browse()", "'shop:browse()' is not a target: write module:function"),
        ("./:work", "./ is a directory: name a file in it"),
        ("shop.py", "'shop.py' names no function: write shop.py:browse (it has browse"),
        ("shop.py:", "'shop.py:' names no function: write shop.py:browse"),
        ("shop", "'shop' names no function: write shop:browse (it has browse"),
        ("sys", "'sys' names no function: write sys:function"),
        ("shop.py:chekout", "shop.py has no 'chekout': did you mean 'checkout'?"),
        ("shop.py:xyz", "shop.py has no 'xyz': it has Basket, browse, checkout, both"),
        ("shop.py:Basket.nev", "shop.py:Basket has no 'nev': did you mean 'new'?"),
        ("shop.py:PRICE", "shop.py:PRICE is not a function: it is of type int"),
        ("shop.py:PRICE.gone", "shop.py:PRICE has no 'gone'"),
        ("shop.py:both", "shop.py:both needs the arguments cart, user: it is called"),
        ("shop.py:by_name", "shop.py:by_name needs the argument user: it is called"),
        ("shop.py:lines", "shop.py:lines is a generator: calling it runs none of its"),
        ("shop.py:events", "shop.py:events is an async generator"),
        ("shop.py:Basket.pay", "shop.py:Basket.pay is a method and needs an object"),
        ("shop.py:basket.broken", "shop.py:basket.broken raised ZeroDivisionError"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_each_mistake_has_its_sentence(target: str, says: str) -> None:
    assert error_of(target).startswith(says)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def work(:\n", "cannot import app.py: SyntaxError: "),
        ("\n\nimport nothing_there\n", "(app.py line 3)"),
        (
            "\nraise ValueError('two\\nlines')\n",
            "ValueError: two lines (app.py line 2)",
        ),
        ("raise KeyError\n", "cannot import app.py: KeyError (app.py line 1)"),
        ("import json\n\njson.loads('{')\n", "(app.py line 3)"),
        (
            "\nimport sys\nsys.exit(3)\n",
            "ends the program when it is imported (sys.exit",
        ),
        ("from . import other\n", "name it package.module:function"),
        ("x = b'\xff'\n", "cannot import app.py: SyntaxError"),
    ],
)
def test_a_failing_import_names_the_line(
    source: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(source, encoding="latin-1")
    assert says in error_of("app.py:work")
    assert "app" not in sys.modules


def test_a_module_that_fails_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("\nimport nothing_there\n", encoding="utf-8")
    assert error_of("app:work") == (
        "cannot import app: ModuleNotFoundError: No module named 'nothing_there' "
        "(app.py line 2)"
    )


def test_a_package_that_fails_names_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "stores").mkdir()
    (tmp_path / "stores" / "__init__.py").write_text("\n1 / 0\n", encoding="utf-8")
    assert "(__init__.py line 2)" in error_of("stores.shop:work")
    assert "(__init__.py line 2)" in error_of("stores.shop")


def test_ctrl_c_during_the_import_is_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        resolve("app.py:work")


def test_many_functions_are_not_all_listed(tmp_path: Path) -> None:
    functions = "\n".join(f"def work{n}(): pass" for n in range(20))
    (tmp_path / "app.py").write_text(functions, encoding="utf-8")
    for text in ("app.py", "app.py:unlike"):
        assert "work7, …" in error_of(text)
        assert "work8" not in error_of(text)


def test_an_exception_without_a_traceback_has_no_line() -> None:
    assert explain(ValueError("why"), None) == "ValueError: why"
