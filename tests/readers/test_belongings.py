"""What the process says it has open and alive."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

from leakguard._readers import belongings
from leakguard._readers.belongings import read_belongings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def _poll() -> None:
    await asyncio.sleep(3600)


def test_tasks_that_are_not_done_are_counted_by_their_coroutine() -> None:
    async def main() -> object:
        pending = [asyncio.ensure_future(_poll()) for _ in range(2)]
        await asyncio.sleep(0)
        found = read_belongings(objects=False)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return found.tasks

    assert asyncio.run(main()) == {
        "_poll": 2,
        f"{test_tasks_that_are_not_done_are_counted_by_their_coroutine.__name__}"
        ".<locals>.main": 1,
    }


def test_without_asyncio_there_are_no_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asyncio")
    assert read_belongings(objects=False).tasks == {}


def test_files_and_connections_are_told_apart() -> None:
    before = read_belongings(objects=False)
    with socket.socket(), open(__file__, "rb"):  # noqa: PTH123 - any file
        left = read_belongings(objects=False).left_since(before)
    kinds = {(item.kind, item.name) for item in left}
    assert kinds == {("files", __file__), ("connections", "socket")}


def test_a_descriptor_that_is_gone_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "3").write_text("no link")
    (tmp_path / "4").symlink_to("a.log")
    monkeypatch.setattr(belongings, "_FILES", str(tmp_path))
    assert read_belongings(objects=False).files == {"a.log": 1}


def test_what_the_kernel_hides_is_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(belongings, "_FILES", str(tmp_path / "none"))
    found = read_belongings()
    assert (found.files, found.connections) == (None, None)
    assert found.objects is not None
