"""Following containers by name in a program that runs."""

from __future__ import annotations

import gc
import weakref

import pytest

from leakguard._runtime import places as following
from leakguard._runtime.places import Places


class Store:
    """What grows, stands still, and comes and goes."""

    def __init__(self) -> None:
        self.rows = dict.fromkeys(range(5_000))
        self.quiet = list(range(5_000))
        self.swinging = list(range(5_000))

    def work(self, second: int) -> None:
        """Add rows; swing."""
        self.rows.update(dict.fromkeys(range(len(self.rows), len(self.rows) + 100)))
        self.swinging = list(range(5_000 + 100 * (second % 2)))


STORE = Store()


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def _full_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill the store, and follow it among whatever the tests' process has."""
    STORE.__init__()  # type: ignore[misc]
    monkeypatch.setattr(following, "MOST_FOLLOWED", 2_000)


def _paths(places: Places) -> set[str]:
    return {item.holding.path.removeprefix(f"{__name__}.") for item in places.growing()}


def test_what_only_ever_grows_is_named_with_its_rate() -> None:
    clock = Clock()
    places = Places(clock)
    places.walk()
    assert len(places) <= following.MOST_FOLLOWED
    for second in range(1, 5):
        STORE.work(second)
        clock.seconds = second
        places.look()
    assert _paths(places) == {"STORE.rows"}
    (found,) = places.growing()
    assert found.entries_per_second == 100.0
    assert found.holding.length == 5_400
    assert found.holding.new_entries == 400
    assert found.holding.bound is None
    assert found.holding.retained_bytes
    assert found.holding.links[-1].status == "leaking"
    assert found.holding.links[-1].why == "holds 5400 entries, 5000 when first seen"


def test_a_walk_keeps_what_grows_and_makes_room_for_what_grew_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    places = Places(clock)
    places.walk()
    for second in range(1, 5):
        STORE.work(second)
        clock.seconds = second
        places.look()
    STORE.quiet.extend(range(10_000))
    monkeypatch.setattr(following, "MOST_FOLLOWED", 2)
    places.walk()
    assert set(places._followed) == {
        f"{__name__}.STORE.rows",
        f"{__name__}.STORE.quiet",
    }
    assert _paths(places) == {"STORE.rows"}, "with all its looks"


def test_what_the_program_drops_is_dropped_and_not_held() -> None:
    global STORE  # noqa: PLW0603 - a program's variable
    places = Places()
    places.walk()
    gone = weakref.ref(STORE)
    kept = STORE.quiet
    STORE = None  # type: ignore[assignment]
    gc.collect()
    assert gone() is None
    followed = set(places._followed)
    places.look()
    STORE = Store()
    assert kept
    names = {f"{__name__}.STORE.{name}" for name in ("rows", "quiet", "swinging")}
    assert names <= followed
    assert not names & set(places._followed)
    places.reset()
    assert len(places) == 0
    assert places.growing() == ()
