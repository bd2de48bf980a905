"""Who holds an object, in words, without running code of anybody's."""

from __future__ import annotations

import functools
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

import pytest

from leakguard._readers import search
from leakguard._readers.attributes import attributes_of, is_a
from leakguard._readers.heap import name_of_type
from leakguard._readers.paths import describe, links_of
from leakguard._readers.search import climb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Program = Callable[..., ModuleType]
    Chain = Callable[[str], list[object]]


def _never(*_: object, **__: object) -> NoReturn:
    raise AssertionError


def _climb(target: object) -> list[object]:
    return climb(target, hidden=set(), out_of_time=lambda: False)


class Lazy:
    """A proxy as lazy objects are: whatever it is asked, it would compute."""

    __class__ = property(_never)  # type: ignore[assignment]
    __getattribute__ = __getattr__ = _never  # type: ignore[assignment]
    __len__ = __iter__ = __getitem__ = __bool__ = __contains__ = _never  # type: ignore[assignment]
    __eq__ = __hash__ = __repr__ = __str__ = __format__ = _never  # type: ignore[assignment]
    wanted = property(_never)


SHOP = """
    import functools
    from collections import OrderedDict, defaultdict, deque

    CACHE = {}

    class Registry:
        items = []

        def __init__(self):
            self.kept = []

        @functools.lru_cache
        def answer(self, number):
            return [number]

        def method(self):
            return self.kept

    class Slots:
        __slots__ = ("kept",)

        def __init__(self):
            self.kept = []

    class Derived(Slots):
        pass

    class Tree(dict):
        pass

    registry, slots, derived = Registry(), Slots(), Derived()
    tree = Tree()
    tree.kept = []
    nested = {"users": {"vip": {}}}
    ordered, grouped = OrderedDict(a=[]), defaultdict(list, a=[])
    queue, pair, many = deque([[1]]), ([1],), [[1]]

    class Member:
        pass

    members = {Member()}
    table = {key: [] for key in ("plain", "with space", "x" * 40, 7, (1, 2), "a@b.c")}
    big = {f"user{number}": [] for number in range(100)}
    bound = Registry().method

    def outer():
        memo = {}
        def inner():
            return memo
        return inner

    closure = outer()

    def positional(x, found=[]):
        return found

    def keyword(*, found=[]):
        return found

    @functools.lru_cache
    def cached(number):
        return [number]

    partial = functools.partial(positional, [1])
    a_name_of_more_than_thirty_one_characters = {}
"""


@pytest.mark.parametrize(
    ("expression", "path"),
    [
        ("CACHE", "shop.CACHE"),
        ("Registry.items", "shop.Registry.items"),
        ("registry.kept", "shop.registry.kept"),
        ("slots.kept", "shop.slots.kept"),
        ("derived.kept", "shop.derived.kept"),
        ("tree.kept", "shop.tree.kept"),
        ("nested['users']['vip']", "shop.nested['users']['vip']"),
        ("ordered['a']", "shop.ordered['a']"),
        ("grouped['a']", "shop.grouped['a']"),
        ("queue", "shop.queue"),
        ("queue[0]", "shop.queue[…]"),
        ("many[0]", "shop.many[…]"),
        ("pair[0]", "shop.pair[…]"),
        ("next(iter(members))", "shop.members{…}"),
        ("bound()", "shop.bound.__self__.kept"),
        ("positional(1)", "shop.positional.__defaults__[…]"),
        ("keyword()", "shop.keyword.__defaults__['found']"),
        ("cached", "shop.cached"),
        ("cached(1)", "shop.cached[…]"),
        ("Registry.answer", "shop.Registry.answer"),
        ("partial.args[0]", "shop.partial.args[…]"),
        ("table['plain']", "shop.table['plain']"),
    ],
)
def test_a_path_reads_as_the_program_is_written(
    program: Program, chain_to: Chain, expression: str, path: str
) -> None:
    program(SHOP)
    assert describe(chain_to(expression))[0] == path


def test_a_variable_of_a_closure_is_named(program: Program, chain_to: Chain) -> None:
    program(SHOP)
    assert describe(chain_to("closure()"))[0] == "shop.closure.<memo>"


def test_a_long_name_of_a_global_is_shown(program: Program, chain_to: Chain) -> None:
    program(SHOP)
    found = chain_to("a_name_of_more_than_thirty_one_characters")
    assert describe(found)[0] == "shop.a_name_of_more_than_thirty_one_characters"


