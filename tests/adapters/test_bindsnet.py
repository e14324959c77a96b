"""What is special about BindsNET: its networks call forward past the hooks, and thresholds are millivolts that may adapt."""

import copy
import inspect
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import ahsar
from tests.models import MOVING

from .bindsnet_cases import CASES
from .case import NEURONS

network: Any = pytest.importorskip("bindsnet.network")
nodes: Any = pytest.importorskip("bindsnet.network.nodes")
conversion: Any = pytest.importorskip("bindsnet.conversion.nodes")
topology: Any = pytest.importorskip("bindsnet.network.topology")
monitors: Any = pytest.importorskip("bindsnet.network.monitors")

TIME = 40


def layer(cls: str = "LIFNodes", **kwargs: Any) -> Any:
    found = getattr(nodes, cls)(NEURONS, **kwargs)
    found.compute_decays(1.0)
    found.set_batch_size(1)
    return found


def net(cls: str = "LIFNodes", **kwargs: Any) -> Any:
    torch.default_generator.manual_seed(0)
    model = network.Network()
    model.add_layer(nodes.Input(NEURONS), name="X")
    model.add_layer(getattr(nodes, cls)(NEURONS, refrac=0, **kwargs), name="Y")
    weights = 4 * torch.rand(NEURONS, NEURONS)
    model.add_connection(topology.Connection(model.layers["X"], model.layers["Y"], w=weights), "X", "Y")
    model.add_monitor(monitors.Monitor(model.layers["Y"], ["s"], time=TIME), name="Y")
    return model


def given() -> dict[str, torch.Tensor]:
    return {"X": torch.bernoulli(torch.full((TIME, 1, NEURONS), 0.5), generator=torch.Generator().manual_seed(1))}


def watched(model: Any) -> float:
    return model.monitors["Y"].get("s").float().mean().item()


def test_no_class_is_forgotten() -> None:
    classes = {
        name
        for module in (nodes, conversion)
        for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, nn.Module) and cls.__module__ == module.__name__
    }
    covered = {type(case.module()).__name__ for case in CASES}
    assert classes - covered - {"Nodes"} == {"Input", "PassThroughNodes"}


def test_layers_that_pass_their_input_on_are_skipped_with_the_reason() -> None:
    model = nn.ModuleList(
        [nodes.Input(3), conversion.PassThroughNodes(3), layer(), layer(rest=[-65.0, *[-60.0] * (NEURONS - 1)])]
    )
    reasons = [item.reason for item in ahsar.discover(model)]
    assert "no threshold" in str(reasons[0]) and "no threshold" in str(reasons[1])
    assert reasons[2] is None and "resting potentials" in str(reasons[3])


def test_a_network_that_calls_forward_itself_is_sensed_and_steered() -> None:
    model = net()
    homeostat = ahsar.attach(model, layers="all")
    assert [item.name for item in homeostat.layers] == ["Y"]
    model.run(given(), time=TIME)
    homeostat.step()
    assert homeostat.rates["Y"] == pytest.approx(watched(model)) and watched(model) > 0
    wanted = net(thresh=-65.0 + 2.0 * 13.0)
    wanted.run(given(), time=TIME)
    homeostat.hold(2.0)
    model.reset_state_variables()
    model.run(given(), time=TIME)
    assert 0 < watched(wanted) == watched(model)
    assert model.layers["Y"].thresh.item() == -52.0


def test_rates_reach_the_set_point_in_steps_by_hand() -> None:
    model = net()
    homeostat = ahsar.attach(model, config=replace(MOVING, set_point=0.1, cooling=0.1), layers="all")
    model.run(given(), time=TIME)
    assert abs(watched(model) - 0.1) > 0.05
    for _ in range(150):
        model.reset_state_variables()
        model.run(given(), time=TIME)
        homeostat.step()
    assert homeostat.rates["Y"] == pytest.approx(0.1, abs=0.03)
    homeostat.bake()
    model.reset_state_variables()
    model.run(given(), time=TIME)
    assert watched(model) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("call", ["forward", "call"])
def test_a_layer_is_sensed_once_however_it_is_called(call: str) -> None:
    one = layer()
    homeostat = ahsar.attach(nn.ModuleList([one]), layers="all")
    for _ in range(3):
        (one.forward if call == "forward" else one)(torch.full((1, NEURONS), 9.0))
    assert homeostat.layers[0].sum.count == 3 * NEURONS
    homeostat.detach()
    assert "forward" not in one.__dict__ and one(torch.zeros(1, NEURONS)) is None


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_of_an_attached_network_is_steered_on_its_own(duplicate: Any) -> None:
    model = net()
    homeostat = ahsar.attach(model)
    homeostat.hold(0.5)
    twin = duplicate(model)
    other = ahsar.attached(twin)
    assert other is not None and other is not homeostat
    other.hold(4.0)
    for each in (model, twin):
        each.reset_state_variables()
        each.run(given(), time=TIME)
    assert watched(model) > watched(twin)
    assert homeostat.layers[0].sum.count == other.layers[0].sum.count == TIME * NEURONS


def test_the_threshold_of_an_adaptive_layer_is_scaled_and_what_it_adds_is_not() -> None:
    one = layer("DiehlAndCookNodes", one_spike=False, theta_plus=3.0)
    homeostat = ahsar.attach(nn.ModuleList([one]), layers="all")
    homeostat.hold(0.5)  # -65 + 6.5
    for wanted, theta in ((True, 3.0), (False, 3.0)):
        one.v.fill_(-65.0)
        one.refrac_count.zero_()
        one.forward(x=torch.full((1, NEURONS), 8.0))  # above -58.5, below -58.5 + 3
        assert bool(one.s.all()) is wanted and one.theta.tolist() == pytest.approx([theta] * NEURONS, rel=1e-4)


def test_one_spike_per_step_warns_of_a_set_point_out_of_reach() -> None:
    one = layer("DiehlAndCookNodes")
    homeostat = ahsar.attach(nn.ModuleList([one]), config=ahsar.Config(set_point=0.6), layers="all")
    one.forward(x=torch.full((1, NEURONS), 20.0))
    with pytest.warns(UserWarning, match=r"can reach a rate of 0\.167 .*begins at 0\.18"):
        homeostat.step()


def test_a_forward_that_raises_in_a_network_leaves_the_layer_usable() -> None:
    one = layer()
    homeostat = ahsar.attach(nn.ModuleList([one]), layers="all")
    homeostat.hold(0.5)
    with pytest.raises(AttributeError):
        one.forward(x="no tensor")
    assert one.thresh.item() == -52.0
    one.reset_state_variables()
    one.forward(x=torch.full((1, NEURONS), 8.0))
    assert bool(one.s.all())
