"""What stops a container's growth, read from the container and its owners."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

import pytest

from leakguard._core.evidence import Bound
from leakguard._readers.bounds import bound_of, is_unbounded_lru
from leakguard._readers.containers import length_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Program = Callable[..., ModuleType]
    Chain = Callable[[str], list[object]]


def _never(*_: object, **__: object) -> NoReturn:
    raise AssertionError


def _bound(chain: list[object]) -> Bound | None:
    return bound_of(chain, length_of(chain[-1]))


STATED = """
    import functools
    from collections import OrderedDict, defaultdict, deque

    @functools.lru_cache(maxsize=100)
    def bounded(number):
        return number

    @functools.lru_cache(maxsize=None)
    def unbounded(number):
        return number

    last, endless = deque(maxlen=10), deque()

    class Recent(OrderedDict):
        def __init__(self, maxsize):
            self.maxsize = maxsize

    recent, full = Recent(50), Recent(10)
    full.update(dict.fromkeys(range(15)))
    outgrown = Recent(10)
    outgrown.update(dict.fromkeys(range(17)))
    huge, many = Recent(20_000_000), Recent(float("inf"))

    class Store:
        def __init__(self, **attributes):
            self.__dict__.update(attributes)
            self.data = {}

    class Slots:
        __slots__ = ("__weakref__", "capacity", "data", "max_items")

        def __init__(self):
            self.capacity, self.data = 30, []

    class Mangled:
        def __init__(self):
            self.__maxsize, self.__data = 40, []

        def data(self):
            return self.__data

    class ByClass:
        MAX_ENTRIES = 60

        def __init__(self):
            self.data = []

    class Outer:
        limit = 70

        def __init__(self, inner):
            self.inner = inner

    capacity = Store(capacity=20)
    floating = Store(max_size=20.0)
    private = Store(_max_entries=20)
    timed = Store(ttl=60)
    both = Store(ttl=60, maxsize=20)
    flag, negative, zero = Store(limit=True), Store(limit=-1), Store(limit=0)
    text, other = Store(limit="20"), Store(size=20, maximal=20, timeout=5)
    segments = Store(limit=20, parts=[Store()])
    slots, mangled, by_class = Slots(), Mangled(), ByClass()
    owned = Outer(Store())
    distant = Outer(Store(x=Store(y=Store())))
    plain = {}
