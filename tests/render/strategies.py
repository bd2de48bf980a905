"""Hypothesis strategies for reports: any text, any number that JSON can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from hypothesis import strategies as st

from leakguard._core import records

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

#: Surrogates too: a file name that is not UTF-8 is full of them.
texts = st.text(st.characters(), max_size=8) | st.sampled_from(
    ["\x1b[31mred", "a\nb", "``a`|b", "<b>", "@team", "\udc80", "\u202e", "- x", ""]
)
numbers = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**63), 2**63 - 1)
shares = st.floats(0, 1)
sites = st.builds(records.Site, texts, integers, st.none() | texts, st.booleans())


def _choice(literal: object) -> SearchStrategy[Any]:
    return st.sampled_from(get_args(literal))


links = st.builds(records.Link, texts, texts, _choice(records.LinkStatus), texts)
owners = st.builds(records.Owner, texts, st.lists(links, max_size=3).map(tuple))


@st.composite
def suspects(draw: st.DrawFn) -> records.Suspect:
    site = draw(st.none() | sites)
    own = [f"{site.file}:{site.line} in {site.function}"] if site else []
    frames = draw(st.lists(texts | st.sampled_from(own or [""]), max_size=9))
    return records.Suspect(
        rank=draw(integers),
        fingerprint=draw(texts),
        source=draw(_choice(records.Source)),
        site=site,
        stack=tuple(frames),
        type=draw(st.none() | texts),
        owner=draw(st.none() | owners),
        growth_bytes_per_call=draw(st.none() | numbers),
        growth_count_per_call=draw(st.none() | numbers),
        growth_bytes_per_second=draw(st.none() | numbers),
        confidence=draw(shares),
        pattern=draw(_choice(records.Pattern)),
        hint=draw(texts),
        example=draw(st.none() | texts),
        habit=draw(st.none() | texts),
    )


ledgers = st.builds(records.Ledger, *[st.none() | integers] * 5)
memories = st.builds(
    records.Memory,
    st.none() | integers,
    st.none() | texts,
    *[st.none() | integers] * 4,
    ledgers,
)
programs = st.builds(
    records.Program, texts, integers, texts, texts, _choice(records.Mode)
)
verdicts = st.builds(
    records.Verdict,
    _choice(records.VerdictKind),
    shares,
    texts,
    *[st.none() | numbers] * 3,
)
acquittals = st.builds(
    records.Acquittal,
    st.none() | sites,
    st.none() | texts,
    st.none() | numbers,
    st.none() | integers,
    texts,
)
costs = st.builds(
    records.Cost, st.none() | numbers, st.none() | numbers, integers, numbers
)
suppressed = st.builds(records.Suppressed, texts, st.none() | texts, suspects())
reports = st.builds(
    records.Report,
    texts,
    programs,
    verdicts,
    memories,
    st.lists(suspects(), max_size=3).map(tuple),
    costs,
    st.lists(acquittals, max_size=3).map(tuple),
    st.lists(suppressed, max_size=2).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
)
