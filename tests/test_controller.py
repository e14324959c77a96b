"""The controller as a pure function: it changes nothing that it is given, and knows nothing of modules."""

import ast
import importlib.util
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import ahsar
from ahsar import Config, ConfigError, StateError, controller
from ahsar.state import VECTORS, ControllerState, each, from_dict, initial, keep, reorder, to_dict
from tests import models
from tests.reference import Reference

CPU = torch.device("cpu")
sums = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=6)


def names(count: int) -> list[str]:
    return [f"layer{i}" for i in range(count)]


def vectors(pairs: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    return torch.tensor([float(min(s, n)) for s, n in pairs]), torch.tensor([float(n) for _, n in pairs])


def plain(state: ControllerState) -> dict[str, Any]:
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    return {name: str(value.tolist() if isinstance(value, Tensor) else value) for name, value in values.items()}


CONFIGS = {
    "default": Config(),
    "quick to rest and rescue": Config(grace=3, patience=2, pause=4),
    "diffusing": Config(diffusion=0.2, beta=0.5),
    "pushing on": Config(response=0.0),
    "asking for more": Config(response=0.8, band=(1.0, 1.0), lead=(1.0, 1.0)),
    "trained": Config(trained=True, grace=4, patience=2),
    "frugal": Config(frugal=True, gamma=0.5, floor=0.01),
}


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@given(sums, st.integers(1, 40))
def test_update_and_epoch_follow_the_reference_and_leave_their_input_alone(config: Config, pairs: Any, count: int) -> None:
    state, reference = initial(names(len(pairs)), CPU), Reference(len(pairs), config)
    for number in range(count):
        before, kept = state, plain(state)
        if number % 5 == 4:
            metric, rate = math.sin(number), 1 / (1 + number)
            energy = controller.energy(state)
            state = controller.close_epoch(state, metric, metric, energy, config, learning_rate=rate)
            reference.epoch(metric, rate)
        else:
            # no rate lies at an edge, where single and double precision may decide differently
            shifted = [(1000 * ((s + number) % (n + 1)) + 7, 1000 * n + 13) for s, n in pairs]
            state = controller.update(state, *vectors(shifted), config)
            reference.step([float(s) for s, _ in shifted], [float(n) for _, n in shifted])
        assert plain(before) == kept
        assert state.scale.tolist() == pytest.approx(reference.scales, rel=1e-3)
        assert state.led.tolist() == reference.led and state.away.tolist() == reference.away
        assert state.gain == pytest.approx(reference.gain, rel=1e-5)


# each update of four layers: spikes of those that were heard, None for the others
heard = st.lists(st.lists(st.none() | st.integers(0, 50), min_size=4, max_size=4), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@pytest.mark.parametrize("config", [Config(diffusion=0.15), replace(models.MOVING, diffusion=0.2)])
@given(heard)
def test_nothing_flows_into_or_through_a_layer_that_was_not_heard(config: Config, updates: Any) -> None:
    """It stays, and those on either side of it move as two networks would that know nothing of each other."""
    state = initial(names(4), CPU)
    for spikes in updates:
        counts = torch.tensor([0.0 if one is None else 50.0 for one in spikes])
        seen = torch.tensor([float(one or 0) for one in spikes])
        before, state = state, controller.update(state, seen, counts, config)
        news = vectors_of(state)
        for i, one in enumerate(spikes):
            if one is None:
                torch.testing.assert_close(news[:, i], vectors_of(before)[:, i], rtol=0, atol=0, equal_nan=True)
        for run in runs([i for i, one in enumerate(spikes) if one is not None]):
            alone = controller.update(keep(before, [f"layer{i}" for i in run]), seen[run], counts[run], config)
            # vectors of other lengths may be computed otherwise, by the last bit
            torch.testing.assert_close(news[:, run], vectors_of(alone), equal_nan=True)


def vectors_of(state: ControllerState) -> Tensor:
    """All that is known of the layers, [vectors, L]."""
    return torch.stack([getattr(state, name) for name in VECTORS])


def runs(numbers: list[int]) -> list[list[int]]:
    """Numbers in order, parted where some are left out."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return parts


def test_the_gain_is_for_layers_that_were_heard() -> None:
    state = replace(initial(names(2), CPU), gain=1.5)
    state = controller.update(state, torch.tensor([10.0, 0.0]), torch.tensor([50.0, 0.0]), Config(frugal=True))
    assert state.scale.tolist() == [1.5, 1.0]


@settings(max_examples=50, deadline=None)
@given(sums, st.randoms(use_true_random=False))
def test_the_order_of_layers_moves_with_everything_that_is_known_of_them(pairs: Any, rng: Any) -> None:
    state = controller.update(initial(names(len(pairs)), CPU), *vectors(pairs), Config())
    order = list(state.names)
    rng.shuffle(order)
    moved = reorder(state, order)
    assert moved.names == tuple(order)
    for name in VECTORS:
        assert str(sorted(moved.by_name(getattr(moved, name)).items())) == str(
            sorted(state.by_name(getattr(state, name)).items())
        )


def test_held_scales_stay_while_rates_are_learned() -> None:
    state = controller.hold(initial(names(2), CPU), {"layer1": 0.5})
    assert state.by_name(state.scale) == {"layer0": 1.0, "layer1": 0.5}
    news = controller.update(state, *vectors([(1, 2), (1, 4)]), Config())
    assert news.scale is state.scale and news.log_scale is state.log_scale and news.rates() == {"layer0": 0.5, "layer1": 0.25}
    free = controller.release(news, Config())
    assert free.held is None and free.scale.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("scales", [{"no": 1.0}, 0.0, -1.0, math.nan, {"layer0": math.inf}])
def test_hold_refuses_unknown_layers_and_scales_that_are_none(scales: Any) -> None:
    with pytest.raises(ConfigError, match=r"hold\(\)"):
        controller.hold(initial(names(2), CPU), scales)


def test_a_saved_state_comes_back_in_its_own_order() -> None:
    state = reorder(controller.update(initial(names(3), CPU), *vectors([(1, 2), (0, 3), (4, 4)]), Config()), names(3)[::-1])
    state = replace(state, steps=7, history=({"epoch": 1, "gain": 1.0},))
    sums = {"layer0": (torch.tensor(3.0), 9), "layer1": (None, 0), "layer2": (None, 0)}
    saved = to_dict(state, Config(), sums, ["layer2"])
    back, seen = from_dict(saved, names(3), CPU)
    assert plain(back) == plain(state)
    assert {name: (None if s is None else s.item(), n) for name, (s, n) in seen.items()}["layer0"] == (3.0, 9)


def test_a_damaged_state_is_refused_whatever_is_lacking() -> None:
    saved = to_dict(initial(names(2), CPU), Config(), dict.fromkeys(names(2), (None, 0)), [])
    for key in saved:
        with pytest.raises(StateError):
            from_dict({name: value for name, value in saved.items() if name != key}, names(2), CPU)
    for key in saved["layers"]["layer0"]:
        layer = {name: value for name, value in saved["layers"]["layer0"].items() if name != key}
        with pytest.raises(StateError, match="damaged"):
            from_dict({**saved, "layers": {**saved["layers"], "layer0": layer}}, names(2), CPU)


def test_an_update_that_fails_leaves_state_thresholds_and_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.build("float")
    homeostat = ahsar.attach(model)
    model(models.batch(0)[0])
    homeostat.step()
    model(models.batch(1)[0])
    before, last = homeostat.state, homeostat.layers[-1]
    levels = [layer.module.firing_level for layer in homeostat.layers]
    heard = [layer.sum.read() for layer in homeostat.layers]
    original = last.threshold.write

    def fail(module: Any, scale: Any) -> None:
        monkeypatch.setattr(last.threshold, "write", original)
        raise RuntimeError("no")

    monkeypatch.setattr(last.threshold, "write", fail)
    with pytest.raises(RuntimeError, match="no"):
        homeostat.step()
    assert homeostat.state is before
    assert [layer.module.firing_level for layer in homeostat.layers] == levels
    assert [layer.sum.read() for layer in homeostat.layers] == heard
    homeostat.step()
    assert homeostat.steps == 2 and [layer.module.firing_level for layer in homeostat.layers] != levels


def test_vectors_are_tensors_of_their_own() -> None:
    state = initial(names(2), CPU)
    copied = each(state, torch.clone)
    places = [getattr(one, name).data_ptr() for one in (state, copied) for name in VECTORS]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("module", ["functional", "controller", "state", "config"])
def test_what_is_pure_knows_no_modules(module: str) -> None:
    spec = importlib.util.find_spec(f"ahsar.{module}")
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    named = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    assert "nn" not in named and not any(name in ("torch.nn", "torch.nn.modules") for name in imported)
