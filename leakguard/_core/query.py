"""The parameters of the debug routes: what fits, and the sentence for what does not.

Rules of this file: pure; everything that fits needs no escape, so nothing is decoded;
no sentence repeats what was given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from leakguard._core.records import LeakguardError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_CHARACTERS: Final = 256
MOST_SECONDS: Final = 300
_NAME: Final = (
    r"[A-Za-z0-9_-]{1,32}",
    "a baseline's name is 1 to 32 letters, digits, hyphens or underscores",
)
_PARAMETERS: Final[Mapping[str, tuple[str, str]]] = {
    "format": ("json|text|markdown", "format is json, text or markdown"),
    "pid": ("[0-9]{1,10}", "pid is a number, as among the workers"),
    "seconds": (
        r"[0-9]{1,3}(\.[0-9]{1,3})?",
        f"seconds is a number above 0, and {MOST_SECONDS} at most",
    ),
    "baseline": _NAME,
    "name": _NAME,
}


class QueryError(LeakguardError):
    """A query that does not fit, and why."""


def parameters(query: str, allowed: tuple[str, ...]) -> dict[str, str]:
    """Return the parameters of a query, each one of those allowed, and fitting.

    Raises:
        QueryError: with one sentence, which repeats nothing of the query.

    """
    if len(query) > MOST_CHARACTERS:
        raise QueryError("the query is too long")
    found: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if name not in allowed:
            named = " and ".join(allowed)
            why = f"the parameters here are {named}" if named else "no parameters here"
            raise QueryError(why)
        if name in found:
            raise QueryError(f"{name} is given twice")
        pattern, sentence = _PARAMETERS[name]
        fits = re.fullmatch(pattern, value, re.ASCII) is not None
        if not fits or (name == "seconds" and not 0 < float(value) <= MOST_SECONDS):
            raise QueryError(sentence)
        found[name] = value
    return found
