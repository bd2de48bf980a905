"""The parameters of the debug routes: what fits, and a sentence for the rest."""

from __future__ import annotations

import pytest

from leakguard._core.query import MOST_CHARACTERS, QueryError, parameters

ALL = ("format", "pid", "seconds", "baseline", "name")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {}),
        ("format=text", {"format": "text"}),
        ("format=json&pid=12", {"format": "json", "pid": "12"}),
        *((f"seconds={s}", {"seconds": s}) for s in ("1", "0.5", "30", "300", "300.0")),
        ("name=before_deploy-2", {"name": "before_deploy-2"}),
        ("baseline=x", {"baseline": "x"}),
    ],
)
def test_what_fits(query: str, found: dict[str, str]) -> None:
    assert parameters(query, ALL) == found


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("x=1", "the parameters here are format and pid and seconds and baseline"),
        ("=", "the parameters here are"),
        ("&", "the parameters here are"),
        ("Format=text", "the parameters here are"),
        ("format", "format is json, text or markdown"),
        ("format=html", "format is json, text or markdown"),
        ("format=te%78t", "format is json, text or markdown"),
        ("format=text&format=text", "format is given twice"),
        ("pid=-1", "pid is a number"),
        ("pid=\u0661", "pid is a number"),
        ("pid=12345678901", "pid is a number"),
        *(
            (f"seconds={s}", "seconds is a number above 0, and 300 at most")
            for s in ("", "0", "00", "0.0", "301", "300.1", "999", "-1", "1e3", "nan")
        ),
        ("seconds=inf", "seconds is a number"),
        ("name=", "a baseline's name is"),
        ("name=a.b", "a baseline's name is"),
        ("name=../x", "a baseline's name is"),
        ("name=" + 33 * "a", "a baseline's name is"),
        ("name=a%0d%0aSet-Cookie:x", "a baseline's name is"),
        ("name=a\n", "a baseline's name is"),
        (MOST_CHARACTERS * "a" + "b", "the query is too long"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(query: str, says: str) -> None:
    with pytest.raises(QueryError) as caught:
        parameters(query, ALL)
    assert str(caught.value).startswith(says)
    assert "%0d" not in str(caught.value)


def test_there_may_be_none() -> None:
    with pytest.raises(QueryError, match="no parameters here"):
        parameters("name=x", ())