@pytest.mark.parametrize("key", ["'with space'", "'x' * 40", "7", "(1, 2)", "'a@b.c'"])
def test_a_key_that_may_be_data_is_not_shown(
    program: Program, chain_to: Chain, key: str
) -> None:
    program(SHOP)
    assert describe(chain_to(f"table[{key}]"))[0] == "shop.table[…]"


def test_a_key_of_a_large_dict_is_not_shown(program: Program, chain_to: Chain) -> None:
    program(SHOP)
    assert describe(chain_to("big['user7']"))[0] == "shop.big[…]"


def test_a_path_comes_with_the_types_of_its_hops(
    program: Program, chain_to: Chain
) -> None:
    program(SHOP)
    assert describe(chain_to("registry.kept"))[1] == (
        ("shop", "module"),
        ("shop.registry", "shop.Registry"),
        ("shop.registry.kept", "list"),
    )
    assert describe(chain_to("Registry.items"))[1] == (
        ("shop.Registry", "type"),
        ("shop.Registry.items", "list"),
    )


def test_a_local_variable_is_named_by_its_function() -> None:
    def work() -> object:
        pending: list[object] = []
        # What is held by more than the running function alone has a frame object.
        frame = sys._getframe()
        chain = [frame, pending]
        return describe(chain)[0]

    assert work() == "work() frame.pending"


def test_a_module_object_can_be_the_root() -> None:
    module = ModuleType("plugin")
    module.kept = []  # type: ignore[attr-defined]
    assert describe([module, vars(module), module.kept])[0] == "plugin.kept"  # type: ignore[attr-defined]


def test_a_lost_chain_is_named_by_its_type(program: Program) -> None:
    shop = program(SHOP)
    assert describe([shop.Registry()])[0] == "shop.Registry"


def test_what_is_no_longer_there_leaves_no_name() -> None:
    gone: list[object] = []
    assert describe([{}, gone]) == ("dict", (("dict", "dict"),))
    assert describe([Lazy, gone])[0] == f"{__name__}.Lazy"


def test_no_way_up_leaves_the_object_alone() -> None:
    assert _climb([]) == [[]]


def test_no_time_leaves_the_object_alone(program: Program) -> None:
    shop = program(SHOP)
    chain = climb(shop.CACHE, hidden=set(), out_of_time=lambda: True)
    assert len(chain) == 1
    assert chain[0] is shop.CACHE


def test_hidden_containers_are_no_holders(program: Program) -> None:
    shop = program("kept = [{}]\nother = (kept[0],)")
    chain = climb(shop.kept[0], hidden={id(shop.kept)}, out_of_time=lambda: False)
    assert describe(chain)[0] == "shop.other[…]"


def test_a_chain_longer_than_the_search_is_given_up(program: Program) -> None:
    shop = program("""
        root = last = []
        for _ in range(40):
            last.append([])
            last = last[0]
    """)
    deepest = vars(shop).pop("last")
    assert _climb(deepest) == [deepest]


def test_a_frame_is_a_root_where_nothing_named_holds(program: Program) -> None:
    shop = program("""
        import sys

        class Shelf:
            pass

        def look(kept):
            return sys._getframe()

        shelf = Shelf()
        shelf.kept = {}
        frames = [look(shelf.kept), look([])]
    """)
    assert describe(_climb(shop.shelf.kept))[0] == "shop.shelf.kept", "a name is better"
    frames = [vars(shop).pop("frames")[1]]
    assert describe(_climb(frames[0].f_locals["kept"]))[0] == "look() frame.kept"
    shop.look.__code__ = shop.look.__code__.replace(co_filename=search.__file__)
    frames = [shop.look([])]
    assert len(_climb(frames[0].f_locals["kept"])) == 1, "a frame of ours"


def test_no_code_of_a_proxy_runs_on_the_way(program: Program, chain_to: Chain) -> None:
    shop = program("kept = {}")
    shop.Lazy = Lazy
    exec(
        "proxy = Lazy()\n"
        "object.__getattribute__(proxy, '__dict__')['found'] = []\n"
        "kept['proxy'] = [proxy]",
        vars(shop),
    )
    del shop.proxy
    inner = "object.__getattribute__(kept['proxy'][0], '__dict__')['found']"
    path, hops = describe(chain_to(inner))
    assert path == "shop.kept['proxy'][…].found"
    assert ("shop.kept['proxy'][…]", f"{__name__}.Lazy") in hops


