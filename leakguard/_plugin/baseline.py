"""Today's growth on record, so that in a big code base only new leaks fail.

Rules of this file: a small JSON file that a review can read: test, fingerprint, rate.
A leak is known by its test and its fingerprint, up to twice the rate on record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from leakguard._plugin.settings import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from leakguard._plugin.finding import Finding

SCHEMA = "leakguard.tests/1"
#: Growth up to so many times the rate on record, and so many bytes, is the same leak.
MOST_RATIO, SLACK_BYTES = 2.0, 64.0
#: Stands for a leak without a rate, such as a thread that is left behind.
_Known = dict[str, dict[str, "float | None"]]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Known growth: test -> fingerprint -> bytes per call."""

    known: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read the file; one that is not there yet is an empty record.

        Raises:
            UsageError: it cannot be read, or is something else.

        """
        try:
            document: Any = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            refuse(f"{path} cannot be read: {error}")
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            refuse(f"{path} is no baseline: its schema is not {SCHEMA!r}")
        return cls(document.get("tests", {}))

    def covers(self, test: str, found: Finding) -> bool:
        """Return whether a leak of a test is on record, and is not faster now."""
        known = self.known.get(test, {})
        if found.fingerprint is None or found.fingerprint not in known:
            return False
        rate = known[found.fingerprint]
        if rate is None or found.bytes_per_call is None:
            return True
        return found.bytes_per_call <= rate * MOST_RATIO + SLACK_BYTES


def write(path: Path, found: Iterable[tuple[str, Finding]]) -> int:
    """Write the leaks of these tests as the new baseline; return how many."""
    known: _Known = {}
    for test, finding in found:
        if finding.outcome in {"leak", "known"} and finding.fingerprint:
            rate = finding.bytes_per_call
            rounded = None if rate is None else round(rate, 1)
            known.setdefault(test, {})[finding.fingerprint] = rounded
    tests = {test: known[test] for test in sorted(known)}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"schema": SCHEMA, "tests": tests}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    return sum(map(len, tests.values()))
