"""The fully connected and the recurrent network: samples of every shape, both ways to step, the recurrence itself."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import ahsar
from ahsar.errors import WorkloadError
from ahsar.lab.models import build
from ahsar.lab.spec.rules import check
from ahsar.lab.spec.workload import Paradigm, load
from tests.lab.small import gradients, network, samples, workload

ADAM = load("digits").optimizer

SHAPES = [(2, 4, 4), (3, 2, 4, 4), (7,), (3, 7)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["mlp", "recurrent"])
def test_logits_and_gradients_for_every_shape(name: str, shape: tuple[int, ...]) -> None:
    model = network(workload(name, depth=2), shape)
    logits = model(torch.randn(4, *shape))
    assert logits.shape == (3, 4, 5)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("shape", SHAPES)
def test_stepwise_equals_whole_sequences(shape: tuple[int, ...]) -> None:
    models = [network(workload("mlp", paradigm), shape, 0.1) for paradigm in ("bptt", "tbptt")]
    x = 3 * torch.randn(4, *shape)
    whole, stepwise = (model(x) for model in models)
    assert whole.std(0).max() > 0  # time passes
    torch.testing.assert_close(whole, stepwise)


@pytest.mark.parametrize("name", ["mlp", "recurrent"])
@pytest.mark.parametrize("paradigm", ["bptt", "tbptt"])
def test_frames_of_a_sequence_are_seen_in_their_order(name: str, paradigm: str) -> None:
    model = network(workload(name, paradigm), (3, 7), seed=1).eval()
    x = torch.randn(4, 3, 7)
    other = x.clone()
    other[:, 2] = torch.randn(4, 7)  # the last frame decides nothing before it
    assert torch.equal(model(x)[:2], model(other)[:2])
    assert not torch.equal(model(x)[2], model(other)[2])
    assert torch.equal(model(x), model(x))  # and no state is left


@pytest.mark.parametrize("paradigm", ["ottt", "sltt"])
def test_online_neurons_fire_alike_and_learn(paradigm: str) -> None:
    x, y = samples(4, 3, 7), torch.tensor([0, 1, 2, 3])
    models = [network(workload("mlp", name, depth=2), (3, 7)) for name in (paradigm, "tbptt")]
    torch.testing.assert_close(models[0].eval()(x), models[1].eval()(x))
    found = gradients(paradigm, models[0].train(), x, y)
    assert found.keys() == dict(models[0].named_parameters()).keys()
    assert all(gradient.any() for gradient in found.values())


@pytest.mark.parametrize("name", ["mlp", "recurrent"])
def test_a_cut_ends_the_graph_and_keeps_the_state(name: str) -> None:
    model: Any = network(workload(name, "tbptt", depth=2), (3, 7))
    x = torch.randn(4, 3, 7).requires_grad_()
    expected = model(x)
    model.begin()
    logits = [model.step(x[:, 0]), model.step(x[:, 1])]
    model.cut()
    logits.append(model.step(x[:, 2]))
    assert torch.equal(torch.stack(logits), expected)
    (gradient,) = torch.autograd.grad(logits[-1].square().sum(), x)
    assert gradient[:, 2].any() and not gradient[:, :2].any()


def test_recurrence_by_hand() -> None:
    """SpikingJelly's LIF, h = v + (I - v) / tau with reset to 0, under I[t] = A x[t] + b + R z[t - 1]."""
    model = network(workload("recurrent", depth=1, tau=4.0), (3, 7), seed=2)
    x = torch.randn(4, 3, 7)
    (_, (a, r)), readout = model.synapses()[0][0], model.synapses()[1]  # type: ignore[operator]
    v = z = torch.zeros(4, 6)
    for t, logits in enumerate(model(x)):
        h = v + (x[:, t] @ a.weight.T + a.bias + z @ r.weight.T - v) / 4.0
        z = (h >= 0.05).float()
        v = h * (1 - z)
        torch.testing.assert_close(logits, readout(z))
    assert 0 < z.mean() < 1


@pytest.mark.parametrize(("name", "layers"), [("mlp", 2), ("recurrent", 1)])
def test_zero_means_the_networks_own_width_and_depth(name: str, layers: int) -> None:
    spec = workload(name)
    model = build(replace(spec, model=replace(spec.model, width=0)), (7,), 5)
    found, readout = model.synapses()  # type: ignore[operator]
    assert len(found) == layers and readout.in_features == 128


@pytest.mark.parametrize("name", ["mlp", "recurrent"])
def test_ahsar_counts_what_the_layers_fire(name: str) -> None:
    model = network(workload(name, depth=2), (3, 7), seed=3)
    names = ["layers.lif1", "layers.lif2"] if name == "mlp" else ["layer1.lif", "layer2.lif"]
    spikes: dict[nn.Module, list[torch.Tensor]] = {model.get_submodule(layer): [] for layer in names}
    for module in spikes:
        module.register_forward_hook(lambda module, inputs, out: spikes[module].append(out.flatten()))
    homeostat = ahsar.attach(model)
    model(torch.randn(4, 3, 7))
    homeostat.step()
    expected = {layer: torch.cat(spikes[model.get_submodule(layer)]).mean().item() for layer in names}
    assert homeostat.rates == pytest.approx(expected)
    assert min(expected.values()) > 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(WorkloadError, match="samples have 7 frames"):
        build(workload("mlp"), (7, 9), 5)
    with pytest.raises(WorkloadError, match="samples of shape"):
        build(workload("recurrent"), (3, 2, 7, 4, 4), 5)
    with pytest.raises(WorkloadError, match="samples of shape"):
        build(load("digits"), (9,), 5)
    for field, value in {"hidden": 1, "batch_norm": True}.items():
        with pytest.raises(WorkloadError, match=f"model.{field}: not for model.name = 'mlp'"):
            check(load("digits").data, replace(workload("mlp").model, **{field: value}), Paradigm(), ADAM)


@pytest.mark.parametrize("paradigm", ["rate-bp", "eprop"])
def test_learnable_time_constants_need_a_paradigm_that_reaches_them(paradigm: str) -> None:
    spec = workload("mlp", paradigm)
    with pytest.raises(WorkloadError, match="gives its time constants no gradient; choose lif or if"):
        check(spec.data, replace(spec.model, neuron="plif"), spec.paradigm, ADAM)
    check(spec.data, replace(spec.model, neuron="plif"), Paradigm("decolle"), ADAM)


def test_data_without_pixels_needs_a_network_without() -> None:
    spoken = replace(load("digits").data, name="shd")
    with pytest.raises(WorkloadError, match=r"has no pixels for model\.name = 'snntorch-conv'; choose a model from mlp"):
        check(spoken, load("digits").model, Paradigm(), ADAM)
    check(spoken, workload("recurrent").model, Paradigm(), ADAM)
