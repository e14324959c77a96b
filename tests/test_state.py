"""Saving and loading: kill and resume continues bit-exactly, and a state of another model changes nothing."""

import copy
import io
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import ahsar
from ahsar import Config, Homeostat, StateError
from ahsar.state import from_dict, initial, to_dict
from tests import models
from tests.models import MOVING
from tests.test_homeostat import Backwards

X = models.batch(0)[0]


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


class Run:
    """A model in training with everything that a checkpoint needs."""

    def __init__(self, kind: str, config: Config):
        self.model = models.build(kind)
        self.optimizer = models.adam(self.model)
        self.homeostat = ahsar.attach(self.model, self.optimizer, config=config)

    def train(self, first: int, last: int) -> list[float]:
        losses = []
        for step in range(first, last):
            losses.append(models.train_step(self.model, self.optimizer, step))
            if step % 3 == 2:
                self.homeostat.epoch(step / 50 if step < 13 else 0.0)
        return losses

    def save(self) -> dict[str, Any]:
        return through_a_file({name: getattr(self, name).state_dict() for name in vars(self)})

    def load(self, saved: dict[str, Any]) -> None:
        for name, state in saved.items():
            getattr(self, name).load_state_dict(state)

    def end(self) -> Any:
        homeostat = self.homeostat
        parameters = [p.tolist() for p in self.model.parameters()]
        return parameters, homeostat.scales, homeostat.rates, homeostat.gain, homeostat.steps, homeostat.history


@pytest.mark.parametrize("kind", models.KINDS)
@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("half", [6, 7, 8])
def test_kill_and_resume_continues_bit_exactly(kind: str, interval: int, half: int) -> None:
    config = replace(MOVING, interval=interval, frugal=True, floor=0.0)
    straight = Run(kind, config)
    losses = straight.train(0, 2 * half)
    killed, resumed = Run(kind, config), Run(kind, config)
    killed.train(0, half)
    resumed.load(killed.save())
    assert resumed.end() == killed.end()
    assert resumed.train(half, 2 * half) == losses[half:]
    assert resumed.end() == straight.end()
    assert straight.homeostat.gain != 1 and straight.homeostat.scales["neurons.0"] != 1


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("half", [5, 21, 31, 60])
def test_a_network_is_led_rests_and_is_rescued_alike_after_a_resume(interval: int, trained: bool, half: int) -> None:
    """The default law on rates that fall: what is known of each layer, and when it is sensed next, is saved."""
    config = Config(interval=interval, trained=trained, beta=0.5, grace=7, patience=3, pause=9, resting_interval=4)
    straight, killed, resumed = (ahsar.attach(models.build(boost=3.0), config=config) for _ in range(3))

    def run(homeostat: Homeostat, first: int, last: int) -> list[Any]:
        told = []
        for step in range(first, last):
            homeostat.model((0.0 if 24 <= step < 90 else 1.0) * models.batch(step)[0])
            sensed = [layer.name for layer in homeostat.layers if layer.sum.heard()]
            homeostat.step()
            told.append((sensed, homeostat.scales, homeostat.resting, homeostat.set_points))
        return told

    wanted = run(straight, 0, 120)
    assert run(killed, 0, half) == wanted[:half]
    resumed.load_state_dict(through_a_file(killed.state_dict()))
    assert run(resumed, half, 120) == wanted[half:]
    assert str(resumed.state_dict()) == str(straight.state_dict())
    rests = [all(resting.values()) for _, _, resting, _ in wanted]
    assert any(rests) and not all(rests[rests.index(True) :])  # it rested, and was led again
    assert any(not sensed for sensed, *_ in wanted)


@pytest.mark.parametrize("kind", models.KINDS)
@pytest.mark.parametrize("updates", [0, 2])
def test_what_was_sensed_but_not_yet_used_is_kept(kind: str, updates: int) -> None:
    """Saved between the forward and the step of gradient accumulation; also before the very first update."""
    straight, other = (ahsar.attach(models.build(kind), config=MOVING) for _ in range(2))
    for _ in range(updates):
        straight.model(X)
        straight.step()
    straight.model(X)
    other.load_state_dict(through_a_file(straight.state_dict()))
    for homeostat in (straight, other):
        homeostat.model(X[:5])
        homeostat.step()
        homeostat.model(X)
        homeostat.step()
    assert other.scales == straight.scales and other.rates == straight.rates
    assert list(other.scales) == ["neurons.0", "neurons.1"]


def test_the_order_of_the_layers_is_kept() -> None:
    straight, other = (ahsar.attach(Backwards(), config=MOVING) for _ in range(2))
    straight.model(X)
    straight.step()
    other.load_state_dict(through_a_file(straight.state_dict()))
    assert list(other.scales) == ["first", "middle", "last"] and other.scales == straight.scales
    for homeostat in (straight, other):
        homeostat.model(X)
        homeostat.step()
    assert other.scales == straight.scales


def test_a_fresh_state_is_loadable() -> None:
    homeostat = ahsar.attach(models.build())
    homeostat.load_state_dict(through_a_file(ahsar.attach(models.build()).state_dict()))
    homeostat.model(X)
    homeostat.step()
    assert homeostat.steps == 1


def test_held_scales_are_kept() -> None:
    saving = ahsar.attach(models.build(), config=MOVING)
    saving.model(X)
    saving.step()
    learned = saving.scales
    saving.hold({"neurons.1": 0.5})
    loading = ahsar.attach(models.build(), config=MOVING)
    loading.load_state_dict(through_a_file(saving.state_dict()))
    assert loading.scales == saving.scales
    assert loading.model.neurons[1].firing_level == 0.5  # type: ignore[index, union-attr]
    loading.model(X)
    loading.step()
    assert loading.scales["neurons.1"] == 0.5
    loading.release()
    assert loading.scales == learned


