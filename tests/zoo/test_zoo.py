"""Every leak is found and every look-alike acquitted, through the public command."""

from __future__ import annotations

import importlib.util

import catalogue
import pytest
import runner

pytestmark = pytest.mark.zoo


@pytest.mark.parametrize("program", catalogue.programs(), ids=lambda p: p.name)
def test_the_report_is_right(program: catalogue.Program) -> None:
    if program.needs and importlib.util.find_spec(program.needs) is None:
        pytest.skip(f"{program.needs} is not installed")
    outcome = runner.judge(program, runner.run(program))
    assert outcome.ok, "\n".join(outcome.complaints)
