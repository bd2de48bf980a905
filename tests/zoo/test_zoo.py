"""Every leak is found and every look-alike acquitted, through the public command."""

from __future__ import annotations

import importlib.util

import catalogue
import pytest
import runner

#: A fifth of the default budget, since there are a hundred of them.
SHORT_SECONDS = 8

pytestmark = pytest.mark.zoo


@pytest.mark.parametrize("program", catalogue.programs(), ids=lambda p: p.name)
def test_the_report_is_right(program: catalogue.Program) -> None:
    if program.needs and importlib.util.find_spec(program.needs) is None:
        pytest.skip(f"{program.needs} is not installed")
    outcome = runner.judge(program, runner.run(program, seconds=SHORT_SECONDS))
    if not outcome.ok:  # too few calls on a busy machine: with the full budget, then
        outcome = runner.judge(program, runner.run(program))
    assert outcome.ok, "\n".join(outcome.complaints)
