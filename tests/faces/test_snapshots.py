"""Snapshots, their differences and their files."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leakguard
from leakguard import Diff, LeakguardError, Snapshot, snapshot
from leakguard._core.diff import SiteRow, TypeRow
from leakguard._core.records import Unknown
from leakguard._core.traces import Traces
from leakguard._runtime import fence

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _stop_tracing() -> Iterator[None]:
    assert not tracemalloc.is_tracing()
    yield
    tracemalloc.stop()


class Row:
    def __init__(self) -> None:
        self.data = bytearray(1_000)


def _made(**changed: object) -> Snapshot:
    traces = Traces.from_groups({(("/srv/app.py", 7), ("/srv/main.py", 1)): [100, 20]})
    made: dict[str, Any] = {
        "traces": traces,
        "types": {"dict": 3, "app.Row": 1},
        "nframe": 2,
        "created_at": "2026-01-01T00:00:00Z",
    }
    return Snapshot(**{**made, **changed})


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_a_snapshot_starts_tracing_and_leaves_it_on() -> None:
    taken = snapshot()
    assert tracemalloc.is_tracing()
    assert taken.nframe == tracemalloc.get_traceback_limit() == 1


def test_growth_is_found_at_the_line_and_in_the_type_that_grew() -> None:
    before = snapshot()
    kept = [Row() for _ in range(500)]
    diff = snapshot().since(before)
    first = diff.sites[0]
    assert (first.file, first.line) == (
        __file__,
        Row.__init__.__code__.co_firstlineno + 1,
    )
    assert first.growth_blocks >= 1_000
    assert first.growth_bytes >= 500_000
    assert diff.types is not None
    assert TypeRow(f"{__name__}.Row", len(kept), len(kept)) in diff.types
    assert diff.net_bytes == sum(row.growth_bytes for row in diff.sites)
    assert diff.net_blocks == sum(row.growth_blocks for row in diff.sites)
    assert {len(row.stack) for row in diff.stacks} == {1}


def test_taking_snapshots_is_not_growth() -> None:
    snapshot()
    before = snapshot()
    kept = [snapshot() for _ in range(5)]
    diff = kept[-1].since(before)
    assert diff.net_bytes < 4_096, diff


def test_a_tracing_of_the_users_is_used_as_it_is() -> None:
    tracemalloc.start(3)
    kept = [Row()]
    assert snapshot().nframe == 3
    assert snapshot(nframe=10).nframe == 3
    shallow = snapshot(nframe=1)
    assert shallow.nframe == 1
    assert {len(stack) for stack in shallow.traces.stacks} == {1}
    assert kept
    assert tracemalloc.get_traceback_limit() == 3


def test_stacks_are_compared_when_both_have_them() -> None:
    before = snapshot(nframe=4)
    kept = [Row() for _ in range(100)]
    after = snapshot()
    row = max(after.since(before).stacks, key=lambda row: row.growth_bytes)
    assert kept
    assert len(row.stack) > 1
    assert row.stack[0][0] == row.stack[1][0] == __file__
    shallow = snapshot(nframe=1).since(before)
    assert {len(row.stack) for row in shallow.stacks} == {1}


def test_files_can_be_chosen() -> None:
    snapshot()
    kept = [Row() for _ in range(100)]
    only = snapshot(include=[Path(__file__).name])
    without = snapshot(exclude=(f"*/{Path(__file__).name}",))
    assert kept
    assert {stack[0][0] for stack in only.traces.stacks} == {__file__}
    assert __file__ not in {stack[0][0] for stack in without.traces.stacks}
    assert only.include == (Path(__file__).name,)


def test_snapshots_of_different_files_are_not_compared() -> None:
    with pytest.raises(LeakguardError, match="different include or exclude"):
        _made().since(_made(include=("a.py",)))


def test_objects_need_not_be_counted() -> None:
    blind = snapshot(count_objects=False)
    assert blind.types is None
    assert blind.since(snapshot()).types is None
    assert snapshot().since(blind).types is None


@pytest.mark.parametrize("nframe", [0, -1, 65_536])
def test_a_depth_out_of_range_is_refused(nframe: int) -> None:
    with pytest.raises(LeakguardError, match="between 1 and 65535"):
        snapshot(nframe)


def test_a_process_that_cannot_be_traced_is_told_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fence, "start_tracing", lambda _: Unknown("threads churn"))
    with pytest.raises(LeakguardError, match="could not be started: threads churn"):
        snapshot()


def test_a_snapshot_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    kept = [Row() for _ in range(10)]
    for taken in (snapshot(nframe=3), _made(), _made(types=None, exclude=("a*",))):
        taken.save(path)
        assert Snapshot.load(str(path)) == taken
        assert _names(tmp_path) == ["before.json"]
    assert kept
    assert json.loads(path.read_text())["schema"] == "leakguard.snapshot/1"


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LeakguardError, match=r"cannot write .*No such file"):
        _made().save(tmp_path / "missing" / "s.json")
    (tmp_path / "taken").mkdir()
    with pytest.raises(LeakguardError, match=r"cannot write .*taken"):
        _made().save(tmp_path / "taken")
    assert _names(tmp_path) == ["taken"]


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LeakguardError, match=r"cannot read .*No such file"):
        Snapshot.load(tmp_path / "none.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema": "other/1"}', b"[]"]
)
def test_a_file_of_something_else_is_one_sentence(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(LeakguardError, match=r"other\.json is not a snapshot: it"):
        Snapshot.load(path)


@pytest.mark.parametrize(
    "changed",
    [
        {"traces": None},
        {"traces": {"files": []}},
        {"nframe": "1"},
        {"nframe": True},
        {"created_at": None},
        {"types": []},
        {"types": {"dict": "many"}},
        {"include": "app"},
        {"exclude": [1]},
    ],
)
def test_a_damaged_file_is_one_sentence(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    path = tmp_path / "damaged.json"
    _made().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(
        LeakguardError, match=r"damaged\.json is not a snapshot: "
    ) as it:
        Snapshot.load(path)
    assert "\n" not in str(it.value)


def test_totals_are_those_of_the_traces() -> None:
    assert (_made().total_bytes, _made().total_blocks) == (120, 2)


PRINTED = """\
+1.98 KiB in +3 blocks (2 lines grew, 1 shrank)

  growth  blocks     now  line                  code
