"""A suite of 200 tests: 100 that leak in 20 ways, from 64 B to 1 MB in each call.

``write(directory, "leakguard")`` writes it for one tool. Every body is the same for
all of them; a third of the tests get it by a fixture of their own, a sixth are
parametrised and a sixth are coroutines, where the tool can do that.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.leak_suite.ways import INNOCENTS, LEAKS, SIZES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Tool = Literal["leakguard", "memray", "psleak", "none"]

_HEAD = """\
import asyncio

import pytest
import ways

BODIES = {{size: ways.{way}(size) for size in {sizes}}}


@pytest.fixture(scope="module", autouse=True)
def _cleared():
    yield
    BODIES.clear()


@pytest.fixture
def body(request):
    rows = [bytearray(200) for _ in range(50)]
    yield BODIES[int(request.node.name.split("_")[1].split("[")[0])]
    rows.clear()

"""
_MARKS = {
    "leakguard": "@pytest.mark.limit_growth",
    "memray": '@pytest.mark.limit_leaks("64 B")',
    "none": "",
}
_PLAIN = "{mark}\ndef test_{size}():\n    BODIES[{size}]()\n\n"
_FIXTURE = "{mark}\ndef test_{size}(body, tmp_path):\n    body()\n\n"
_PARAMETERS = (
    '@pytest.mark.parametrize("times", [1])\n{mark}\n'
    "def test_{size}(body, times):\n    body()\n\n"
)
_COROUTINE = (
    "{mark}\n@pytest.mark.anyio\nasync def test_{size}(anyio_backend):\n"
    "    await asyncio.sleep(0)\n    await asyncio.to_thread(BODIES[{size}])\n\n"
)
_FORMS = (_PLAIN, _FIXTURE, _PARAMETERS, _PLAIN, _FIXTURE, _COROUTINE)
_BACKEND = """\
import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
_PSLEAK = """\
import unittest

import psleak
import ways


class Test(psleak.MemoryLeakTestCase):
{tests}

if __name__ == "__main__":
    unittest.main()
"""
_PSLEAK_TEST = """\
    def test_{size}(self):
        self.execute(ways.{way}({size}), times={times})
"""
#: psleak calls up to 113 times as often as it is told: its 200 would be 22 GB at 1 MB.
_PSLEAK_TIMES, _PSLEAK_FIRST_BYTES, _PSLEAK_LEAST_TIMES = 200, 4 << 20, 4
#: Their bodies run a loop of their own, which a running one does not allow.
_HAS_LOOP = ("fine_asyncio", "fine_timeouts")


def write(
    directory: Path, tool: Tool, sizes: Sequence[int] = SIZES, every: int = 1
) -> int:
    """Write the suite, or each ``every``-th file of it; return the number of tests."""
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("ways.py"), directory / "ways.py")
    (directory / "conftest.py").write_text(_BACKEND)
    (directory / "pytest.ini").write_text(
        "[pytest]\naddopts = --import-mode=importlib\npythonpath = .\n"
        "filterwarnings =\n    ignore::DeprecationWarning\n"
    )
    names = [*LEAKS, *INNOCENTS][::every]
    for name in names:
        file = directory / f"test_{name}.py"
        file.write_text("".join(_source(name, tool, sizes)))
    return len(names) * len(sizes)


def _source(way: str, tool: Tool, sizes: Sequence[int]) -> Iterator[str]:
    if tool == "psleak":
        tests = [
            _PSLEAK_TEST.format(size=size, way=way, times=_psleak_times(size))
            for size in sizes
        ]
        yield _PSLEAK.format(tests="\n".join(tests))
        return
    yield _HEAD.format(way=way, sizes=tuple(sizes))
    for number, size in enumerate(sizes):
        form = _FORMS[(number + len(way)) % len(_FORMS)]
        if form is _COROUTINE and way in _HAS_LOOP:
            form = _FIXTURE
        yield "\n" + form.format(mark=_MARKS[tool], size=size).lstrip("\n")


def _psleak_times(size: int) -> int:
    return max(_PSLEAK_LEAST_TIMES, min(_PSLEAK_TIMES, _PSLEAK_FIRST_BYTES // size))
