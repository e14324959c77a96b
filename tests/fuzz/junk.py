"""Bad values, and the places of nested tables where they are put."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

import ahsar

JUNK = [
    *(None, True, False, 0, -1, 1, 3, 10**30, -0.5, 0.3, 1e308, math.nan, math.inf, "", "x", "no.such.thing", b"x"),
    *([], [1, 2], [3.0, 0.1], [None], ["a", "b"], {}, {"a": 1}, {"as": "x"}, (), (0.5, 0.1)),
]  # fmt: skip
PLAIN = [value for value in JUNK if not isinstance(value, (bytes, tuple))]  # what files can hold
junk, plain = (st.sampled_from(values).map(copy.deepcopy) for values in (JUNK, PLAIN))


def refused(function: Callable[[], Any]) -> bool:
    """Whether it raised an error of ours; every other one is a fault."""
    try:
        function()
    except ahsar.AhsarError as error:
        assert str(error)
        return True
    return False


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in nested dictionaries and lists, outer ones first."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def mutated(draw: Any, tree: Any, values: Any = junk, most: int = 2) -> Any:
    """A deep copy of a nested table with a few values replaced or left out, or keys that nobody knows."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, most))):
        known = list(places(tree))
        if not known:
            return tree
        *path, last = draw(st.sampled_from(known))
        home = tree
        for key in path:
            home = home[key]
        how = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if how == "remove":
            del home[last]
        elif how == "add" and isinstance(home, dict):
            home["unknown"] = draw(values)
        else:
            home[last] = draw(values)
    return tree