def test_no_code_of_a_key_runs_on_the_way() -> None:
    class Key:
        __eq__ = __repr__ = __str__ = _never  # type: ignore[assignment]

        def __hash__(self) -> int:
            return 1

    held: list[object] = []
    assert describe([{Key(): held}, held])[0] == "dict[…]"


def test_no_attribute_of_a_proxy_is_computed() -> None:
    proxy = Lazy()
    object.__getattribute__(proxy, "__dict__")["found"] = 1
    assert attributes_of(proxy)["found"] == 1
    assert attributes_of(proxy).get("found") == 1
    assert type(attributes_of(proxy).get("wanted")) is property
    assert attributes_of(proxy).get("missing") is None


def test_a_lazy_module_stays_unloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy.py").write_text("LOADED = True\n")
    spec = importlib.util.spec_from_file_location("heavy", tmp_path / "heavy.py")
    assert spec is not None
    assert spec.loader is not None
    loader = importlib.util.LazyLoader(spec.loader)
    spec.loader = loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "heavy", module)
    loader.exec_module(module)
    _climb([])
    describe([{}, []])
    assert type(module) is not ModuleType, "it has been loaded"


def test_no_code_of_a_metaclass_runs() -> None:
    class Meta(type):
        __getattribute__ = _never  # type: ignore[assignment]

    class Row(metaclass=Meta):
        __slots__ = ("kept",)
        limit = 3

    row = Row()
    assert attributes_of(row)["limit"] == 3
    assert attributes_of(row).get("limit") == 3


def test_no_property_of_a_metaclass_names_a_class() -> None:
    class Meta(type):
        __module__ = property(_never)  # type: ignore[assignment]

    kind = Meta("Row", (), {"__module__": "shop"})
    assert name_of_type(kind) == "shop.Row"


def test_no_property_called_dict_is_computed() -> None:
    class Proxy:
        __dict__ = property(_never)  # type: ignore[assignment]

    assert "__dict__" in attributes_of(Proxy())


def test_a_lazy_proxy_of_wrapt_stays_lazy() -> None:
    wrapt = pytest.importorskip("wrapt")
    if not hasattr(wrapt, "LazyObjectProxy"):
        pytest.skip("this wrapt has no lazy proxy")
    made: list[object] = []
    proxy = wrapt.LazyObjectProxy(lambda: made.append(1) or {})
    attributes_of(proxy)
    describe([{"proxy": proxy}, proxy])
    assert made == []


def test_attributes_come_from_the_instance_then_its_classes() -> None:
    class Base:
        __slots__ = ("empty", "filled")
        limit = 1

    class Derived(Base):
        size = 2

    item = Derived()
    item.filled = 3
    item.limit = 4
    found = attributes_of(item)
    assert (found["limit"], found["size"], found["filled"]) == (4, 2, 3)
    assert found["empty"] is None
    assert attributes_of(item).get("filled") == 3
    assert attributes_of(item).get("empty") is None
    assert attributes_of(item).get("limit") == 4
    assert attributes_of(item).get("size") == 2
    assert attributes_of(3).get("missing") is None


def test_the_real_type_counts_and_not_what_an_object_pretends() -> None:
    assert is_a([], list)
    assert is_a(True, int)  # noqa: FBT003 - a bool is an int
    assert not is_a(Lazy(), dict)


def test_classes_are_named_by_module_and_qualified_name() -> None:
    assert name_of_type(dict) == "dict"
    assert name_of_type(Lazy) == f"{__name__}.Lazy"
    assert name_of_type(functools.partial) == "functools.partial"


def test_links_are_healthy_down_to_the_holder_that_grows() -> None:
    hops = (("shop", "module"), ("shop.app", "shop.App"), ("shop.app.kept", "list"))
    links = links_of(hops, "shop.app.kept", "holds 9 entries")
    assert [link.status for link in links] == ["healthy", "healthy", "leaking"]
    assert links[0].why == "a module lives as long as the program"
    assert links[-1].why == "holds 9 entries"


def test_what_was_not_measured_is_not_called_healthy() -> None:
    hops = (("shop", "module"), ("shop.kept", "dict"), ("shop.kept[…]", "list"))
    links = links_of(hops, "shop.kept[…]", "it grows", measured=False)
    assert [link.status for link in links] == ["healthy", "unknown", "leaking"]
