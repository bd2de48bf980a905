"""The demo's second half: the shop at its memory limit, killed or selective."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from leakguard.cli.demo import limited, survival
from leakguard.cli.demo.survival import Life

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = Path(survival.__file__).with_name("app.py")
ALIVE = Life(1, 20.0, None, Counter({("orders", 200): 5, ("orders", 503): 7}))
DEAD = Life(1, 9.6, -9, Counter({("orders", 200): 5, ("prices", 200): 4}))


@contextlib.contextmanager
def no_group() -> Iterator[None]:
    yield None


def test_what_is_told_of_both_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    lives = {"bare": DEAD, "guarded": ALIVE}
    asked: list[tuple[str, float]] = []

    def live(_source: Path, _group: object, how: str, seconds: float) -> Life:
        asked.append((how, seconds))
        return lives[how]

    monkeypatch.setattr(survival, "live", live)
    monkeypatch.setattr(survival, "_group", no_group)
    survived, lines = survival.survives(APP)
    assert survived
    assert asked == [("bare", survival.MOST_SECONDS), ("guarded", 2 * 9.6)]
    title, bare, guarded = lines
    assert "an RLIMIT (no control group can be made here), 24 MiB above" in title
    assert (
        "dead after 10 s (exit 137): 5 orders taken, 0 refused with 503, 4 of" in bare
    )
    assert "alive after 20 s: 5 orders taken, 7 refused with 503, 0 of 0" in guarded


@pytest.mark.parametrize("error", [("prices", 503), ("orders", 500)])
def test_an_error_is_no_survival(error: tuple[str, int]) -> None:
    assert not Life(answers=Counter([error])).is_alive
    assert not DEAD.is_alive


def test_where_there_is_neither_group_nor_proc_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(survival, "_group", no_group)
    monkeypatch.setattr(survival.Path, "exists", lambda _path: False)
    survived, (line,) = survival.survives(APP)
    assert survived
    assert "unsupported" in line


def test_without_mounts_there_is_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(survival.Path, "read_text", fail)
    with survival._group() as group:
        assert group is None


def test_a_mount_without_memory_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = f"30 1 0:26 / {tmp_path} rw - cgroup2 cgroup2 rw\n"
    monkeypatch.setattr(survival.Path, "read_text", lambda *_: mount)
    with survival._group() as group:
        assert group is None
    assert list(tmp_path.iterdir()) == []


def test_without_a_group_the_kernel_limits_its_data() -> None:
    code = (
        "from leakguard.cli.demo.limited import _limit\n"
        "print(_limit('-', 1 << 26))\n"
        "try:\n    kept = b'x' * (1 << 27)\nexcept MemoryError:\n    print('refused')\n"
    )
    home = str(Path(survival.__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": home},
        capture_output=True,
        text=True,
        check=True,
    )
    limit, refused = done.stdout.split()
    assert int(limit) > 1 << 26
    assert refused == "refused"
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] != int(limit)


def test_a_groups_limit_is_what_it_uses_and_the_headroom(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max")
    (tmp_path / "memory.current").write_text("1000\n")
    assert limited._limit(str(tmp_path), 24) == 1024
    assert (tmp_path / "memory.max").read_text() == "1024"
    with pytest.raises(SystemExit, match="no memory limit can be set"):
        limited._limit(str(tmp_path / "none"), 24)
