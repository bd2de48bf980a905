"""Known bugs of libraries: told where the version fits, and nowhere else."""

from __future__ import annotations

import pytest

from leakguard._core.libraries import KNOWN_LEAKS, KnownLeak, remedy_for

#: For each entry a line or an owner as a report shows it, and a version that has it.
SHOWN = {
    "aiohttp": ("/lib/aiohttp/web_app.py:77 in _build_middlewares", None, "3.10.10"),
    "babel": ("", "babel.dates._pattern_cache", "2.11.0"),
    "openai": ("/lib/openai/lib/_parsing/_responses.py:60 in parse_text", None, "2.9"),
    "pydantic": ("C:\\pydantic\\type_adapter.py:9 in x", None, "2.5.2"),
    "boto3": ("/lib/boto3/session.py:9 in Session._setup_loader", None, "1.40"),
    "matplotlib": ("", "matplotlib._pylab_helpers.Gcf.figs", "3.9"),
}


def _remedy(package: str, version: str | None) -> str | None:
    line, owner, _ = SHOWN[package]
    asked = {package: version}
    return remedy_for([line], owner, asked.get)


@pytest.mark.parametrize("known", KNOWN_LEAKS, ids=lambda known: known.package)
def test_a_known_leak_is_told_with_its_source(known: KnownLeak) -> None:
    version = SHOWN[known.package][2]
    remedy = _remedy(known.package, version)
    assert remedy is not None
    assert remedy.startswith(f"{known.package} {version} is known to leak here (")
    assert known.source in remedy
    assert remedy.endswith(".")


@pytest.mark.parametrize("known", KNOWN_LEAKS, ids=lambda known: known.package)
def test_it_is_not_told_of_a_version_without_it(known: KnownLeak) -> None:
    assert _remedy(known.package, None) is None
    if known.below is not None:
        assert _remedy(known.package, known.below) is None
        assert _remedy(known.package, f"{known.below}.0rc1") is None


def test_it_is_not_told_of_another_place() -> None:
    def installed(_package: str) -> str:
        raise AssertionError("nothing is asked where nothing fits")

    stack = ["/srv/shop/views.py:1 in parse_middlewares"]
    assert remedy_for(stack, "shop.cache", installed) is None
    assert remedy_for([], None, installed) is None


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("3.10.5", False),
        ("3.10.6", True),
        ("3.10.10.post1", True),
        ("3.10.11", False),
        ("3.11", False),
        ("4", False),
        ("unknown", False),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, *, has: bool) -> None:
    assert KNOWN_LEAKS[0].has(version) is has
