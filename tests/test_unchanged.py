"""What a change of the code's shape must leave alone: hashes, keys and messages are as they were stored.

A change that is meant is stored by `python -m tests.unchanged NAME`, and git shows it to the reader of the commit.
"""

import ast
import json
from typing import Any

import pytest

from tests.unchanged import facts


def lines(value: Any) -> list[str]:
    """A fact, one line for each thing in it."""
    if isinstance(value, dict):
        return [f"{key}: {json.dumps(item)}" for key, item in value.items()]
    return list(value)


def difference(before: list[str], now: list[str]) -> str:
    """What went, what came, or that the order is another; "" if nothing did."""
    gone, come = [line for line in before if line not in now], [line for line in now if line not in before]
    moved = ["the order changed"] if not gone and not come and before != now else []
    return "\n".join([*(f"- {line}" for line in gone), *(f"+ {line}" for line in come), *moved])


@pytest.mark.parametrize("name", facts.FACTS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # the frameworks' own
def test_nothing_changed(name: str) -> None:
    if name == "attached" and (missing := facts.missing()):
        pytest.skip(f"it needs every framework; not installed: {', '.join(missing)}")
    found = difference(lines(facts.stored(name)), lines(facts.FACTS[name]()))
    assert not found, f"\n{found}\nif this is meant: python -m tests.unchanged {name}"


def test_a_difference_says_what_went_and_what_came() -> None:
    assert difference(["a", "b"], ["a", "b"]) == ""
    assert difference(["a", "b"], ["b", "c"]) == "- a\n+ c"
    assert difference(["a", "b"], ["b", "a"]) == "the order changed"


def test_messages_are_read_from_the_source() -> None:
    source = '''
def f(x, y):
    """A docstring of four words."""
    if x:
        raise ValueError(f"no {x!r}" ", but "  f"{y:.3g}: " + ", ".join(y) + f"; try {'this one that fits' if y else 2}")
    warnings.warn("two words", stacklevel=2)
    print("this is printed, not said")
    short = "three words only"
    return {"key": "a reason of four words"}
'''
    texts = {(text, said) for text, said in facts._texts(ast.parse(source), False, False)}
    assert texts == {
        ("no {}, but {}: {}; try {}", True),
        ("this one that fits", False),
        ("two words", True),
        ("three words only", False),
        ("a reason of four words", False),
    }


def test_keys_are_paths() -> None:
    assert list(facts.paths({"a": [{"b": 1}, {"b": 2, "c": {}}], "d": {"e": [1]}})) == ["a", "a[].b", "a[].c", "d", "d.e"]
