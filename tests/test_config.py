"""Config: each bad value is refused with an error that names the field, the value and the range."""

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahsar import AhsarError, Config, ConfigError, StateError

RANGES = {
    "set_point": (0, 1, "(0, 1)"),
    "beta": (0, 1, "[0, 1)"),
    "limit": (0, 10, "(0, 10]"),
    "diffusion": (0, 0.25, "[0, 0.25)"),
    "reaction": (0, 2, "[0, 2]"),
    "cooling": (0, 10, "[0, 10]"),
    "response": (0, 1, "[0, 1)"),
    "tolerance": (0, 1, "[0, 1]"),
    "gamma": (0, 1, "[0, 1]"),
    "gain_limit": (1, 10, "[1, 10]"),
    "floor": (0, 1, "[0, 1)"),
    "progress_beta": (0, 1, "[0, 1)"),
}
PAIRS = ("band", "lead", "rescue", "reach")
WHOLE = {"grace": 0, "patience": 1, "pause": 0, "interval": 1, "resting_interval": 1}
NO_NUMBERS = [math.nan, math.inf, -math.inf, None, "0.5", True, 0.5j, [0.5]]


def test_every_number_has_a_range_here() -> None:
    others = {"unused", "trained", "frugal"}
    assert {field.name for field in dataclasses.fields(Config)} == {*RANGES, *PAIRS, *WHOLE} | others


@pytest.mark.parametrize("field", RANGES)
def test_a_value_outside_its_range_is_refused(field: str) -> None:
    low, high, span = RANGES[field]
    outside = [low - 1e-9, high + 1e-9, -100, 1000, *NO_NUMBERS]
    outside += [low] if span[0] == "(" else []
    outside += [high] if span[-1] == ")" else []
    for value in outside:
        with pytest.raises(ConfigError) as caught:
            Config(**{field: value})
        message = str(caught.value)
        assert f"Config.{field}" in message and repr(value) in message and span in message and "\n" not in message


@pytest.mark.parametrize("field", RANGES)
def test_a_value_at_its_limit_is_taken(field: str) -> None:
    low, high, span = RANGES[field]
    lowest = low if span[0] == "[" else low + 1e-9
    highest = high if span[-1] == "]" else high - 1e-9
    for value in (lowest, highest):
        assert getattr(Config(**{field: value}), field) == value


@pytest.mark.parametrize("field", PAIRS)
@pytest.mark.parametrize(
    "value", [(2.0, 1.0), (0.0, 1.0), (-1, 1), (1.0,), (1, 2, 3), 1.0, None, "ab", (math.nan, 1.0), (True, 2)]
)
def test_what_is_no_pair_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**{field: value})
    assert f"Config.{field}" in str(caught.value) and repr(value) in str(caught.value) and "lower first" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"lead": (0.2, 2.0)}, r"Config\.lead.*within Config\.band"),
        ({"band": (0.6, 3.5)}, r"Config\.band.*within Config\.rescue"),
        ({"reach": (1.5, 4.0)}, r"Config\.reach.*hold 1"),
    ],
)
def test_edges_that_contradict_each_other_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Config(**values)


@pytest.mark.parametrize("field", WHOLE)
def test_what_is_no_whole_number_is_refused(field: str) -> None:
    values: list[Any] = [WHOLE[field] - 1, 1.0, True, None]
    for value in values:
        with pytest.raises(ConfigError, match=rf"Config\.{field} = .*whole number ≥ {WHOLE[field]}"):
            Config(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("unused", "ignore", "'hold', 'error'"),
        ("unused", ["hold"], "'hold', 'error'"),
        ("trained", 1, "True or False"),
        ("frugal", "yes", "True or False"),
    ],
)
def test_a_bad_choice_is_refused(field: str, value: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**{field: value})
    assert f"Config.{field}" in str(caught.value) and repr(value) in str(caught.value) and told in str(caught.value)


def test_the_error_is_a_value_error_and_an_ahsar_error() -> None:
    for kind in (ValueError, AhsarError):
        with pytest.raises(kind):
            Config(beta=1)


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().beta = 0.5  # type: ignore[misc]


def test_replacing_a_field_validates_again() -> None:
    with pytest.raises(ConfigError, match=r"Config\.limit"):
        dataclasses.replace(Config(), limit=20.0)


@settings(deadline=None, max_examples=40, derandomize=True, database=None)
@given(
    st.builds(
        Config,
        set_point=st.floats(0.01, 0.4),
        beta=st.floats(0, 0.99),
        reach=st.tuples(st.floats(0.01, 1), st.floats(1, 50)),
        limit=st.floats(0.1, 10),
        interval=st.integers(1, 1000),
        frugal=st.booleans(),
        unused=st.sampled_from(["error", "hold"]),
    )
)
def test_round_trip(config: Config) -> None:
    stored = json.loads(json.dumps(config.to_dict()))
    assert Config.from_dict(stored) == config
    assert stored["version"] == 2


def test_from_dict_leaves_its_argument_alone() -> None:
    stored = Config().to_dict()
    Config.from_dict(stored)
    assert stored == Config().to_dict()


def test_from_dict_refuses_what_it_does_not_know() -> None:
    stored = Config().to_dict()
    with pytest.raises(StateError, match="no field 'rho', 'tau'"):
        Config.from_dict({**stored, "tau": 1, "rho": 2})
    for version in (0, 1, "2", None):
        with pytest.raises(StateError, match=f"version {version!r}.*reads version 2"):
            Config.from_dict({**stored, "version": version})
    del stored["version"]
    with pytest.raises(StateError, match="version None"):
        Config.from_dict(stored)


def test_from_dict_validates() -> None:
    with pytest.raises(ConfigError, match=r"Config\.beta = 7"):
        Config.from_dict({**Config().to_dict(), "beta": 7})
