"""What is special about BrainCog: thresholds of whole numbers or behind a sigmoid, outputs that hold more than spikes."""

import inspect
from typing import Any

import pytest
import torch
from torch import nn

import ahsar

from .braincog_cases import CASES, load
from .case import NEURONS, STEPS

node: Any = load()
if node is None:
    pytest.skip("BrainCog is not installed", allow_module_level=True)

# how to build what cannot be regulated
WITHOUT: dict[str, Any] = {
    "ReLUNode": lambda: node.ReLUNode(),
    "BiasReLUNode": lambda: node.BiasReLUNode(),
    "DoubleSidePLIFNode": lambda: node.DoubleSidePLIFNode(),
    "CTIzhNode": lambda: node.CTIzhNode(),
    "adth": lambda: node.adth(),
}


def attach(*layers: nn.Module) -> ahsar.Homeostat:
    return ahsar.attach(nn.ModuleList(layers), layers="all")


def given(steps: int = 1) -> torch.Tensor:
    return 2 * torch.randn(steps * 8, NEURONS, generator=torch.Generator().manual_seed(0))


def test_no_class_is_forgotten() -> None:
    classes = {
        name
        for name, cls in vars(node).items()
        if inspect.isclass(cls) and issubclass(cls, nn.Module) and cls.__module__ == node.__name__
    }
    covered = {type(case.module()).__name__ for case in CASES}
    assert classes - covered - {"BaseNode", "BaseMCNode"} == set(WITHOUT)
    assert not covered & set(WITHOUT)


@pytest.mark.parametrize("name", WITHOUT)
def test_a_class_that_cannot_be_regulated_is_skipped_with_the_reason(name: str) -> None:
    (found,) = ahsar.discover(nn.ModuleList([WITHOUT[name]()]))
    assert found.adapter is None and found.framework == "BrainCog" and len(str(found.reason)) > 10


def test_a_node_that_fails_in_braincog_itself_still_does() -> None:
    """When this fails, BrainCog has mended it: regulate it."""
    layer = WITHOUT["DoubleSidePLIFNode"]()
    with pytest.raises(TypeError):
        layer(given())


def test_a_whole_number_as_threshold_stays_one_until_it_is_baked() -> None:
    layer = node.LIFNode(threshold=1, tau=1.0)
    assert layer.threshold.dtype == torch.int64
    homeostat = attach(layer)
    homeostat.hold(1.5)
    x = torch.tensor([[1.2, 1.6]])
    assert layer(x).tolist() == [[0, 1]]
    assert layer.threshold.dtype == torch.int64
    homeostat.bake()
    assert layer.threshold.item() == 1.5
    layer.n_reset()
    assert layer(x).tolist() == [[0, 1]]


def test_a_threshold_set_by_the_framework_while_attached_is_scaled_from_its_new_value() -> None:
    layer = node.LIFNode(threshold=1, tau=1.0)
    homeostat = attach(layer)
    homeostat.hold(0.5)
    layer.set_n_threshold(4.0)
    assert layer(torch.tensor([[1.2, 2.2]])).tolist() == [[0, 1]]


def test_a_threshold_behind_a_sigmoid_is_scaled_where_it_is_used() -> None:
    bounded, plain = node.IFNode(threshold=0.0, sigmoid_thres=True), node.LIFNode(threshold=0.2, tau=1.0, sigmoid_thres=True)
    homeostat = attach(bounded, plain)
    assert [layer.threshold.value(layer.module).item() for layer in homeostat.layers] == pytest.approx([0.5, 0.2])
    homeostat.hold(1.5)
    x = torch.tensor([[0.28, 0.32, 0.74, 0.76]])
    assert bounded(x).tolist() == [[0, 0, 0, 1]]
    assert plain(x).tolist() == [[0, 1, 1, 1]]


def test_layer_by_layer_senses_the_same_rate_as_step_by_step() -> None:
    steps = node.LIFNode()
    together = node.LIFNode(step=STEPS, layer_by_layer=True)
    homeostat = attach(steps, together)
    x = given(STEPS)
    for step in x.view(STEPS, 8, NEURONS):
        steps(step)
    together(x)
    homeostat.step()
    assert homeostat.rates["0"] == homeostat.rates["1"] > 0


def test_the_spikes_of_the_past_that_an_online_node_appends_are_not_counted() -> None:
    layer = node.OnlineLIFNode()
    homeostat = attach(layer)
    seen = [layer(step)[:8] for step in given(STEPS).view(STEPS, 8, NEURONS)]
    homeostat.step()
    assert homeostat.rates["0"] == pytest.approx(torch.cat(seen).mean().item())


def test_an_analog_node_counts_membranes_above_threshold_and_must_depend_on_it() -> None:
    layer = node.LIAFNode(tau=1.0)
    homeostat = attach(layer)
    output = layer(given())
    assert output.count_nonzero() == output.numel()
    homeostat.step()
    assert homeostat.rates["0"] == pytest.approx((given() > 0.5).float().mean().item())
    (found,) = ahsar.discover(nn.ModuleList([node.LIAFNode(threshold_related=False)]))
    assert "threshold_related" in str(found.reason)


def test_a_node_of_a_user_is_regulated_and_counted_by_its_non_zeros() -> None:
    class Own(node.BaseNode):
        def integral(self, inputs: torch.Tensor) -> None:
            self.mem = inputs

        def calc_spike(self) -> None:
            self.spike = 3 * (self.mem > self.get_thres()).float()

    layer: Any = Own(threshold=0.5)
    homeostat = attach(layer)
    homeostat.hold(2.0)
    assert torch.equal(layer(given()), 3 * (given() > 1.0).float())
    homeostat.step()
    assert homeostat.rates["0"] == pytest.approx((given() > 1.0).float().mean().item())
