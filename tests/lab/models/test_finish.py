"""What a workload may do to any network: another threshold, an amplified input, weights drawn anew."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ahsar.errors import WorkloadError
from ahsar.lab.models import build
from ahsar.lab.models.finish import initialise
from ahsar.lab.spec.catalogue import MODELS
from ahsar.lab.spec.workload import Model, Paradigm, load

SHAPE = (3, 16, 16)


def network(name: str, **fields: Any) -> nn.Module:
    """A small network for three classes, the same weights for the same initialisation."""
    size = {} if name == "vgg11" else {"depth": 2 if MODELS[name].flat or MODELS[name].planned else 4}
    spec = replace(load("digits"), model=Model(name, time_steps=2, width=16, **size, **fields))
    torch.manual_seed(0)
    return build(spec, SHAPE, 3)


def weighed(model: nn.Module) -> list[Any]:
    """The layers with weights, from the input on."""
    return [module for module in model.modules() if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d))]


def thresholds(model: nn.Module) -> list[float]:
    """The thresholds of all neurons."""
    found = (getattr(module, "v_threshold", getattr(module, "threshold", None)) for module in model.modules())
    return [float(threshold) for threshold in found if threshold is not None]


@pytest.mark.parametrize("name", MODELS)
def test_a_gain_multiplies_the_samples_and_nothing_else(name: str) -> None:
    x = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(1))
    plain, amplified = network(name, threshold=0.3), network(name, threshold=0.3, gain=1.7)
    heard: dict[float, Tensor] = {}

    def hear(gain: float) -> Any:
        def hook(layer: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
            heard.setdefault(gain, args[0])

        return hook

    for gain, model in ((1.0, plain), (1.7, amplified)):
        weighed(model)[0].register_forward_hook(hear(gain))
        model(x)
    assert heard[1.0].any() and torch.equal(heard[1.7], heard[1.0] * 1.7)
    plain, amplified = network(name, threshold=0.3), network(name, threshold=0.3, gain=1.7)
    assert torch.equal(amplified(x), plain(x * 1.7))
    assert list(amplified.state_dict()) == list(plain.state_dict())
    assert not any(module._forward_pre_hooks for module in plain.modules())


@pytest.mark.parametrize("name", MODELS)
def test_a_threshold_is_that_of_every_neuron(name: str) -> None:
    usual, lowered = thresholds(network(name)), thresholds(network(name, threshold=0.3))
    assert usual and lowered == pytest.approx([0.3 * threshold for threshold in usual])


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_drawn_as_asked(name: str) -> None:
    usual, orthogonal = network(name), network(name, init="orthogonal")
    for layer in weighed(orthogonal):
        rows: Tensor = layer.weight.detach().flatten(1)
        rows = rows if rows.shape[0] <= rows.shape[1] else rows.T
        assert torch.allclose(rows @ rows.T, torch.eye(len(rows)), atol=1e-5)
    assert {name for name, _ in usual.named_parameters()} == {name for name, _ in orthogonal.named_parameters()}


def test_kaiming_has_the_deviation_of_he_et_al() -> None:
    layer = nn.Linear(200, 3000)
    bias = layer.bias.detach().clone()
    initialise(layer, "kaiming")
    assert layer.weight.std().item() == pytest.approx((2 / 200) ** 0.5, rel=0.01)
    assert torch.equal(layer.bias, bias)


def test_fast_sigmoid_is_finite_far_from_the_threshold_in_both_frameworks() -> None:
    for name in ("snntorch-mlp", "mlp"):
        x = (1e4 * torch.randn(2, *SHAPE)).requires_grad_()
        network(name, surrogate="fast-sigmoid")(x).sum().backward()
        assert x.grad is not None and x.grad.isfinite().all()


def test_a_conversion_refuses_a_threshold_that_it_would_ignore() -> None:
    spec = Model("mlp", time_steps=2, neuron="if", threshold=0.5)
    with pytest.raises(WorkloadError, match=r"'conversion' makes neurons of threshold 1, but model.threshold = 0.5"):
        replace(load("digits"), model=spec, paradigm=Paradigm("conversion"))
