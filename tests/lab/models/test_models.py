"""The lab's networks: shapes, logits per time step, state that never leaks from one forward into the next."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ahsar.errors import WorkloadError
from ahsar.lab.models import build, side_after
from ahsar.lab.spec.workload import Model, Workload, load, names

SHAPES = {"digits": (1, 8, 8), "fashion_mnist": (1, 14, 14), "cifar10": (3, 16, 16), "dvs-objects": (5, 2, 32, 32)}


def spiking_layers(model: nn.Module) -> list[nn.Module]:
    from snntorch import SpikingNeuron
    from spikingjelly.activation_based.neuron import BaseNode

    return [module for module in model.modules() if isinstance(module, (SpikingNeuron, BaseNode))]


def set_threshold(layer: nn.Module, value: float) -> None:
    if hasattr(layer, "v_threshold"):
        setattr(layer, "v_threshold", value)  # noqa: B010 - a float that torch's stubs do not know of
    else:
        layer.threshold.fill_(value)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]


def made(workload: Workload, seed: int = 0, classes: int = 5) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(seed)
    shape = SHAPES[workload.data.name]
    return build(workload, shape, classes), torch.randn(3, *shape)


def changed(name: str, **fields: object) -> Workload:
    workload = load(name, quick=True)
    return replace(workload, model=replace(workload.model, **fields))


@pytest.mark.parametrize("name", names())
def test_logits_per_time_step_and_gradients(name: str) -> None:
    workload = load(name, quick=True)
    model, x = made(workload)
    logits = model(x)
    assert logits.shape == (workload.model.time_steps, 3, 5)
    assert logits.dtype == torch.float32
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", names())
def test_time_passes(name: str) -> None:
    """Membranes carry over from step to step: with a low threshold, the steps of one forward differ."""
    model, x = made(load(name, quick=True))
    for layer in spiking_layers(model):
        set_threshold(layer, 0.1)
    logits = model(x)
    assert not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("name", names())
def test_spiking_layers_are_the_hidden_ones(name: str) -> None:
    spec = load(name, quick=True).model
    model, x = made(load(name, quick=True))
    layers = spiking_layers(model)
    assert len(layers) == len(spec.plan) + bool(spec.hidden)
    last = [module for module in model.modules() if not list(module.children())][-1]
    assert isinstance(last, nn.Linear) and last.out_features == 5
    spikes = []
    for layer in layers:
        layer.register_forward_hook(lambda module, inputs, out: spikes.append(out[0] if isinstance(out, tuple) else out))
    model(x)
    assert all(((s == 0) | (s == 1)).all() for s in spikes)
    assert len(spikes) == len(layers) * (spec.time_steps if spec.name == "snntorch-conv" else 1)


@pytest.mark.parametrize("name", names())
def test_forwards_are_independent(name: str) -> None:
    model, x = made(load(name, quick=True))
    model.eval()
    first = model(x)
    model(torch.randn_like(x[:2]))  # another batch of another size leaves no trace
    assert torch.equal(model(x), first)


@pytest.mark.parametrize("name", names())
def test_same_seed_same_network(name: str) -> None:
    one, two, other = (made(load(name, quick=True), seed)[0] for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", ["digits", "fashion", "cifar10-vgg"])
def test_batch_norm_is_there_only_if_asked_for(name: str, batch_norm: bool) -> None:
    workload = changed(name, batch_norm=batch_norm)
    model, x = made(workload)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == (len(workload.model.plan) if batch_norm else 0)
    assert model(x).shape[1:] == (3, 5)


@pytest.mark.parametrize("hidden", [0, 7])
@pytest.mark.parametrize("name", ["digits", "fashion", "cifar10-vgg", "dvs-objects"])
def test_hidden_layer_is_there_only_if_asked_for(name: str, hidden: int) -> None:
    workload = changed(name, hidden=hidden)
    model, x = made(workload)
    assert len(spiking_layers(model)) == len(workload.model.plan) + (hidden > 0)
    assert model(x).shape[1:] == (3, 5)


@pytest.mark.parametrize("name", ["fashion", "cifar10-vgg"])
def test_showing_an_image_once_equals_repeating_it(name: str) -> None:
    """The first convolution is done once for an image; the result is that of feeding it as T equal frames."""
    model, x = made(load(name, quick=True))
    model.eval()
    frames = x.unsqueeze(1).expand(-1, 4, *x.shape[1:])
    torch.testing.assert_close(model(x), model(frames))


@pytest.mark.parametrize(("neuron", "surrogate"), [("lif", "sigmoid"), ("plif", "atan"), ("if", "atan")])
def test_neuron_and_surrogate_are_the_asked_for(neuron: str, surrogate: str) -> None:
    model, x = made(changed("fashion", neuron=neuron, surrogate=surrogate))
    wanted = {"lif": "LIFNode", "plif": "ParametricLIFNode", "if": "IFNode"}[neuron]
    for layer in spiking_layers(model):
        assert type(layer).__name__ == wanted
        assert type(layer.surrogate_function).__name__.lower() == surrogate
        assert layer.v_threshold == 1.0
    model(x).sum().backward()


@pytest.mark.parametrize(
    ("surrogate", "slope"),
    [
        ("triangle", lambda x: (1 - x.abs()).clamp(min=0)),  # SLTT's and TET's, gamma = 1
        ("rectangle", lambda x: (x.abs() < 0.5).to(x)),  # SLTT's, threshold = 1
        ("atan", lambda x: 1 / (1 + (torch.pi * x) ** 2)),
        ("sigmoid", lambda x: 4 * torch.sigmoid(4 * x) * torch.sigmoid(-4 * x)),
    ],
)
@pytest.mark.parametrize("paradigm", ["bptt", "ottt", "sltt"])
def test_surrogates_have_the_named_shape(paradigm: str, surrogate: str, slope: Callable[[Tensor], Tensor]) -> None:
    from ahsar.lab.models.spikingjelly_conv import make_neuron

    neuron = make_neuron(Model(name="spikingjelly-conv", width=2, depth=1, time_steps=1, surrogate=surrogate), paradigm)
    current = torch.linspace(-2.03, 5.97, 81, requires_grad=True)  # v = current / 2 after one step from rest
    out = neuron(current)
    spikes = out[0] if isinstance(out, list) else out
    assert torch.equal(spikes, (current / 2 >= 1).float())
    spikes.sum().backward()
    torch.testing.assert_close(current.grad, slope(current.detach() / 2 - 1) / 2)


def test_layer_names_say_what_they_are() -> None:
    for name, expected in {
        "digits": ["neurons.lif1", "neurons.lif2", "neurons.lif_fc"],
        "fashion": ["block1.lif", "block2.lif", "block3.lif"],
        "cifar10-vgg": ["features.lif1", "features.lif2", "features.lif3", "features.lif4"],
    }.items():
        model, _ = made(load(name, quick=True))
        layers = spiking_layers(model)
        assert [key for key, module in model.named_modules() if module in layers] == expected


def test_a_deep_plain_net_is_silent_and_a_lower_threshold_wakes_it() -> None:
    """What makes `fashion-deep-plain` a hard case is in the net itself, not in the training."""
    model, x = made(load("fashion-deep-plain", quick=True))
    layers = spiking_layers(model)
    rates: list[float] = []
    layers[-1].register_forward_hook(lambda module, inputs, out: rates.append(out.mean().item()))
    model(x)
    for layer in layers:
        set_threshold(layer, 0.1)
    model(x)
    assert rates[0] == 0.0 < rates[1]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(WorkloadError, match="samples have 7 frames"):
        build(load("dvs-objects", quick=True), (7, 2, 32, 32), 5)
    with pytest.raises(WorkloadError, match="samples of shape"):
        build(load("fashion", quick=True), (28, 28), 10)
    with pytest.raises(WorkloadError, match="takes RGB images"):
        build(load("cifar10-vgg", quick=True), (1, 16, 16), 10)
    with pytest.raises(WorkloadError, match="takes images"):
        build(load("digits"), (4, 1, 8, 8), 10)
    with pytest.raises(WorkloadError, match="too many for these samples"):
        build(load("cifar10-vgg", quick=True), (3, 4, 4), 10)


def test_sides_follow_the_strides() -> None:
    plan = ((1, 2), (1, 1), (1, 2))
    assert side_after(7, plan) == nn.Conv2d(1, 1, 3, 2, 1)(nn.Conv2d(1, 1, 3, 2, 1)(torch.zeros(1, 1, 7, 7))).shape[-1]
    assert side_after(7, plan, floor=True) == 1
    assert Model(name="spikingjelly-conv", widths=(3, 4), strides=(1, 2), time_steps=2).plan == ((3, 1), (4, 2))


def test_width_and_depth_make_a_plan() -> None:
    model = Model(name="spikingjelly-conv", width=8, depth=5, time_steps=2)
    assert model.plan == ((8, 2), (8, 1), (8, 1), (16, 2), (16, 1))
