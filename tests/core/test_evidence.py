"""Growth given to the application's line, then to the container that holds it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.evidence import (
    NO_LOOK,
    Bound,
    DeepLook,
    Growth,
    Holding,
    application_frame,
    gather,
    stopped,
)
from leakguard._core.observe import GrowthRow
from tests.core.builders import (
    APP,
    PACKAGE,
    STDLIB,
    deep_look,
    holding,
    in_app,
    law,
    quick,
    row,
)

if TYPE_CHECKING:
    from leakguard._core.growth import Shape

VIEW, OTHER_VIEW = (APP, 41), (APP, 90)
DECODER = (STDLIB, 353)
LOADING = (PACKAGE, 7)
#: json.loads() in a view; the same line of the library for two views.
DECODED = (DECODER, (STDLIB, 337), VIEW)
DECODED_ELSEWHERE = (DECODER, (STDLIB, 337), OTHER_VIEW)


def only(found: tuple[Growth, ...]) -> Growth:
    assert len(found) == 1
    return found[0]


# --- what has stopped


def test_a_site_that_left_nothing_at_depth_has_stopped() -> None:
    assert stopped(row(blocks=1.0), deep_look(work_done=100))


def test_a_site_that_leaves_as_much_as_before_goes_on() -> None:
    deep = deep_look({(VIEW,): (102_400, 100)}, work_done=100)
    assert not stopped(row(blocks=1.0), deep)


def test_survivors_of_other_lines_do_not_count() -> None:
    deep = deep_look({(OTHER_VIEW,): (102_400, 100)}, work_done=100)
    assert stopped(row(blocks=1.0), deep)


def test_a_rare_site_cannot_be_said_to_have_stopped() -> None:
    assert not stopped(row(blocks=0.05), deep_look(work_done=100))
    assert stopped(row(blocks=0.05), deep_look(work_done=100), still_calls=100)


@pytest.mark.parametrize("shape", ["flat", "decaying"])
def test_a_buffer_that_is_not_moved_at_depth_has_not_stopped(shape: Shape) -> None:
    resized = replace(row(), blocks=replace(law(shape, 0.5), grown=2.0))
    assert not stopped(resized, deep_look(work_done=100))
    full = replace(row(), blocks=replace(law(shape, 0.5), grown=40.0))
    assert stopped(full, deep_look(work_done=100))


def test_without_a_look_at_depth_nothing_has_stopped() -> None:
    assert not stopped(row(), NO_LOOK)


# --- the application's line


@pytest.mark.parametrize(
    ("stack", "frame"),
    [
        ((VIEW,), VIEW),
        (DECODED, VIEW),
        ((DECODER, VIEW, OTHER_VIEW), VIEW),
        ((DECODER, LOADING), DECODER),
    ],
)
def test_growth_belongs_to_the_innermost_line_of_the_application(
    stack: tuple[tuple[str, int], ...], frame: tuple[str, int]
) -> None:
    assert application_frame(stack, in_app) == frame


def test_growth_in_a_library_is_given_to_the_line_that_called_it() -> None:
    deep = deep_look({DECODED: (102_400, 100)})
    found = only(gather([row(DECODER)], deep, in_app))
    assert found.frame == VIEW
    assert found.stack == DECODED
    assert found.size_per_call == 1024
    assert found.blocks_per_call == 1


def test_growth_in_a_library_is_shared_by_the_lines_that_called_it() -> None:
    deep = deep_look({DECODED: (30_000, 30), DECODED_ELSEWHERE: (10_000, 10)})
    most, least = gather([row(DECODER, slope=1000)], deep, in_app)
    assert (most.frame, most.size_per_call) == (VIEW, 750)
    assert (least.frame, least.size_per_call) == (OTHER_VIEW, 250)


def test_what_one_line_allocates_in_several_ways_adds_up() -> None:
    deep = deep_look({DECODED: (30_000, 30), (VIEW,): (10_000, 10)})
    rows = [row(DECODER, slope=600, blocks=2), row(VIEW, slope=1000, blocks=1)]
    found = only(gather(rows, deep, in_app))
    assert found.frame == VIEW
    assert found.size_per_call == 1600
    assert found.blocks_per_call == 3
    assert found.grown_bytes == 2 << 20
    assert found.stack == (VIEW,)


def test_growth_that_was_not_seen_at_depth_stays_with_its_line() -> None:
    found = only(gather([row(DECODER)], NO_LOOK, in_app))
    assert found.frame == DECODER
    assert found.stack == (DECODER,)
    assert found.holding is None
    assert found.types == ()
    assert not found.is_cycle


def test_survivors_without_bytes_share_nothing_out() -> None:
    found = only(gather([row(DECODER)], deep_look({DECODED: (0, 5)}), in_app))
    assert found.size_per_call == 1024


def test_blocks_that_become_fewer_count_as_none() -> None:
    # A list that grows in fewer and larger blocks.
    found = only(gather([row(blocks=-0.5)], NO_LOOK, in_app))
    assert found.blocks_per_call == 0


def test_the_most_frequent_types_come_first() -> None:
    deep = deep_look(
        {DECODED: (30_000, 30), (VIEW,): (10_000, 10)},
        types={DECODED: {"list": 20, "dict": 90}, (VIEW,): {"shop.Order": 100}},
    )
    found = only(gather([row(DECODER), row(VIEW)], deep, in_app))
    assert found.types == ("shop.Order", "dict", "list")


def test_growth_that_mostly_vanishes_in_a_collection_is_a_cycle() -> None:
    deep = deep_look(
        {DECODED: (30_000, 30), (VIEW,): (10_000, 10)}, vanished=frozenset({DECODED})
    )
    cyclic = only(gather([row(DECODER, slope=900), row(VIEW, slope=100)], deep, in_app))
    assert cyclic.is_cycle
    held = only(gather([row(DECODER, slope=100), row(VIEW, slope=900)], deep, in_app))
    assert not held.is_cycle


# --- the holder


def test_growth_is_given_to_the_container_that_holds_it() -> None:
    store = holding(sites={DECODED: 100})
    deep = deep_look({DECODED: (102_400, 100)}, holdings=[holding("a.b"), store])
    assert only(gather([row(DECODER)], deep, in_app)).holding == store


def test_the_applications_container_is_preferred_to_a_librarys() -> None:
    ours = holding("shop.store", file=APP, new_entries=5, sites={(VIEW,): 1})
    theirs = holding("orm.map", file=PACKAGE, new_entries=500, sites={(VIEW,): 1})
    unknown = holding("?", file=None, new_entries=900, sites={(VIEW,): 1})
    for order in ([ours, theirs, unknown], [unknown, theirs, ours]):
        deep = deep_look({(VIEW,): (102_400, 100)}, holdings=order)
        assert only(gather([row()], deep, in_app)).holding == ours


def test_the_container_with_more_new_entries_is_preferred() -> None:
    entries = holding("shop.entries", new_entries=100, sites={(VIEW,): 100})
    newest = holding("shop.newest", new_entries=1, sites={(VIEW,): 1})
    for order in ([entries, newest], [newest, entries]):
        deep = deep_look({(VIEW,): (102_400, 100)}, holdings=order)
        assert only(gather([row()], deep, in_app)).holding == entries


def test_a_holder_that_is_no_container_is_kept() -> None:
    head = holding("shop.head", kind="shop.Node", new_entries=0)
    deep = deep_look({(VIEW,): (102_400, 100)}, owners={(VIEW,): head})
    assert only(gather([row()], deep, in_app)).holding == head


def test_a_line_is_held_by_the_owner_of_most_of_its_growth() -> None:
    major, minor = holding("shop.major"), holding("shop.minor")
    for line in range(24):
        most, least = ((STDLIB, line), VIEW), ((PACKAGE, line), VIEW)
        deep = deep_look(
            {most: (90_000, 90), least: (10_000, 10)},
            owners={most: major, least: minor},
        )
        rows = [row(most[0], slope=900), row(least[0], slope=100)]
        assert only(gather(rows, deep, in_app)).holding == major


def test_equally_frequent_types_come_in_the_same_order_on_every_machine() -> None:
    seen = set()
    for machine in range(24):
        library = f"/opt/{machine}/lib/python3.12/site-packages/orm.py"
        first, second = ((library, 1), VIEW), ((library, 2), VIEW)
        deep = deep_look(
            {first: (50_000, 50), second: (50_000, 50)},
            types={first: {"dict": 50}, second: {"list": 50}},
        )
        rows = [row((library, 1)), row((library, 2))]
        seen.add(only(gather(rows, deep, in_app)).types)
    assert len(seen) == 1


def test_lines_of_one_holder_are_one_growth_that_speaks_for_the_application() -> None:
    store = holding(sites={(LOADING,): 100, (VIEW,): 100})
    deep = deep_look(
        {(LOADING,): (90_000, 300), (VIEW,): (10_000, 100)},
        types={(LOADING,): {"orm.Row": 100}, (VIEW,): {"shop.Order": 100}},
        holdings=[store],
    )
    rows = [row(LOADING, slope=900, blocks=3), row(VIEW, slope=100, blocks=1)]
    found = only(gather(rows, deep, in_app))
    assert found.frame == VIEW
    assert found.size_per_call == 1000
    assert found.blocks_per_call == 4
    assert found.stacks == {(LOADING,), (VIEW,)}
    assert found.types == ("shop.Order", "orm.Row")


def test_lines_of_two_holders_stay_apart() -> None:
    orders = holding("shop.orders", sites={(VIEW,): 100})
    users = holding("shop.users", sites={(OTHER_VIEW,): 100})
    deep = deep_look(
        {(VIEW,): (9_000, 9), (OTHER_VIEW,): (9_000, 9)}, holdings=[orders, users]
    )
    found = gather([row(OTHER_VIEW, slope=10), row(VIEW, slope=90)], deep, in_app)
    assert [growth.holding for growth in found] == [orders, users]


# --- tables that are resized


def table_growth(
    bytes_per_entry: float,
    *,
    holdings: list[Holding] | None = None,
    blocks: float = 0.0,
    types: dict[str, int] | None = None,
) -> Growth:
    """Gather a block that grew so much for each of 100 new entries of a container."""
    deep = deep_look(
        {(VIEW,): (1 << 20, 1)},
        work_done=100.0,
        holdings=[holding(new_entries=100)] if holdings is None else holdings,
        types={(VIEW,): types} if types else {},
    )
    return only(gather([row(slope=bytes_per_entry, blocks=blocks)], deep, in_app))


@pytest.mark.parametrize("bytes_per_entry", [8, 9, 32, 64, 110])
def test_a_resized_table_is_given_to_its_container(bytes_per_entry: float) -> None:
    found = table_growth(bytes_per_entry)
    assert found.holding is not None
    assert found.holding.path == "shop.cache._store"


@pytest.mark.parametrize("bytes_per_entry", [0.5, 5_000])
def test_a_block_that_no_table_explains_is_nobodys(bytes_per_entry: float) -> None:
    assert table_growth(bytes_per_entry).holding is None


@pytest.mark.parametrize(
    ("ratio", "is_its"), [(0.4, False), (1.1, True), (4, True), (9, False)]
)
def test_a_block_is_given_to_the_buffer_whose_bytes_it_holds(
    ratio: float, *, is_its: bool
) -> None:
    tape = holding("shop.tape", kind="bytearray", new_entries=100)
    found = table_growth(ratio, holdings=[tape])
    assert (found.holding == tape) is is_its


def test_many_blocks_are_no_table() -> None:
    assert table_growth(32, blocks=1.0).holding is None


def test_an_object_is_no_table() -> None:
    assert table_growth(32, types={"bytearray": 1}).holding is None


def test_a_table_is_of_the_container_in_its_own_file() -> None:
    near = holding("shop.near", file=APP, new_entries=50)
    far = holding("other.far", file=PACKAGE, new_entries=100)
    homeless = holding("?", file=None, new_entries=100)
    for order in ([near, far, homeless], [homeless, far, near]):
        assert table_growth(32, holdings=order).holding == near


def test_a_table_and_the_entries_in_it_are_one_growth() -> None:
    store = holding(new_entries=100, sites={(VIEW,): 100})
    deep = deep_look(
        {(VIEW,): (102_400, 100), (OTHER_VIEW,): (8_192, 1)},
        types={(VIEW,): {"dict": 100}},
        holdings=[store],
    )
    rows = [row(VIEW, slope=1024), row(OTHER_VIEW, slope=80, blocks=0.0)]
    found = only(gather(rows, deep, in_app))
    assert found.frame == VIEW
    assert found.size_per_call == 1104


# --- blocks that are no objects


def test_the_links_of_an_lru_cache_belong_to_it() -> None:
    # The cached function makes its result at PRICE, called from VIEW.
    price = (APP, 12)
    memo = holding(
        "shop.price", kind="functools._lru_cache_wrapper", sites={(price, VIEW): 100}
    )
    deep = deep_look(
        {(price, VIEW): (30_000, 100), (VIEW,): (10_000, 200)},
        types={(price, VIEW): {"shop.Price": 100}},
        holdings=[holding("shop.other", sites={}), memo],
    )
    rows = [row(price, slope=300), row(VIEW, slope=100, blocks=2.0)]
    found = only(gather(rows, deep, in_app))
    assert found.holding == memo
    assert found.size_per_call == 400


def beside_a_leak(
    *,
    frame: tuple[str, int] = OTHER_VIEW,
    blocks: float = 1.0,
    types: dict[str, int] | None = None,
    store: Holding | None = None,
) -> tuple[Growth, ...]:
    """Gather a leak of an object per call, and blocks that grow beside it."""
    kept = store or holding(new_entries=100, sites={(VIEW,): 100})
    deep = deep_look(
        {(VIEW,): (50_000, 100), (frame,): (90_000, 100)},
        types={(VIEW,): {"shop.Order": 100}, (frame,): types or {}},
        holdings=[kept],
    )
    rows = [row(VIEW, slope=500), row(frame, slope=900, blocks=blocks)]
    return gather(rows, deep, in_app)


@pytest.mark.parametrize("blocks", [0.1, 1.0, 10.0])
def test_the_attributes_of_leaked_objects_belong_to_their_leak(blocks: float) -> None:
    found = only(beside_a_leak(blocks=blocks))
    assert found.size_per_call == 1400
    assert found.holding is not None


@pytest.mark.parametrize(
    "growths",
    [
        beside_a_leak(frame=("/srv/shop/shop/admin.py", 5)),
        beside_a_leak(frame=LOADING),
        beside_a_leak(blocks=100.0),
        beside_a_leak(blocks=0.02),
        beside_a_leak(types={"shop.Node": 100}),
        beside_a_leak(
            store=holding(bound=Bound("LRU.maxsize", 1000), sites={(VIEW,): 100})
        ),
    ],
    ids=["other file", "library", "faster", "slower", "objects", "bounded"],
)
def test_what_has_nothing_to_do_with_a_leak_stays_apart(
    growths: tuple[Growth, ...],
) -> None:
    assert [growth.size_per_call for growth in growths] == [900, 500]
    assert growths[0].holding is None


# --- what holds for any evidence

FRAMES = st.sampled_from([VIEW, OTHER_VIEW, DECODER, LOADING, (PACKAGE, 8)])
STACKS = st.lists(FRAMES, min_size=1, max_size=3).map(tuple)
ROWS = st.dictionaries(
    FRAMES, st.tuples(st.integers(1, 10**6), st.integers(0, 100)), max_size=5
).map(
    lambda rates: [
        GrowthRow(frame, law(slope=size), law(slope=blocks))
        for frame, (size, blocks) in rates.items()
    ]
)
HOLDINGS = st.lists(
    st.builds(
        holding,
        path=st.sampled_from(["shop.a", "shop.b", "orm.c"]),
        file=st.sampled_from([APP, PACKAGE, None]),
        new_entries=st.integers(0, 1000),
        sites=st.dictionaries(STACKS, st.integers(1, 10), max_size=3),
    ),
    max_size=3,
)
LOOKS = st.builds(
    deep_look,
    st.dictionaries(
        STACKS, st.tuples(st.integers(0, 10**6), st.integers(1, 100)), max_size=6
    ),
    types=st.dictionaries(
        STACKS, st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)), max_size=4
    ),
    holdings=HOLDINGS,
    vanished=st.frozensets(STACKS, max_size=2),
)


@quick
@given(ROWS, LOOKS)
def test_no_growth_is_lost_or_counted_twice(
    rows: list[GrowthRow], deep: DeepLook
) -> None:
    found = gather(rows, deep, in_app)
    size = sum(growth.size_per_call for growth in found)
    blocks = sum(growth.blocks_per_call for growth in found)
    assert size == pytest.approx(sum(row.size.slope for row in rows))
    assert blocks == pytest.approx(sum(row.blocks.slope for row in rows))


@quick
@given(ROWS, LOOKS)
def test_each_holder_and_each_loose_line_appears_once_fastest_first(
    rows: list[GrowthRow], deep: DeepLook
) -> None:
    found = gather(rows, deep, in_app)
    names = [g.holding.path if g.holding else g.frame for g in found]
    assert len(set(names)) == len(names)
    rates = [growth.size_per_call for growth in found]
    assert rates == sorted(rates, reverse=True)


@quick
@given(ROWS, LOOKS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(
    rows: list[GrowthRow], deep: DeepLook, rnd: object
) -> None:
    shuffled = list(rows)
    rnd.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = gather(rows, deep, in_app), gather(shuffled, deep, in_app)
    assert sorted(round(g.size_per_call, 3) for g in one) == sorted(
        round(g.size_per_call, 3) for g in other
    )


@quick
@given(ROWS, LOOKS, st.integers(2, 1000))
def test_twice_the_growth_is_twice_the_rate_of_the_same_lines(
    rows: list[GrowthRow], deep: DeepLook, times: int
) -> None:
    # Tables are told from objects by their size, so this is about objects.
    objects = replace(deep, types={s: {"dict": 1} for s in deep.survivors})
    seen = {stack[0] for stack in deep.survivors if deep.survivors[stack][0] > 0}
    rows = [row for row in rows if row.frame in seen]
    more = [
        replace(row, size=replace(row.size, slope=row.size.slope * times))
        for row in rows
    ]
    one, other = gather(rows, objects, in_app), gather(more, objects, in_app)
    assert {g.frame: pytest.approx(g.size_per_call * times) for g in one} == {
        g.frame: g.size_per_call for g in other
    }
