"""Containers by name: found by a walk from the roots, then looked up by their path.

Rules of this file: between two looks nothing of a container is kept but its path, so
what the program drops is gone; a lookup reads past descriptors and runs no user code.
"""

from __future__ import annotations

import re
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from leakguard._readers.attributes import (
    dict_of,
    instance_dict,
    is_a,
    module_variables,
    mro_of,
)
from leakguard._readers.containers import SHORT, length_of
from leakguard._readers.heap import type_name
from leakguard._readers.paths import describe
from leakguard._readers.roots import Roots

if TYPE_CHECKING:
    from collections.abc import Callable

    from leakguard._readers.walk import Walk

#: A variable of a closure, an attribute, a key: what of a path can be looked up.
_STEP = re.compile(r"\.<(?P<variable>\w+)>|\.(?P<name>\w+)|\['(?P<key>[^']*)'\]")


class Route(NamedTuple):
    """A path that can be followed again: the module, then each step's kind and name."""

    path: str
    module: str
    steps: tuple[tuple[str, str], ...]


class Found(NamedTuple):
    """A container that a walk came by."""

    route: Route
    type: str
    length: int


def containers_of(
    walk: Walk, most: int, out_of_time: Callable[[], bool]
) -> list[Found]:
    """Return the containers of a walk that can be looked up, nearest first.

    Cost: about 20 us for each.
    """
    roots = Roots()
    found: list[Found] = []
    for item in walk:
        length = length_of(item)
        if length < SHORT or len(found) == most:
            continue
        if out_of_time():
            break
        route = route_of(walk.chain_to(item), roots)
        if route is not None:
            found.append(Found(route, type_name(item), length))
    return found


def route_of(chain: list[object], roots: Roots) -> Route | None:
    """Return how to find the end of a chain again, if all of it has names."""
    module = roots.modules.get(id(chain[0]))
    if module is None or len(chain) < 2:
        return None
    path, _ = describe(chain, roots)
    steps, at = [], len(module)
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            return None
        steps.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return Route(path, module, tuple(steps))


def chain_along(route: Route) -> list[object]:
    """Return the objects along a route as they are now, or nothing."""
    chain: list[object] = [module_variables(route.module)]
    for kind, name in route.steps:
        chain.append(_LOOKUPS[kind](chain[-1], name))
        if chain[-1] is None:
            return []
    return chain


def end_of(route: Route) -> object:
    """Return what a route leads to now, ``None`` for nothing. Cost: 1 us per step."""
    here: object = module_variables(route.module)
    for kind, name in route.steps:
        here = _LOOKUPS[kind](here, name)
        if here is None:
            break
    return here


def _attribute(item: Any, name: str) -> object:  # noqa: ANN401 - an object of any type
    if type(item) is dict:  # a module's
        return item.get(name)
    if is_a(item, type):
        return dict_of(item).get(name)
    if is_a(item, types.MethodType) and name == "__self__":
        return item.__self__
    variables = instance_dict(item)
    if variables is not None and name in variables:
        return variables[name]
    for base in mro_of(type(item)):
        member = dict_of(base).get(name)
        if type(member) is types.MemberDescriptorType:
            try:
                return member.__get__(item)
            except AttributeError:  # empty now
                return None
    return None


def _entry(item: object, key: str) -> object:
    return dict.get(item, key) if is_a(item, dict) else None


def _variable(item: object, name: str) -> object:
    if not is_a(item, types.FunctionType):
        return None
    for free, cell in zip(
        item.__code__.co_freevars, item.__closure__ or (), strict=False
    ):
        if free == name:
            try:
                return cell.cell_contents
            except ValueError:  # empty now
                return None
    return None


_LOOKUPS: dict[str, Callable[[Any, str], object]] = {
    "name": _attribute,
    "key": _entry,
    "variable": _variable,
}
