"""Runs a program as ``__main__``, the way the interpreter would have.

Rules of this file: the program sees the ``sys.argv``, ``sys.path[0]`` and
``__main__`` it would see without leakguard; they stay in place when its last line
has run, because threads, pickles and exit handlers still look there. (``runpy``
takes ``__main__`` away again, so it serves for archives only.)
"""

from __future__ import annotations

import builtins
import contextlib
import importlib.util
import io
import os
import runpy
import sys
import types
import zipfile
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakguard._core.records import LeakguardError
from leakguard._readers.source import is_own

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INTERRUPTED = 130  # 128 + SIGINT, as a shell counts


class NoProgramError(LeakguardError):
    """There is nothing to run under that name."""


@dataclass(frozen=True, slots=True)
class Program:
    """Something to run: ``argv`` as it will see it, and the directory it lies in."""

    argv: tuple[str, ...]
    root: str
    execute: Callable[[], None]


def script(path: str, arguments: Sequence[str]) -> Program:
    """Return ``python path arguments…``: a source file, a directory or an archive.

    Raises:
        NoProgramError: there is no such file, or nothing to run in it.

    """
    argv = (path, *arguments)
    real = Path(os.path.realpath(path))  # sys.path[0] is behind a script's links
    if not real.exists():
        raise NoProgramError(f"no such file: {path}")
    archive = real.is_dir() or zipfile.is_zipfile(real)
    if archive or real.suffix == ".pyc":
        if real.is_dir() and not (real / "__main__.py").is_file():
            raise NoProgramError(f"{path} is a directory without a __main__.py")
        root = str(real if archive else real.parent)
        return Program(argv, root, lambda: _run_archive(path, archive=archive))
    if not os.access(real, os.R_OK):
        raise NoProgramError(f"cannot read {path}: permission denied")
    return Program(argv, str(real.parent), lambda: _run_script(Path(path).absolute()))


def module(name: str, arguments: Sequence[str]) -> Program:
    """Return ``python -m name arguments…``; it is looked for when it is run."""
    return Program(("-m", *arguments), str(Path.cwd()), lambda: _run_module(name))


def run(program: Program) -> int:
    """Run it and return the exit code the interpreter would have ended with.

    An exception is shown the interpreter's way, without leakguard's frames. Ctrl-C
    is 130.

    Raises:
        NoProgramError: ``-m`` names no module that can be run.

    """
    sys.argv[:] = program.argv
    _replace_first_path(program.root)
    try:
        program.execute()
    except SystemExit as done:
        return _code_of(done)
    except NoProgramError:
        raise
    except KeyboardInterrupt as error:
        _show(error)
        return INTERRUPTED
    except BaseException as error:  # noqa: BLE001 - the interpreter's part is ours
        _show(error)
        return 1
    return 0


def wait_for_threads() -> None:
    """Wait for the program's non-daemon threads, as the interpreter does at its end.

    It asks ``threading`` the way the interpreter itself does: joining them one by
    one would wait for ever on idle pool workers, which this tells to leave.
    """
    threading = sys.modules.get("threading")
    shutdown = getattr(threading, "_shutdown", None)
    if shutdown is not None:
        shutdown()


def _run_script(path: Path) -> None:
    loader = SourceFileLoader("__main__", str(path))
    with io.open_code(str(path)) as stream:
        source = stream.read()
    code = compile(source, str(path), "exec", dont_inherit=True)
    _run_code(code, __file__=str(path), __loader__=loader, __spec__=None)


def _run_module(name: str) -> None:
    spec = _find(name)
    loader: Any = spec.loader
    code = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise NoProgramError(f"{name} is not Python source: it cannot be run")
    sys.argv[0] = spec.origin or name
    _run_code(
        code,
        __file__=spec.origin,
        __loader__=loader,
        __spec__=spec,
        __package__=spec.parent,
        __cached__=spec.cached,
    )


def _find(name: str) -> ModuleSpec:
    """Return where ``python -m name`` begins: a package begins in ``__main__``."""
    try:
        spec = importlib.util.find_spec(name)
    except (ModuleNotFoundError, ValueError) as error:
        missing = getattr(error, "name", name)
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise  # its package is there and needs something that is not
        spec = None
    if spec is None:
        raise NoProgramError(f"no module named {name!r}")
    if spec.submodule_search_locations is None:
        return spec
    inner = importlib.util.find_spec(f"{name}.__main__")
    if inner is None:
        raise NoProgramError(f"{name} is a package without a __main__: it cannot run")
    return inner


def _run_code(code: types.CodeType, **names: object) -> None:
    main = types.ModuleType("__main__")
    vars(main).update(__builtins__=builtins, __package__=None, __cached__=None)
    vars(main).update(names)
    sys.modules["__main__"] = main
    exec(code, vars(main))  # noqa: S102 - running a program is the job


def _run_archive(path: str, *, archive: bool) -> None:
    if archive:
        del sys.path[0]  # runpy puts the archive there itself
    runpy.run_path(path, run_name="__main__")


def _replace_first_path(root: str) -> None:
    """Put the program's directory where leakguard's own start put another."""
    # 3.10 has no safe_path (-P); isolated (-I) implies it everywhere.
    if not getattr(sys.flags, "safe_path", bool(sys.flags.isolated)):
        sys.path[:1] = [root]


def _code_of(done: SystemExit) -> int:
    if done.code is None:
        return 0
    if isinstance(done.code, int):
        return int(done.code)
    print(done.code, file=sys.stderr)
    return 1


def _show(error: BaseException) -> None:
    """Print an uncaught exception by ``sys.excepthook``, from the program's frames."""
    trace = error.__traceback__
    while trace is not None and _is_starter(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    hook = sys.excepthook
    with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr is gone
        try:
            hook(type(error), error.with_traceback(trace), trace)
        except Exception:  # noqa: BLE001 - as the interpreter does
            sys.__excepthook__(type(error), error, trace)


def _is_starter(file: str) -> bool:
    return is_own(file) or file.startswith("<frozen ") or file == runpy.__file__
