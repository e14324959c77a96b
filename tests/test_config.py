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
    "reaction": (0, 10, "[0, 10]"),
    "leak": (0, 1, "[0, 1)"),
    "diffusion": (0, 0.25, "[0, 0.25)"),
    "reach": (0, 10, "[0, 10]"),
    "limit": (0, 100, "(0, 100]"),
    "gamma": (0, 1, "[0, 1]"),
    "gain_limit": (1, 10, "[1, 10]"),
    "progress_beta": (0, 1, "[0, 1)"),
}
NO_NUMBERS = [math.nan, math.inf, -math.inf, None, "0.5", True, 0.5j, [0.5]]


def make(**values: Any) -> Config:
    """A Config in which only the given field can be at fault: the set-point leaves room for the gain."""
    return Config(**{"set_point": 0.05, **values})


def test_every_number_has_a_range_here() -> None:
    others = {"centre", "unused", "interval"}
    assert {field.name for field in dataclasses.fields(Config)} == set(RANGES) | others


@pytest.mark.parametrize("field", RANGES)
def test_a_value_outside_its_range_is_refused(field: str) -> None:
    low, high, span = RANGES[field]
    outside = [low - 1e-9, high + 1e-9, -100, 1000, *NO_NUMBERS]
    outside += [low] if span[0] == "(" else []
    outside += [high] if span[-1] == ")" else []
    for value in outside:
        with pytest.raises(ConfigError) as caught:
            make(**{field: value})
        message = str(caught.value)
        assert f"Config.{field}" in message and repr(value) in message and span in message and "\n" not in message


@pytest.mark.parametrize("field", RANGES)
def test_a_value_at_its_limit_is_taken(field: str) -> None:
    low, high, span = RANGES[field]
    lowest = low if span[0] == "[" else low + 1e-9
    highest = high if span[-1] == "]" else high - 1e-9
    for value in (lowest, highest):
        values = {field: value} if field != "set_point" else {field: value, "gain_limit": 1.0}
        assert getattr(make(**values), field) == value


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("centre", "median", "'set-point', 'network'"),
        ("centre", None, "'set-point', 'network'"),
        ("unused", "ignore", "'error', 'hold'"),
        ("unused", ["hold"], "'error', 'hold'"),
        ("interval", 0, "≥ 1"),
        ("interval", -3, "≥ 1"),
        ("interval", 1.0, "≥ 1"),
        ("interval", True, "≥ 1"),
    ],
)
def test_a_bad_choice_is_refused(field: str, value: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**{field: value})
    assert f"Config.{field}" in str(caught.value) and repr(value) in str(caught.value) and told in str(caught.value)


def test_a_gain_that_could_push_the_set_point_to_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Config\.gain_limit = 2\.5.*at most 2$"):
        Config(set_point=0.5, gain_limit=2.5)


def test_the_error_is_a_value_error_and_an_ahsar_error() -> None:
    for kind in (ValueError, AhsarError):
        with pytest.raises(kind):
            Config(beta=1)


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().beta = 0.5  # type: ignore[misc]


def test_replacing_a_field_validates_again() -> None:
    with pytest.raises(ConfigError, match=r"Config\.leak"):
        dataclasses.replace(Config(), leak=2.0)


@settings(deadline=None, max_examples=40, derandomize=True, database=None)
@given(
    st.builds(
        make,
        centre=st.sampled_from(["set-point", "network"]),
        beta=st.floats(0, 0.99),
        reach=st.floats(0, 10),
        limit=st.floats(0.1, 100),
        interval=st.integers(1, 1000),
        unused=st.sampled_from(["error", "hold"]),
    )
)
def test_round_trip(config: Config) -> None:
    stored = json.loads(json.dumps(config.to_dict()))
    assert Config.from_dict(stored) == config
    assert stored["version"] == 1


def test_from_dict_leaves_its_argument_alone() -> None:
    stored = Config().to_dict()
    Config.from_dict(stored)
    assert stored == Config().to_dict()


def test_from_dict_refuses_what_it_does_not_know() -> None:
    stored = Config().to_dict()
    with pytest.raises(StateError, match="no field 'rho', 'tau'"):
        Config.from_dict({**stored, "tau": 1, "rho": 2})
    for version in (0, 2, "1", None):
        with pytest.raises(StateError, match=f"version {version!r}.*reads version 1"):
            Config.from_dict({**stored, "version": version})
    del stored["version"]
    with pytest.raises(StateError, match="version None"):
        Config.from_dict(stored)


def test_from_dict_validates() -> None:
    with pytest.raises(ConfigError, match=r"Config\.beta = 7"):
        Config.from_dict({**Config().to_dict(), "beta": 7})
