"""The board of a service's workers: private, whole, and without the dead."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

import leakguard
from leakguard._core.records import Unknown
from leakguard._readers.lives import started_of
from leakguard._runtime import board as module
from leakguard._runtime.board import MOST_BYTES, WANTED_SECONDS, Board, Posting

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = str(Path(leakguard.__file__).parents[1])
PROGRAM = """
import sys
sys.path.insert(0, {source!r})
from leakguard._runtime.board import Board
print(Board({directory!r}).post("state", "the other"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "board"


@pytest.fixture
def other(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Another worker that has posted, and lives until it is told to end."""
    program = PROGRAM.format(source=SOURCE, directory=str(place))
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "None\n"
        yield worker
        worker.kill()


def read(board: Board, kind: str = "state") -> dict[int, str]:
    found = board.read(kind)
    assert isinstance(found, list), found
    return {posting.pid: posting.text for posting in found}


def plant(place: Path, pid: int, started: int, group: str = "00000000") -> Path:
    place.mkdir(0o700, exist_ok=True)
    file = place / f"{group}.{pid}.{started}.state"
    file.write_text("planted")
    return file


def test_what_is_posted_is_read_and_replaced(place: Path) -> None:
    board = Board(str(place))
    assert board.read("state") == []
    assert board.post("state", "one") is None
    assert board.post("report", "a report") is None
    assert board.post("state", "two, and Größe") is None
    (found,) = Board(str(place)).read("state")  # type: ignore[misc]
    assert isinstance(found, Posting)
    assert (found.pid, found.text) == (os.getpid(), "two, and Größe")
    assert 0 <= found.age_seconds < 60
    assert read(board, "report") == {os.getpid(): "a report"}
    assert len(list(place.iterdir())) == 2
    assert place.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in place.iterdir()} == {0o600}


def test_every_worker_reads_what_all_have_posted_until_one_dies(
    place: Path, other: subprocess.Popen[str]
) -> None:
    board = Board(str(place))
    board.post("state", "mine")
    assert read(board) == {os.getpid(): "mine", other.pid: "the other"}
    other.kill()  # it is a zombie now: nobody has waited for it
    deadline = time.monotonic() + 10
    while started_of(other.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert read(board) == {os.getpid(): "mine"}
    assert len(list(place.iterdir())) == 1


def test_a_process_that_got_the_number_of_a_dead_one_is_another(place: Path) -> None:
    started = started_of(os.getpid())
    assert started is not None
    file = plant(place, os.getpid(), started + 1)
    assert read(Board(str(place))) == {}
    assert not file.exists()


def test_the_dead_of_other_services_are_taken_away_and_the_living_stay(
    place: Path, other: subprocess.Popen[str]
) -> None:
    started = started_of(other.pid)
    assert started is not None
    foreign = plant(place, other.pid, started, "0badcafe")
    dead = plant(place, 2**30, 5, "0badcafe")
    half = place / f".0badcafe.{2**30}.5.state-0011aabb"
    half.write_text("half")
    writing = place / f".0badcafe.{other.pid}.{started}.state-0011aabb"
    writing.write_text("half")
    assert read(Board(str(place))) == {other.pid: "the other"}
    assert foreign.exists()
    assert writing.exists()
    assert not dead.exists()
    assert not half.exists()


def test_what_is_no_posting_is_left_alone(place: Path) -> None:
    place.mkdir(0o700)
    names = ("notes.txt", "00000000.x.1.state", f"00000000.{'9' * 30}.1.state", ".git")
    for name in names:
        (place / name).write_text("mine")
    assert read(Board(str(place))) == {}
    assert sorted(file.name for file in place.iterdir()) == sorted(names)


def test_a_link_is_not_followed(place: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    started = started_of(os.getpid())
    place.mkdir(0o700)
    (place / f"00000000.{os.getpid()}.{started}.state").symlink_to(secret)
    found = Board(str(place)).read("state")
    assert isinstance(found, Unknown)
    assert Board(str(place)).post("state", "mine") is None  # replaced, not written to
    assert read(Board(str(place))) == {os.getpid(): "mine"}
    assert secret.read_text() == "secret"


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o777])
def test_a_directory_that_others_may_look_into_is_not_used(
    place: Path, mode: int
) -> None:
    place.mkdir()
    place.chmod(mode)
    board = Board(str(place))
    refused = board.post("state", "mine")
    assert isinstance(refused, Unknown)
    assert "this user's alone" in refused.reason
    assert isinstance(board.read("state"), Unknown)
    assert isinstance(board.want("x"), Unknown)
    assert board.wanted() == {}
    assert list(place.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_directory_of_another_user_is_not_used(place: Path) -> None:
    place.mkdir(0o700)
    os.chown(place, 12345, 12345)
    assert isinstance(Board(str(place)).post("state", "mine"), Unknown)


def test_neither_a_link_nor_a_file_is_a_directory(place: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(0o700)
    place.symlink_to(tmp_path / "real")
    assert isinstance(Board(str(place)).post("state", "mine"), Unknown)
    place.unlink()
    place.write_text("a file")
    assert isinstance(Board(str(place)).post("state", "mine"), Unknown)
    assert isinstance(Board(str(tmp_path / "no" / "such")).read("state"), Unknown)
    assert isinstance(Board("\0").read("state"), Unknown)


def test_a_full_disk_leaves_what_was_there(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(str(place))
    board.post("state", "old")

    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert board.post("state", "new") == Unknown("No space left on device")
    assert read(board) == {os.getpid(): "old"}
    assert len(list(place.iterdir())) == 1


def test_too_much_is_not_posted(place: Path) -> None:
    board = Board(str(place))
    assert isinstance(board.post("state", "x" * (MOST_BYTES + 1)), Unknown)
    assert board.post("state", "x" * MOST_BYTES) is None
    assert read(board) == {os.getpid(): "x" * MOST_BYTES}


def test_a_directory_that_was_taken_away_is_made_again(place: Path) -> None:
    board = Board(str(place))
    board.post("state", "one")
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    assert board.post("state", "two") is None
    assert read(board) == {os.getpid(): "two"}


def test_a_posting_that_goes_while_it_is_read_is_empty(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(str(place))
    board.post("state", "one")
    whole = module._files

    def vanishing(*arguments: object) -> object:
        found = list(whole(*arguments))  # type: ignore[arg-type]
        for file in place.iterdir():
            file.unlink()
        return found

    monkeypatch.setattr(module, "_files", vanishing)
    assert read(board) == {os.getpid(): ""}


def test_what_is_wanted_is_wanted_of_all_for_a_while(place: Path) -> None:
    now = [time.time()]
    board = Board(str(place), clock=lambda: now[0])
    assert board.want("baseline-one") is None
    assert set(Board(str(place)).wanted()) == {"baseline-one"}
    now[0] += WANTED_SECONDS - 10
    assert WANTED_SECONDS - 20 < board.wanted()["baseline-one"] < WANTED_SECONDS
    now[0] += 20
    assert board.wanted() == {}
    assert list(place.iterdir()) == []


def test_without_a_directory_it_is_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert Board().post("state", "mine") is None
    (home,) = tmp_path.iterdir()
    assert home.name == f"leakguard-{os.geteuid()}"
    assert read(Board()) == {os.getpid(): "mine"}
    # Another service of the same parent has another command.
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--another"])
    assert read(Board()) == {}
    monkeypatch.setattr(sys, "argv", ["\udcff"])
    assert Board().post("state", "odd") is None


def test_a_system_without_private_directories_has_no_board(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "geteuid")
    refused = Board(str(place)).post("state", "mine")
    assert isinstance(refused, Unknown)
    assert refused.reason.startswith("unsupported")