--------  ------  ------  --------------------  ---------------------------------------
+2.0 KiB      +4  10 KiB  app.py:2              cache[key] = Row(key, some_long_name...
    +1 B      +0     1 B  .../below/a/lib.py:9
   -20 B      -1     0 B  <frozen zipimport>:3

objects    now  type
-------  -----  -------
 +1,000  1,200  app.Row
     -2      0  dict"""
PRINTED_SHORT = """\
+1.98 KiB in +3 blocks (2 lines grew, 1 shrank)

  growth  blocks     now  line      code
--------  ------  ------  --------  ---------------------------------------
+2.0 KiB      +4  10 KiB  app.py:2  cache[key] = Row(key, some_long_name...
... and 2 lines, -19 B together

objects    now  type
-------  -----  -------
 +1,000  1,200  app.Row
... and 1 type, -2 objects together"""


def test_a_diff_prints_as_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = tmp_path / "app.py"
    app.write_text("\n    cache[key] = Row(key, some_long_name_of_it, 1)\n")
    far = "/usr/lib/python3/dist-packages/very/deep/below/a/lib.py"
    diff = Diff(
        sites=(
            SiteRow(str(app), 2, 2_048, 4, 10_240, 12_345),
            SiteRow(far, 9, 1, 0, 1, 1),
            SiteRow("<frozen zipimport>", 3, -20, -1, 0, 0),
        ),
        types=(TypeRow("app.Row", 1_000, 1_200), TypeRow("dict", -2, 0)),
        net_bytes=2_029,
        net_blocks=3,
    )
    assert str(diff) == PRINTED
    assert diff.table(limit=1) == PRINTED_SHORT
    assert diff.stacks == ()


def test_a_diff_of_nothing_says_so() -> None:
    nothing = _made().since(_made())
    assert str(nothing) == "Nothing changed between the two snapshots."
    assert (nothing.sites, nothing.types, nothing.net_bytes) == ((), (), 0)


def test_a_diff_of_objects_alone_shows_them() -> None:
    diff = _made().since(_made(types={"dict": 1}))
    assert str(diff).splitlines() == [
        "0 B in +0 blocks (0 lines grew, 0 shrank)",
        "",
        "objects  now  type",
        "-------  ---  -------",
        "     +2    3  dict",
        "     +1    1  app.Row",
    ]


def test_a_removed_directory_and_odd_files_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "cwd", gone)
    rows = (
        SiteRow(str(tmp_path), 1, 1, 1, 1, 1),
        SiteRow("a\0b.py", 1, 1, 1, 1, 1),
        SiteRow(__file__, 10**9, 1, 1, 1, 1),
    )
    shown = Diff(rows, None, 3, 3).table()
    assert "a\\x00b.py:1" in shown


def test_source_that_cannot_be_read_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def locked(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", locked)
    shown = Diff((SiteRow(__file__, 1, 1, 1, 1, 1),), None, 1, 1).table()
    assert "code" not in shown


def test_the_public_names_are_these() -> None:
    assert leakguard.snapshot is snapshot
    assert leakguard.Snapshot is Snapshot
    assert leakguard.Diff is Diff
