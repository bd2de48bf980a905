"""From ``module:function`` or ``file.py:function`` to something that can be called.

Rules of this file: whatever is wrong with a target, the error is one sentence that
names it, with the line in the target's file where there is one.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakguard._core.records import LeakguardError
from leakguard.cli import callables

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

_DOTTED_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\Z")


@dataclass(frozen=True, slots=True)
class Target:
    """What to call, how to speak of it, its file, and the directory of its code."""

    work: Callable[..., object]
    name: str
    file: str | None
    root: str | None


def resolve(text: str) -> Target:
    """Import and return what ``module:function`` or ``file.py:function`` names.

    Raises:
        LeakguardError: it is unknown, fails to import, or cannot be called with no
            argument or with one.

    """
    place, function = _split(text)
    is_file = _names_a_file(place)
    if not function:
        raise LeakguardError(_which_function(text, place, is_file=is_file))
    module = _load_file(place) if is_file else _load_module(place)
    where = Path(place).name if is_file else place
    work = callables.find(module, function, where)
    file = getattr(module, "__file__", None)
    return Target(work, f"{where}:{function}", file, _root_of(module, file))


def explain(error: BaseException, file: str | None) -> str:
    """Return an exception as one line: type, message, and the line in ``file``.

    Without a frame in ``file`` the innermost frame of anybody is named.
    """
    message = " ".join(str(error).split())
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if isinstance(error, SyntaxError):
        place = (error.filename or file or "?", error.lineno)
        text = f"{type(error).__name__}: {error.msg}"
    else:
        place = _place(error.__traceback__, file)
    if place[1] is None:
        return text
    return f"{text} ({Path(place[0]).name} line {place[1]})"


def _root_of(module: ModuleType, file: str | None) -> str | None:
    """Return the directory of a module's outermost package, or of its file."""
    if file is None:
        return None
    package = (module.__package__ or "").split(".")[0]
    outermost = getattr(sys.modules.get(package), "__file__", None)
    return str(Path(outermost or file).parent)


def _split(text: str) -> tuple[str, str]:
    """Part a target at its last colon, unless that is the one of a drive letter."""
    place, colon, function = text.rpartition(":")
    if colon and place and _DOTTED_NAME.match(function):
        return place, function
    if colon and not function:
        return place, ""
    if colon and not _names_a_file(text):
        raise LeakguardError(
            f"{text!r} is not a target: write module:function or file.py:function"
        )
    return text, ""


def _names_a_file(place: str) -> bool:
    return (
        place.endswith((".py", ".pyw"))
        or any(separator in place for separator in "/\\")
        or Path(place).is_file()
    )


def _which_function(text: str, place: str, *, is_file: bool) -> str:
    """Return the error for a target that names no function: those it could name."""
    if is_file:
        file: str | None = str(_existing(place))
    else:
        _put_on_path(str(Path.cwd()))
        with _importing(place, None):
            spec = importlib.util.find_spec(place) if place else None
        if spec is None:
            raise LeakguardError(_no_module(place))
        file = spec.origin
    found = callables.defined_in(file) if file else ()
    if not found:
        return f"{text!r} names no function: write {place}:function"
    others = ", ".join(found[: callables.SHOWN]) + (
        ", …" if len(found) > callables.SHOWN else ""
    )
    return f"{text!r} names no function: write {place}:{found[0]} (it has {others})"


def _load_module(name: str) -> ModuleType:
    """Import a module by its dotted name, as ``python -m`` would find it."""
    _put_on_path(str(Path.cwd()))
    if not _DOTTED_NAME.match(name):
        raise LeakguardError(f"{name!r} is neither a module's name nor a file")
    with _importing(name, None):
        return importlib.import_module(name)


def _load_file(place: str) -> ModuleType:
    """Import a file under its own name, with its directory on the path.

    Its name and not ``__main__``, so that ``if __name__ == "__main__"`` stays shut
    and pickles and dataclasses find their module.
    """
    path = _existing(place)
    _put_on_path(str(path.parent))
    name = path.stem.replace(".", "_")
    if name in sys.modules or name in sys.stdlib_module_names:
        name = f"{name}_target"  # json.py is not to replace json
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None:
        raise LeakguardError(f"{place} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _importing(path.name, str(path)):
            loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _existing(place: str) -> Path:
    path = Path(place)
    if path.is_dir():
        raise LeakguardError(f"{place} is a directory: name a file in it")
    if not path.is_file():
        raise LeakguardError(f"no such file: {place}")
    return Path(os.path.realpath(path))  # python, too, follows a script's links


def _put_on_path(directory: str) -> None:
    """Let imports look here first, as the interpreter does for what it runs."""
    # 3.10 has no safe_path (-P); isolated (-I) implies it everywhere.
    safe = getattr(sys.flags, "safe_path", bool(sys.flags.isolated))
    if not safe and sys.path[:1] != [directory]:
        sys.path.insert(0, directory)
    importlib.invalidate_caches()


class _importing(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a verb
    """Turns what an import raises into one sentence."""

    def __init__(self, name: str, file: str | None) -> None:
        self._name = name
        self._file = file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, KeyboardInterrupt):
            return
        file = self._file or _file_of(self._name)
        raise LeakguardError(_import_failure(self._name, file, error)) from None


def _import_failure(name: str, file: str | None, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and _is_itself(error.name, name):
        return _no_module(name)
    if isinstance(error, SystemExit):
        line = _place(error.__traceback__, file)[1]
        return (
            f"{name} ends the program when it is imported (sys.exit at line {line}): "
            'keep that under if __name__ == "__main__"'
        )
    text = f"cannot import {name}: {explain(error, file)}"
    if isinstance(error, ImportError) and "no known parent package" in str(error):
        text += "; it is part of a package, so name it package.module:function"
    return text


def _is_itself(missing: str | None, name: str) -> bool:
    return missing is not None and (name == missing or name.startswith(f"{missing}."))


def _no_module(name: str) -> str:
    return f"no module named {name!r} here ({Path.cwd()}) or among those installed"


def _file_of(name: str) -> str | None:
    """Return the source file of a module whose import just failed, if it has one."""
    try:
        spec: Any = importlib.util.find_spec(name)
    except Exception:  # noqa: BLE001 - its package failed to import
        return None
    return getattr(spec, "origin", None)


def _place(trace: TracebackType | None, file: str | None) -> tuple[str, int | None]:
    """Return where an exception passed through ``file``, or else its innermost."""
    found: tuple[str, int | None] = (file or "?", None)
    innermost = found
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        innermost = (name, trace.tb_lineno)
        if file is not None and name == file:
            found = innermost
        trace = trace.tb_next
    return found if found[1] is not None else innermost