def test_the_state_is_a_copy_keyed_by_layer_name() -> None:
    homeostat = ahsar.attach(models.build())
    homeostat.model(X)
    homeostat.step()
    homeostat.epoch(0.5)
    state = homeostat.state_dict()
    assert list(state["layers"]) == ["neurons.0", "neurons.1"]
    before = copy.deepcopy(state)
    homeostat.model(X)
    homeostat.step()
    homeostat.epoch(0.2)
    assert str(state) == str(before)
    homeostat.load_state_dict(state)
    homeostat.model(X)
    homeostat.step()
    homeostat.epoch(0.2)
    assert str(state) == str(before)  # loading does not tie them either


def refused(homeostat: Homeostat, state: Any, told: str) -> None:
    before, levels = (
        str(homeostat.state_dict()),
        [n.firing_level for n in homeostat.model.modules() if hasattr(n, "firing_level")],
    )
    with pytest.raises(StateError, match=told) as caught:
        homeostat.load_state_dict(state)
    assert "\n" not in str(caught.value)
    assert str(homeostat.state_dict()) == before
    assert [n.firing_level for n in homeostat.model.modules() if hasattr(n, "firing_level")] == levels


def test_the_state_of_another_model_is_refused_and_nothing_changes() -> None:
    homeostat, deeper = ahsar.attach(models.build()), ahsar.attach(models.build(depth=3))
    other = ahsar.attach(nn.Sequential(models.LIF(), models.LIF()))
    for controller in (homeostat, deeper):
        controller.model(X)
        controller.step()
    refused(homeostat, deeper.state_dict(), r"another model: it adds neurons\.2")
    refused(deeper, homeostat.state_dict(), r"another model: it lacks neurons\.2")
    refused(homeostat, other.state_dict(), r"it lacks neurons\.0, neurons\.1; it adds 0, 1")


def test_what_is_no_state_is_refused_and_nothing_changes() -> None:
    homeostat = ahsar.attach(models.build())
    homeostat.model(X)
    homeostat.step()
    homeostat.model(X)
    state = homeostat.state_dict()
    for nothing in (None, [], {}, models.build().state_dict(), "state"):
        refused(homeostat, nothing, r"no state of a Homeostat of version 2 \(its version says None\)$")
    refused(homeostat, {**state, "version": 3}, r"version says 3\)$")
    refused(homeostat, {**state, "version": 1}, r"version says 1\)\. It was saved by ahsar 0\.1.*attach anew")
    for key in state:
        if key not in ("version", "left_alone"):
            refused(homeostat, {k: v for k, v in state.items() if k != key}, f"lacks '{key}'")
    refused(homeostat, {**state, "config": {**state["config"], "version": 9}}, "Config version 9")
    refused(homeostat, {**state, "config": {**state["config"], "version": 1}}, "Config version 1 .*attach anew")
    refused(homeostat, {**state, "config": {**state["config"], "tau": 1}}, "no field 'tau'")
    for key in state["layers"]["neurons.1"]:
        damaged = copy.deepcopy(state)
        del damaged["layers"]["neurons.1"][key]
        refused(homeostat, damaged, "damaged")
    for value in (torch.zeros(3), "much", None):
        damaged = copy.deepcopy(state)
        damaged["layers"]["neurons.1"]["average"] = value
        refused(homeostat, damaged, "damaged")
    for key, value in (
        ("scale", 0.0),
        ("scale", torch.nan),
        ("log_scale", math.inf),
        ("led", -1.0),
        ("count", -1),
        ("count", math.inf),
    ):
        damaged = copy.deepcopy(state)
        damaged["layers"]["neurons.1"][key] = value
        refused(homeostat, damaged, "damaged")
    wrong: dict[str, Any] = {
        "arrivals": ["lif7"], "layers": 5, "left_alone": ["neurons.1"], "held": {"neurons.0": 0.5, "neurons.1": -1.0},
        "spacing": 0, "steps": 1.5, "updated": 1, "gain": math.nan, "metric": "much", "history": [{"epoch": 1}],
    }  # fmt: skip
    for key, value in [*wrong.items(), ("arrivals", ["neurons.0", "neurons.0"]), ("config", None)]:
        refused(homeostat, {**state, key: value}, "damaged|not a NoneType")


def test_a_state_of_another_config_is_taken_with_a_warning() -> None:
    saving = ahsar.attach(models.build(), config=Config(beta=0.5))
    saving.model(X)
    saving.step()
    loading = ahsar.attach(models.build())
    with pytest.warns(UserWarning, match="another Config; the one given to attach stays in force"):
        loading.load_state_dict(saving.state_dict())
    assert loading.config == Config() and loading.scales == saving.scales


def test_a_version_that_is_a_tensor_and_a_metric_without_a_square_are_damage() -> None:
    saved = to_dict(initial(["a"], torch.device("cpu")), Config(), {"a": (None, 0)}, [])
    for key, value in (("version", torch.zeros(2)), ("metric", 1e200)):
        with pytest.raises(StateError):
            from_dict({**saved, key: value}, ["a"], torch.device("cpu"))
    with pytest.raises(StateError):
        Config.from_dict({**Config().to_dict(), "version": torch.zeros(2)})