"""


@pytest.mark.parametrize(
    ("expression", "bound"),
    [
        ("bounded", Bound("lru_cache maxsize", 100)),
        ("last", Bound("deque maxlen", 10)),
        ("recent", Bound("Recent.maxsize", 50)),
        ("capacity.data", Bound("Store.capacity", 20)),
        ("floating.data", Bound("Store.max_size", 20)),
        ("private.data", Bound("Store._max_entries", 20)),
        ("slots.data", Bound("Slots.capacity", 30)),
        ("mangled.data()", Bound("Mangled._Mangled__maxsize", 40)),
        ("by_class.data", Bound("ByClass.MAX_ENTRIES", 60)),
        ("owned.inner.data", Bound("Outer.limit", 70)),
        ("segments.parts[0].data", Bound("Store.limit", 20)),
        ("timed.data", Bound("Store.ttl", age_seconds=60.0)),
        ("both.data", Bound("Store.maxsize", 20)),
    ],
)
def test_a_stated_bound_is_found(
    program: Program, chain_to: Chain, expression: str, bound: Bound
) -> None:
    program(STATED)
    assert _bound(chain_to(expression)) == bound


def test_a_container_may_be_pruned_late(program: Program, chain_to: Chain) -> None:
    program(STATED)
    assert _bound(chain_to("full")) == Bound("Recent.maxsize", 10)


@pytest.mark.parametrize(
    "expression",
    [
        "unbounded",
        "endless",
        "outgrown",
        "huge",
        "many",
        "flag.data",
        "negative.data",
        "zero.data",
        "text.data",
        "other.data",
        "distant.inner.x.y.data",
        "plain",
    ],
)
def test_what_bounds_nothing_is_no_bound(
    program: Program, chain_to: Chain, expression: str
) -> None:
    program(STATED)
    assert _bound(chain_to(expression)) is None


def test_a_limit_that_follows_the_length_is_no_bound(
    program: Program, chain_to: Chain
) -> None:
    shop = program(STATED)
    shop.full.maxsize = len(shop.full)
    assert _bound(chain_to("full")) is None


def test_a_cache_without_a_size_is_told_from_one_with(program: Program) -> None:
    shop = program(STATED)
    assert is_unbounded_lru(shop.unbounded)
    assert not is_unbounded_lru(shop.bounded)
    assert not is_unbounded_lru({})


GUARDED = """
    from collections import OrderedDict

    MOST = 100
    TABLE = {}
    FREE = {}
    WORD = "100"

    def put(key):
        if len(TABLE) >= MOST:
            TABLE.popitem()
        TABLE[key] = 1

    def warn(key):
        if len(FREE) > 50:
            print("many")
        FREE[key] = 1

    class Cache:
        def __init__(self, size):
            self._x, self._other, self._items = [], [], []
            self._rows, self._seen, self._words = [], {}, []
            self.room = size

        def add(self, item):
            self._x.append(item)
            while len(self._x) > MOST:
                self._x.pop(0)

        def add_item(self, item):
            if self.room < len(self._items):
                del self._items[0]

        async def add_row(self, row):
            if len(self._rows) == 30:
                self._rows.clear()

        def add_odd(self, item):
            if 0 < len(self._seen) < 9 or len(item) > 4 or len() > 3 or size() > 3:
                self._seen.clear()
            if len(self._seen) > len(self._seen) or len(self._seen) > -5:
                self._seen.pop()
            if len(self._seen) > size() or len(self._words) > WORD:
                self._seen.pop()

        def look(self):
            return len(self._other) > 20

    class Sorted(OrderedDict):
        def __setitem__(self, key, value):
            super().__setitem__(key, value)
            if len(self) > 80:
                self.popitem(last=False)

    cache, by_self = Cache(40), Sorted()
    by_self["a"] = 1
