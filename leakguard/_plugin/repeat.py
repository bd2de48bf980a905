"""Run one test again and again, with its function fixtures set up anew for each run.

Rules of this file: the only place that uses pytest's internals. A test is left torn
down; pytest's own tear-down then finds nothing more to do for it. What pytest itself
keeps of each run is dropped.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from leakguard._plugin.marks import Per


def repeater(item: pytest.Function, per: Per) -> Callable[[], None]:
    """Return what runs the test once more: set up, called, torn down; or just called.

    It raises what the test or a fixture raises.
    """
    if per == "call":
        return functools.partial(_call, item)
    tear_down(item)

    def run() -> None:
        try:
            _set_up(item)
            _call(item)
        finally:
            tear_down(item)
            _forget_finished(item)

    return run


def tear_down(item: pytest.Function) -> None:
    """Tear down the test and its function fixtures, and nothing around it."""
    _let_go_of_directory(item)
    _state(item).teardown_exact(item.parent)


def _set_up(item: pytest.Function) -> None:
    item._initrequest()  # noqa: SLF001 - as plugins that run tests again do
    _state(item).setup(item)


def _call(item: pytest.Function) -> None:
    item.runtest()
    # A unittest.TestCase puts its failures there instead of raising them.
    failed: Any = getattr(item, "_excinfo", None)
    if failed:
        raise failed.pop(0).value


def _state(item: pytest.Function) -> Any:  # noqa: ANN401 - private to pytest
    return item.session._setupstate  # noqa: SLF001 - as above


def _let_go_of_directory(item: pytest.Function) -> None:
    """Remove the directory of ``tmp_path``, or each run would leave one behind.

    Its tear-down wants to know how the test went, which nobody has told it yet.
    """
    with contextlib.suppress(ImportError):
        from _pytest.tmpdir import tmppath_result_key

        item.stash.setdefault(tmppath_result_key, {})
    definitions = item._fixtureinfo.name2fixturedefs.get("tmp_path", ())  # noqa: SLF001 - as above
    path: Any = item.funcargs.get("tmp_path")
    if path and definitions[-1].func.__module__ == "_pytest.tmpdir":
        shutil.rmtree(path, ignore_errors=True)


def _forget_finished(item: pytest.Function) -> None:
    """Have the wider fixtures forget the function fixtures that have used them.

    They would finish each once more in the end: one more for each run. Also what was
    only asked for while the test ran, and what a plugin made for it, is among them.
    """
    request: Any = item._request  # noqa: SLF001 - as above
    known = [one for several in request._arg2fixturedefs.values() for one in several]  # noqa: SLF001 - as above
    for definition in (*known, *request._fixture_defs.values()):  # noqa: SLF001 - as above
        kept = getattr(definition, "_finalizers", None)
        if definition.scope != "function" and isinstance(kept, list):
            kept[:] = [call for call in kept if not _is_over(call)]


def _is_over(call: object) -> bool:
    """Return whether it would finish a function fixture, which has been finished."""
    if not isinstance(call, functools.partial):
        return False
    return getattr(getattr(call.func, "__self__", None), "scope", None) == "function"
