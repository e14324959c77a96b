"""Whether one update obeyed the law: the float64 oracle goes on from the state before it, with spikes counted elsewhere."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from ahsar import Config
from ahsar.state import ControllerState
from tests.reference import Reference

Sums = Mapping[str, tuple[float, int]]  # spikes and outputs since the last update, by layer


def check_update(before: ControllerState, after: ControllerState, sums: Sums, config: Config) -> None:
    """Of layers that `after` still has, in its order: the first update finds the order of forward."""
    at = [before.names.index(name) for name in after.names]
    had: dict[str, Any] = {key: [getattr(before, key)[i].item() for i in at] for key in ("led", "away", "pushed", "own")}
    oracle = Reference(len(at), config)
    oracle.log_scales = [before.log_scale[i].item() for i in at]
    oracle.average, oracle.weight = [before.average[i].item() for i in at], [before.heard[i].item() for i in at]
    oracle.led, oracle.away, oracle.pushed = had["led"], had["away"], had["pushed"]
    oracle.own, oracle.gain = [None if math.isnan(own) else own for own in had["own"]], before.gain
    spikes, outputs = zip(*(sums.get(name, (0.0, 0)) for name in after.names), strict=True)
    if after.held is not None:
        # held before, or at 1 since all layers are the answer
        assert after.log_scale.tolist() == oracle.log_scales
        held = before.held and {name: before.held[name] for name in after.names}
        assert after.held in (held, dict.fromkeys(after.names, 1.0))
        return
    oracle.step(spikes, outputs)
    assert after.average.tolist() == near(oracle.average)
    assert after.log_scale.tolist() == near(oracle.log_scales)
    assert after.scale.tolist() == near(oracle.scales)
    assert after.led.tolist() == oracle.led
    assert after.away.tolist() == oracle.away


def near(values: list[float]) -> Any:
    """The oracle's numbers, as far as float32 can tell."""
    return pytest.approx(values, rel=1e-3, abs=1e-4)
