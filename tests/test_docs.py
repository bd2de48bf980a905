"""Every example of the documentation is run, and every name in it is accounted for.

In a page, in order and in one fresh directory:

* a ``python`` block with a ``title`` is written to that file (and is the file of that
  name in ``examples/``, if there is one);
* any other ``python`` block is run; its ``# > `` comments are what it prints;
* a ``console`` block runs each ``$`` line; the lines below it are what that prints,
  and ``$ echo $?`` is the exit status, else 0 or, for a leak found, 1.

A number stands for any other, whatever its unit, white space for one space, and
``...`` for anything.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

import leakguard
from leakguard._core import records
from leakguard.cli import VERBS, main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(
    r'^(?P<indent> *)```(?P<kind>python|console)(?: title="(?P<title>.+?)")?[^\n]*\n'
    r"(?P<body>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
#: A fingerprint, or a number with its unit.
FIGURE = re.compile(
    r"\b[0-9a-f]{12}\b|\d+(?:[.,]\d+)*(?: (?:[KMG]?i?B|us|ms|s|min)\b)?"
)
RECORDS = (
    *(records.Report, records.Program, records.Verdict, records.Memory, records.Ledger),
    *(records.Suspect, records.Site, records.Owner, records.Link),
    *(records.Acquittal, records.Suppressed, records.Cost),
)
PYTHON = [sys.executable]
COMMANDS = {
    "leakguard": [*PYTHON, "-m", "leakguard"],
    "pytest": [*PYTHON, "-m", "pytest", "-p", "no:cacheprovider"],
    "python": PYTHON,
}
#: As a reader has it: coverage's own growing data would be among the findings.
ENVIRONMENT = {
    **{name: text for name, text in os.environ.items() if not name.startswith("COV")},
    "PYTHONPATH": str(ROOT),
    "COLUMNS": "88",
    "PYTEST_ADDOPTS": "-p no:asyncio",  # ours is here for one test
}

#: A busy machine may leave a program of some seconds too little to go by.
ATTEMPTS = 2


class Result(NamedTuple):
    status: int
    output: str


def _run(command: list[str], directory: Path) -> Result:
    done = subprocess.run(
        command,
        cwd=directory,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
        check=False,
    )
    return Result(done.returncode, done.stdout)


def _matches(want: str, got: str) -> bool:
    def plain(text: str) -> str:
        return " ".join(FIGURE.sub("0", text).split())

    pattern = ".*".join(re.escape(part) for part in plain(want).split("..."))
    return re.fullmatch(pattern, plain(got), re.DOTALL) is not None


def _try_python(body: str, directory: Path) -> None:
    (directory / "example.py").write_text(body, "utf-8")
    result = _run([*PYTHON, "example.py"], directory)
    want = "\n".join(re.findall(r"^# > ?(.*)$", body, re.MULTILINE))
    assert result.status == 0, result.output
    assert _matches(want, result.output), result.output


def _try_console(body: str, directory: Path) -> None:
    result = Result(0, "")
    for step in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        line, _, want = step.partition("\n")
        if line == "echo $?":
            assert int(want) == result.status, result.output
            continue
        program, *arguments = shlex.split(line)
        for _ in range(ATTEMPTS):
            result = _run([*COMMANDS[program], *arguments], directory)
            if _matches(want, result.output):
                break
        else:
            raise AssertionError(f"$ {line}\n{result.output}")
        assert result.status in {0, 1} or f"{line}\n{want}$ echo" in body, line


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]
)
def test_the_examples_of_a_page_run_as_shown(page: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for block in FENCE.finditer(page.read_text("utf-8")):
        body, title = textwrap.dedent(block["body"]), block["title"]
        if block["kind"] == "console":
            _try_console(body, tmp_path)
        elif title is None:
            _try_python(body, tmp_path)
        else:
            example = ROOT / "examples" / title
            assert not example.exists() or example.read_text("utf-8") == body
            (tmp_path / title).write_text(body, "utf-8")


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in DOCS.rglob("*.md"):
        assert f": {page.relative_to(DOCS).as_posix()}\n" in navigation


@pytest.mark.parametrize("name", sorted(leakguard.__all__))
def test_every_public_name_is_in_the_reference(name: str) -> None:
    reference = (DOCS / "reference" / "api.md").read_text("utf-8")
    assert re.search(rf"^#+ .*`{name}\b", reference, re.MULTILINE)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_option_is_in_the_reference_and_no_other(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--help"]) == 0
    offered = set(
        re.findall(r"^ +(?:-h, )?(--?[a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    )
    reference = (DOCS / "reference" / "cli.md").read_text("utf-8")
    section = reference.partition(f"\n## leakguard {verb}\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `(--?[a-z-]+)", section, re.MULTILINE))
    assert listed == offered - {"--help"}


def test_the_reference_of_the_document_has_its_keys_and_choices_and_no_other() -> None:
    reference = (DOCS / "reference" / "document.md").read_text("utf-8")
    keys = re.findall(r"^\| `(\w+)` \| [a-z ]+ \| \S", reference, re.MULTILINE)
    names = [field.name for record in RECORDS for field in dataclasses.fields(record)]
    renamed = ["owner" if name == "owner_path" else name for name in names]
    assert sorted(keys) == sorted(["schema", *renamed])
    choices = re.findall(r"^\| `([\w-]+)` \| [^|]+ \|$", reference, re.MULTILINE)
    kinds = get_args(records.VerdictKind) + get_args(records.Pattern)
    assert sorted(choices) == sorted(kinds)