"""


@pytest.mark.parametrize(
    ("expression", "bound"),
    [
        ("cache._x", Bound("the check in add()", 100)),
        ("cache._items", Bound("the check in add_item()", 40)),
        ("cache._rows", Bound("the check in add_row()", 30)),
        ("by_self", Bound("the check in __setitem__()", 80)),
    ],
)
def test_code_that_removes_at_a_length_is_a_bound(
    program: Program, chain_to: Chain, expression: str, bound: Bound
) -> None:
    program(GUARDED)
    assert _bound(chain_to(expression)) == bound


@pytest.mark.parametrize(
    "expression", ["cache._other", "cache._seen", "cache._words", "FREE"]
)
def test_code_that_only_compares_is_no_bound(
    program: Program, chain_to: Chain, expression: str
) -> None:
    program(GUARDED)
    assert _bound(chain_to(expression)) is None


def test_a_check_that_did_not_hold_is_no_bound(
    program: Program, chain_to: Chain
) -> None:
    shop = program(GUARDED)
    shop.cache._rows.extend(range(49))
    assert _bound(chain_to("cache._rows")) is None


def test_code_bounds_its_own_global(program: Program, chain_to: Chain) -> None:
    program(GUARDED)
    table = chain_to("TABLE")
    assert bound_of(table, 3) == Bound("the check in put()", 100)
    assert bound_of(table, 300) is None
    assert bound_of(chain_to("FREE"), 3) is None


def test_a_cache_that_is_just_full_is_bounded(
    program: Program, chain_to: Chain
) -> None:
    source = """
        MOST = 3
        CACHE = dict.fromkeys(range(3))

        def put(key):
            if len(CACHE) >= MOST:
                del CACHE[next(iter(CACHE))]
            CACHE[key] = None
    """
    program(source)
    found = bound_of(chain_to("CACHE"), 3)
    assert found == Bound("the check in put()", 3)


@pytest.mark.parametrize("file", [None, 7, "/nowhere/shop.py"])
def test_code_that_cannot_be_read_bounds_nothing(
    program: Program, chain_to: Chain, file: object
) -> None:
    program(GUARDED).__file__ = file  # type: ignore[assignment]
    assert bound_of(chain_to("TABLE"), 3) is None


def test_a_class_that_bounds_its_own_attribute_is_believed(
    program: Program, chain_to: Chain
) -> None:
    program("""
        class Registry:
            _seen = {}

            @classmethod
            def add(cls, key):
                if len(cls._seen) >= 100:
                    cls._seen.clear()
                cls._seen[key] = True
    """)
    assert _bound(chain_to("Registry._seen")) == Bound("the check in add()", 100)


def test_a_memo_that_bounds_itself_is_believed(
    program: Program, chain_to: Chain
) -> None:
    program("""
        def memoized(function):
            memo = {}

            def answer(key):
                if len(memo) >= 100:
                    memo.clear()
                if key not in memo:
                    memo[key] = function(key)
                return memo[key]

            return answer

        square = memoized(lambda number: number * number)
    """)
    found = chain_to("square.__closure__[1].cell_contents")
    assert _bound(found) == Bound("the check in answer()", 100)


def test_a_check_in_a_base_class_of_another_module_is_a_bound(
    program: Program, chain_to: Chain
) -> None:
    program(GUARDED, "library")
    program("import library\n\nclass Mine(library.Cache):\n    pass\n\nown = Mine(40)")
    assert _bound(chain_to("own._x")) == Bound("the check in add()", 100)


class Odd:
    """A value that is a number to nobody who asks."""

    __class__ = property(_never)  # type: ignore[assignment]
    __eq__ = __gt__ = __lt__ = __hash__ = __bool__ = __int__ = _never  # type: ignore[assignment]


class Lazy:
    """A proxy as lazy objects are: whatever it is asked, it would compute."""

    __class__ = property(_never)  # type: ignore[assignment]
    __getattribute__ = __getattr__ = _never  # type: ignore[assignment]
    __len__ = __iter__ = __bool__ = __eq__ = __hash__ = __repr__ = _never  # type: ignore[assignment]
    limit = property(_never)
    bound = Odd()


def test_no_code_of_an_owner_runs_to_read_its_bound() -> None:
    lazy, data = Lazy(), [1]
    own = object.__getattribute__(lazy, "__dict__")
    own.update(data=data, maxsize=Odd(), capacity=20)
    assert _bound([lazy, own, data]) == Bound("Lazy.capacity", 20)
    del own["capacity"]
    assert _bound([lazy, own, data]) is None


def test_an_attribute_may_have_any_name(program: Program, chain_to: Chain) -> None:
    program("""
        class Row:
            def __init__(self):
                self.__dict__.update({2024: 7, "limit": 20})
                self.data = []

        row = Row()
    """)
    assert _bound(chain_to("row.data")) == Bound("Row.limit", 20)


def test_no_comparison_of_a_metaclass_runs() -> None:
    class Comparing(type):
        __eq__ = _never  # type: ignore[assignment]
        __hash__ = type.__hash__

    class Row(metaclass=Comparing):
        limit = 20

    assert bound_of([Row(), {}], 0) == Bound("Row.limit", 20)


def test_a_function_under_a_cache_may_bring_its_own_cache_info(
    program: Program,
) -> None:
    shop = program("import functools\ndef answer(number):\n    return number")
    shop.answer.cache_info = _never
    cached = shop.functools.lru_cache(maxsize=9)(shop.answer)
    assert bound_of([cached], 0) == Bound("lru_cache maxsize", 9)


def test_no_code_of_a_lazy_module_runs_to_find_a_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Proxy:
        __getattr__ = _never

    monkeypatch.setitem(sys.modules, "lazily", Proxy())  # type: ignore[arg-type]
    kind = type("Row", (), {"__module__": "lazily"})
    assert bound_of([kind(), {}], 0) is None


@pytest.mark.parametrize("module", ["", "no such module", 7])
def test_an_owner_of_no_known_module_is_bounded_by_no_check(module: object) -> None:
    kind = type("Row", (), {"__module__": module})
    assert bound_of([kind(), {}], 0) is None
