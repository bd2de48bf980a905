"""Words, colours and safe characters."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.records import (
    Acquittal,
    Link,
    Owner,
    Site,
    Suspect,
    VerdictKind,
)
from leakguard._render import style
from tests.render.examples import CACHE, LEAK, STEADY

LINKS = tuple(
    Link(name, "dict", status, "")  # type: ignore[arg-type]
    for name, status in [
        ("a", "healthy"),
        ("b", "unknown"),
        ("c", "leaking"),
        ("d", "leaking"),
    ]
)


@pytest.mark.parametrize(
    ("isatty", "environ", "expected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": "xterm"}, True),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        (True, {"FORCE_COLOR": "0"}, False),
        (False, {"FORCE_COLOR": ""}, False),
        (True, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_follows_the_environment_and_the_terminal(
    isatty: bool,  # noqa: FBT001
    environ: dict[str, str],
    expected: bool,  # noqa: FBT001
) -> None:
    assert style.wants_color(isatty, environ) is expected


def test_paint_wraps_text_in_codes_and_leaves_nothing_alone() -> None:
    paint = style.painter(color=True)
    assert paint("bad", "LEAK") == "\x1b[1;31mLEAK\x1b[0m"
    assert paint("bad", "") == ""
    assert paint("as-is", "text") == "text"
    assert style.painter(color=False)("bad", "LEAK") == "LEAK"


@given(st.text(st.characters()))
def test_plain_text_is_printable_and_encodable(text: str) -> None:
    safe = style.plain(text)
    assert safe.isprintable()
    assert safe.encode("utf-8") or not text
    assert safe == text or not text.isprintable()


def test_every_kind_of_verdict_has_a_headline() -> None:
    assert set(style.HEADLINES) == set(get_args(VerdictKind))


def test_confidence_is_rounded_down() -> None:
    shares = (0.0, 0.29, 0.9999, 1.0, 1.5, float("nan"))
    assert [style.confidence(share) for share in shares] == [
        "confidence 0 %",
        "confidence 29 %",
        "confidence 99 %",
        "confidence 100 %",
        "confidence unknown",
        "confidence unknown",
    ]


def test_the_forecast_names_the_limit_it_knows() -> None:
    assert style.forecast(STEADY) is None
    assert style.forecast(LEAK) == (
        "The limit of 512 MiB will be hit in 2 h 5 min at this rate."
    )
    unlimited = replace(LEAK, memory=STEADY.memory)
    assert style.forecast(unlimited) == (
        "The limit will be hit in 2 h 5 min at this rate."
    )


@pytest.mark.parametrize(
    ("path", "cwd", "shown"),
    [
        ("/srv/app/a.py", "/srv/app", "a.py"),
        ("/srv/app/a.py", "/srv/app/", "a.py"),
        ("/srv/application/a.py", "/srv/app", "/srv/application/a.py"),
        ("C:\\app\\a.py", "C:\\app", "a.py"),
        ("/a.py", "/", "/a.py"),
        ("/a.py", None, "/a.py"),
    ],
)
def test_paths_below_the_directory_are_relative(
    path: str, cwd: str | None, shown: str
) -> None:
    assert style.relative(path, cwd) == shown


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "/srv/shop/shop/views.py:41 in create"),
        ({"site": Site("a.py", 1, None, in_app=True)}, "a.py:1"),
        ({"site": None}, "shop.cache.orders._entries"),
        ({"site": None, "owner": None}, "objects of type dict"),
        ({"site": None, "owner": None, "type": None}, "place not known"),
        (
            {"site": None, "owner": None, "type": None, "source": "native"},
            "outside Python",
        ),
    ],
)
def test_a_suspect_is_called_by_the_best_that_is_known(
    changes: dict[str, object], title: str
) -> None:
    assert style.title(replace(CACHE, **changes), None) == title  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "kind", "words"),
    [
        (1.0, "dict", "dict objects, 1 block of memory per call"),
        (0.02, "dict", "dict objects, 0.02 blocks of memory per call"),
        (2.0, None, "2 blocks of memory per call"),
        (None, "dict", "dict objects"),
        (None, None, ""),
    ],
)
def test_what_grows_is_counted(
    count: float | None, kind: str | None, words: str
) -> None:
    suspect = replace(CACHE, growth_count_per_call=count, type=kind)
    assert style.what(suspect) == words


def test_resources_are_counted_as_what_they_are() -> None:
    counted = replace(CACHE, source="resource", type="socket.socket")
    held = replace(counted, growth_bytes_per_call=None, growth_count_per_call=2.0)
    assert style.what(held) == "socket.socket objects, 2 per call"
    assert style.what(replace(held, type=None)) == "2 per call"


@pytest.mark.parametrize(
    ("route", "per_call", "words"),
    [
        (None, None, ""),
        ("/orders/<id>", 2048.0, "/orders/<id>, 2.0 KiB per request"),
        ("/a\nb", None, "/a\\nb"),
    ],
)
def test_whose_requests_it_goes_with(
    route: str | None, per_call: float | None, words: str
) -> None:
    suspect = replace(CACHE, route=route, growth_bytes_per_route_call=per_call)
    assert style.route(suspect) == words


def test_a_plateau_is_told_once() -> None:
    innocent = Acquittal(None, "app.cache", 310.0, 2048, "holds 3 of 10")
    assert style.acquittal(innocent, None) == (
        "growth, held by app.cache, 310 B per call, at most 2.0 KiB: holds 3 of 10"
    )
    said = replace(innocent, reason="will end near 2.0 KiB")
    assert style.acquittal(said, None) == (
        "growth, held by app.cache, 310 B per call: will end near 2.0 KiB"
    )


@pytest.mark.parametrize(
    ("links", "shown"),
    [(LINKS, "a b c! d"), (LINKS[2:], "c! d"), (LINKS[:2], "a b"), ((), "")],
)
def test_the_suspect_link_is_the_first_that_leaks(
    links: tuple[Link, ...], shown: str
) -> None:
    hops = style.hops(Owner("a", links))
    assert " ".join(link.name + "!" * mark for mark, link in hops) == shown


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        (Owner("a"), ""),
        (Owner("a", (), 2048), "keeps 2.0 KiB"),
        (Owner("a", (), 2048, is_estimate=True), "keeps about 2.0 KiB"),
    ],
)
def test_what_an_owner_keeps_is_told_with_how_sure_it_is(
    owner: Owner, words: str
) -> None:
    assert style.retained(owner) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (None, ""),
        (-0.1, ""),
        (0.974, "The suspects explain 97 % of the growth."),
        (1.3, "The suspects explain 100 % of the growth."),
    ],
)
def test_the_share_that_is_explained_is_told(share: float | None, words: str) -> None:
    verdict = replace(LEAK.verdict, explained_share=share)
    assert style.explained(verdict) == words


def _stacked(app: int | None, *frames: str) -> Suspect:
    site = Site("app.py", 7, "f", in_app=app is not None)
    stack = [f"/lib/python3.12/site-packages/p/{name}:1 in g" for name in frames]
    if app is not None:
        stack[app] = "app.py:7 in f"
    return replace(CACHE, site=site, stack=tuple(stack))


@pytest.mark.parametrize(
    ("suspect", "shown"),
    [
        (_stacked(0, "a"), []),
        (_stacked(None, "a"), ["p/a:1 in g"]),
        (_stacked(None), []),
        (replace(_stacked(None, "a"), site=None), ["p/a:1 in g"]),
        (_stacked(1, *"ab"), ["p/a:1 in g", "> app.py:7 in f"]),
        (
            _stacked(2, *"abcde"),
            ["p/a:1 in g", "p/b:1 in g", "> app.py:7 in f", "p/d:1 in g", "p/e:1 in g"],
        ),
        (
            _stacked(3, *"abcdefgh"),
            [
                "p/a:1 in g",
                "... 2 more frames",
                "> app.py:7 in f",
                "p/e:1 in g",
                "p/f:1 in g",
                "... 2 more frames",
            ],
        ),
        (
            _stacked(None, *"abcd"),
            ["p/a:1 in g", "p/b:1 in g", "p/c:1 in g", "p/d:1 in g"],
        ),
    ],
)
def test_a_stack_is_cut_to_what_matters(suspect: Suspect, shown: list[str]) -> None:
    frames = style.frames(suspect, None, verbose=False)
    assert [("> " if mark == "app" else "") + text for mark, text in frames] == shown


def test_a_verbose_stack_is_whole() -> None:
    frames = style.frames(_stacked(3, *"abcdefgh"), None, verbose=True)
    assert len(frames) == 8
    assert frames[0] == ("lib", "/lib/python3.12/site-packages/p/a:1 in g")
    assert style.frames(_stacked(0, "a"), None, verbose=True) == [
        ("app", "app.py:7 in f")
    ]


def test_a_line_number_is_not_taken_for_the_start_of_another() -> None:
    suspect = replace(_stacked(0, "a"), stack=("app.py:71 in f", "app.py:7"))
    marks = [mark for mark, _ in style.frames(suspect, None, verbose=True)]
    assert marks == ["lib", "app"]
