"""Leaks that are known bugs of libraries, and the way around each.

Rules of this file: data and one look-up. An entry speaks only when the version that is
installed is one of those that have the bug, and says where it is told. ``below`` is the
first version without it; ``None``: it has not been mended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class KnownLeak:
    """A bug of a package: ``frame`` or ``owner`` is how it shows in a suspect.

    ``frame`` is looked for in the stack's lines, as ``file:line in function``.
    """

    package: str
    since: str
    below: str | None
    remedy: str
    source: str
    frame: re.Pattern[str] | None = None
    owner: re.Pattern[str] | None = None

    def has(self, version: str) -> bool:
        """Return whether a version has the bug."""
        number = _number(version)
        is_mended = self.below is not None and number >= _number(self.below)
        return number >= _number(self.since) and not is_mended


KNOWN_LEAKS: Final = (
    KnownLeak(
        package="aiohttp",
        since="3.10.6",
        below="3.10.11",
        remedy="upgrade to 3.10.11 or later",
        source="CVE-2024-52303",
        frame=re.compile(r"aiohttp/web_app\.py:\d+ in \w*build_middleware"),
        owner=re.compile(r"\Aaiohttp\.web_app\._\w*build_middleware"),
    ),
    KnownLeak(
        package="babel",
        since="0",
        below="2.12",
        remedy="upgrade to 2.12 or later, or use a fixed set of formats",
        source="python-babel/babel#962",
        owner=re.compile(r"\Ababel\.dates\._pattern_cache"),
    ),
    KnownLeak(
        package="openai",
        since="1",
        below="2.21",
        remedy="upgrade to 2.21 or later: parse() made a class on every call",
        source="openai/openai-python#2860",
        frame=re.compile(r"openai/lib/_parsing/\w+\.py:\d+ in parse"),
    ),
    KnownLeak(
        package="pydantic",
        since="2.5",
        below="2.5.3",
        remedy="upgrade to 2.5.3 or later, or make each TypeAdapter once",
        source="pydantic/pydantic-core#1125",
        frame=re.compile(r"pydantic/type_adapter\.py:\d+ in "),
    ),
    KnownLeak(
        package="boto3",
        since="1",
        below=None,
        remedy="keep the boto3.Session as long as the botocore session it was given:"
        " each one adds handlers there",
        source="boto/boto3#2176",
        frame=re.compile(r"boto3/session\.py:\d+ in \S*_(?:setup|register)_\w+"),
    ),
    KnownLeak(
        package="matplotlib",
        since="0",
        below=None,
        remedy="pyplot keeps every figure it makes: plt.close(figure) when it is"
        " saved, or make matplotlib.figure.Figure objects yourself",
        source="the documentation of matplotlib.pyplot.figure",
        owner=re.compile(r"\Amatplotlib\._pylab_helpers\.Gcf\.figs"),
    ),
)


def remedy_for(
    stack: Sequence[str],
    owner_path: str | None,
    installed: Callable[[str], str | None],
) -> str | None:
    """Return what to do about a suspect that is a known bug of a library.

    ``installed`` tells the version of a package, and is asked only where the rest fits.
    """
    for known in KNOWN_LEAKS:
        if not _shows(known, stack, owner_path):
            continue
        version = installed(known.package)
        if version is not None and known.has(version):
            return (
                f"{known.package} {version} is known to leak here ({known.source}):"
                f" {known.remedy}."
            )
    return None


def _shows(known: KnownLeak, stack: Sequence[str], owner_path: str | None) -> bool:
    if known.owner is not None and known.owner.search(owner_path or ""):
        return True
    frame = known.frame
    return frame is not None and any(
        frame.search(line.replace("\\", "/")) for line in stack
    )


def _number(version: str) -> tuple[int, ...]:
    """Return the release of a version, its trailing zeros left out, to be compared."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in release[0].split(".")] if release else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
