"""The face: load a saved report from anywhere, render it in any format."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from leakguard import reports
from leakguard._core.records import LeakguardError
from leakguard._render.document import dumps
from leakguard._render.dot import render_dot
from leakguard._render.markdown import render_markdown
from leakguard._render.text import render_text
from tests.render.examples import LEAK

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "report.json"
    path.write_text(dumps(LEAK), "utf-8")
    return path


def test_a_report_loads_from_a_path_or_a_file(saved: Path) -> None:
    assert reports.load(saved) == LEAK
    assert reports.load(str(saved)) == LEAK
    with saved.open("rb") as binary, saved.open(encoding="utf-8") as text:
        assert reports.load(binary) == LEAK
        assert reports.load(text) == LEAK
    assert reports.load(io.StringIO(dumps(LEAK))) == LEAK


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "report.json: the report is empty"),
        (b"\x00\xff\xfe\x80", "report.json: the report is not a complete JSON"),
        (b"\x80\x04\x95", "report.json: the report is not a JSON document"),
        (dumps(LEAK)[:500].encode(), "report.json: the report is not a complete JSON"),
        (b'{"schema": "leakguard.report/9"}', "report.json: schema: this leakguard"),
    ],
)
def test_a_bad_file_is_one_sentence_with_its_name(
    saved: Path, content: bytes, sentence: str
) -> None:
    saved.write_bytes(content)
    with pytest.raises(LeakguardError) as caught:
        reports.load(saved)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LeakguardError, match=r"gone\\x1b\.json: No such file"):
        reports.load(tmp_path / "gone\x1b.json")
    with pytest.raises(LeakguardError, match=r"Is a directory|Permission denied"):
        reports.load(tmp_path)
    with pytest.raises(LeakguardError, match=r"a\\x00b: it cannot be read as text"):
        reports.load("a\0b")


def test_an_open_file_that_cannot_be_read_is_one_sentence(saved: Path) -> None:
    saved.write_bytes(b"\xff\xfe")
    with (
        saved.open(encoding="utf-8") as text,
        pytest.raises(LeakguardError, match="it cannot be read as text"),
    ):
        reports.load(text)
    with pytest.raises(LeakguardError, match="the report: it cannot be read"):
        reports.load(_closed())


def _closed() -> io.BytesIO:
    file = io.BytesIO()
    file.close()
    return file


class _Broken(io.RawIOBase):
    """A file on a device that fails without saying why."""

    def read(self, _size: int = -1, /) -> bytes:
        raise OSError


def test_a_device_that_fails_without_a_reason_is_still_one_sentence() -> None:
    with pytest.raises(LeakguardError, match="the report: OSError"):
        reports.load(_Broken())  # type: ignore[arg-type]


def test_an_endless_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_MOST_BYTES", 1 << 20)
    with pytest.raises(LeakguardError, match="more than 1 MiB is not a report"):
        reports.load(io.BytesIO(b" " * ((1 << 20) + 1)))


def test_a_report_renders_in_every_known_format() -> None:
    assert reports.render(LEAK) == render_text(LEAK)
    assert reports.render(LEAK, "json") == dumps(LEAK)
    assert reports.render(LEAK, "markdown") == render_markdown(LEAK)
    assert reports.render(LEAK, "dot") == render_dot(LEAK)


def test_an_unknown_format_names_the_known_ones() -> None:
    sentence = "unknown format 'pdf': the formats are text, json, markdown, dot"
    with pytest.raises(LeakguardError, match=sentence):
        reports.render(LEAK, "pdf")
