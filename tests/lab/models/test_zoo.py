"""The lab's deep networks: SpikingJelly's own, in sizes for small images, found whole and trained in every part."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.model import qkformer, sew_resnet, spikformer, spiking_resnet, spiking_vgg
from spikingjelly.activation_based.model import spike_driven_transformer as transformer
from torch import Tensor, nn

import ahsar
from ahsar.errors import WorkloadError
from ahsar.lab.models import build
from ahsar.lab.spec.catalogue import MODELS
from ahsar.lab.spec.sections import Model, Paradigm
from ahsar.lab.spec.workload import load

ZOO = tuple(name for name, known in MODELS.items() if not (known.planned or known.flat))
STEPWISE = ("vgg11", "resnet18", "sew-resnet18")
TRANSFORMERS = tuple(name for name in ZOO if name not in STEPWISE)
CLASSES, T = 5, 3


def made(name: str, shape: tuple[int, ...] = (3, 16, 16), paradigm: str = "bptt", classes: int = CLASSES, **fields: Any) -> Any:
    torch.manual_seed(0)
    size = {"width": 8 if name in STEPWISE else 32, **fields}
    spec = Model(name=name, **{"time_steps": T, **size})
    return build(replace(load("fashion"), model=spec, paradigm=Paradigm(paradigm)), shape, classes)


def neurons(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, neuron.BaseNode)]


def wake(model: nn.Module) -> None:
    """Low thresholds, so that spikes reach the last layer of an untrained network; those of attention are low already."""
    for lif in neurons(model):
        lif.v_threshold = 0.3 if lif.v_threshold == 1.0 else lif.v_threshold


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 14, 14), (3, 16, 18), (T, 2, 32, 32)])
def test_logits_per_time_step(name: str, shape: tuple[int, ...]) -> None:
    logits = made(name, shape)(torch.randn(2, *shape))
    assert logits.shape == (T, 2, CLASSES) and logits.dtype == torch.float32


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("time_steps", [1, 4])
def test_time_is_as_long_as_asked_for_and_passes(name: str, time_steps: int) -> None:
    model = made(name, time_steps=time_steps)
    wake(model)
    for lif in neurons(model):
        lif.register_forward_hook(lambda module, args, out: steps.append(len(out)))
    steps: list[int] = []
    logits = model(torch.randn(2, 3, 16, 16))
    assert set(steps) == {time_steps} and len(logits) == time_steps
    assert time_steps == 1 or not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("name", ZOO)
def test_forwards_are_independent(name: str) -> None:
    model = made(name).eval()
    wake(model)
    x = torch.randn(2, 3, 16, 16)
    first = model(x)
    model(torch.randn(3, 3, 16, 16))
    assert torch.equal(model(x), first)


@pytest.mark.parametrize("name", ZOO)
def test_showing_an_image_once_equals_repeating_it(name: str) -> None:
    model = made(name).eval()
    wake(model)
    x = torch.randn(2, 3, 16, 16)
    shown, repeated = model(x), model(x.unsqueeze(1).expand(-1, T, *x.shape[1:]))
    torch.testing.assert_close(shown, repeated)


@pytest.mark.parametrize("name", ZOO)
def test_gradients_reach_every_parameter(name: str) -> None:
    model = made(name, (3, 32, 32))
    wake(model)
    torch.nn.functional.cross_entropy(model(torch.randn(4, 3, 32, 32)).mean(0), torch.arange(4)).backward()
    for parameter in model.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ZOO)
def test_a_step_of_training_with_every_spiking_layer_attached(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layers are counted where they are made, and from the published architecture."""
    built: list[nn.Module] = []
    construct = neuron.LIFNode.__init__

    def noted(self: Any, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        built.append(self)

    monkeypatch.setattr(neuron.LIFNode, "__init__", noted)
    model = made(name, width=32)
    assert (
        len(built)
        == {
            "vgg11": 8,
            "resnet18": 1 + 8 * 2,
            "sew-resnet18": 1 + 8 * 2 + 3,  # three shortcuts change shape
            "spikformer": 5 + 4 * (3 + 2),  # the stem, then attention and MLP of each block
            "qkformer": 4 + 3 + 3 + 4 * (3 + 2),
            "spike-driven-transformer": 4 + 2 * (5 + 2) + 1,
        }[name]
    )
    homeostat = ahsar.attach(model)
    assert {id(found.module) for found in homeostat.layers} == set(map(id, built))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    before = [parameter.clone() for parameter in model.parameters()]
    torch.nn.functional.cross_entropy(model(torch.randn(4, 3, 16, 16)).mean(0), torch.arange(4)).backward()
    optimizer.step()
    homeostat.step()  # warns of a layer that did not run
    assert len(homeostat.rates) == len(built) and any(scale != 1.0 for scale in homeostat.scales.values())
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "paradigm"), [*((name, paradigm) for name in STEPWISE for paradigm in ("tbptt", "sltt")), ("vgg11", "ottt")]
)
def test_step_by_step_equals_the_whole_sequence(name: str, paradigm: str) -> None:
    whole, stepwise = made(name).eval(), made(name, paradigm=paradigm).eval()
    weights = [parameter.clone() for parameter in whole.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(weights, stepwise.parameters(), strict=True))
    wake(whole)
    wake(stepwise)
    x = torch.randn(2, 3, 16, 16)
    logits = whole(x)
    torch.testing.assert_close(stepwise(x), logits)
    stepwise.begin()
    torch.testing.assert_close(torch.stack([stepwise.step(x) for _ in range(T)]), logits)


@pytest.mark.parametrize("name", STEPWISE)
def test_a_cut_detaches_every_membrane(name: str) -> None:
    model = made(name, paradigm="tbptt")
    model.begin()
    model.step(torch.randn(2, 3, 16, 16))
    assert all(lif.v.requires_grad for lif in neurons(model))
    model.cut()
    assert not any(lif.v.requires_grad for lif in neurons(model))


@pytest.mark.parametrize(("name", "block", "theirs"), [
    ("resnet18", {}, spiking_resnet.spiking_resnet18),
    ("sew-resnet18", {"cnf": "ADD"}, sew_resnet.sew_resnet18),
])  # fmt: skip
def test_a_resnet_is_spikingjellys_with_another_stem(name: str, block: dict[str, str], theirs: Callable[..., Any]) -> None:
    model = made(name, width=64, classes=10).eval()
    assert parameters(model) == 11_173_962  # the usual ResNet-18 for CIFAR-10: 11.17 M
    reference = theirs(num_classes=10, spiking_neuron=neuron.LIFNode, detach_reset=True, **block)
    reference.conv1, reference.maxpool = layer.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    state = zip(reference.state_dict(), model.state_dict().values(), strict=True)
    reference.load_state_dict(dict(state))
    functional.set_step_mode(reference.eval(), "m")
    wake(model)
    wake(reference)
    x = torch.randn(1, 3, 16, 16)
    logits = model(x)
    assert logits.abs().sum() > 0
    torch.testing.assert_close(logits, reference(x.expand(T, *x.shape)))


def test_a_vgg_is_spikingjellys_with_a_short_head() -> None:
    model = made("vgg11", (3, 32, 32), width=64, classes=10)
    assert parameters(model) == 9_231_114  # the usual VGG-11 with batch norm for CIFAR-10: 9.23 M
    features = spiking_vgg.SpikingVGG.make_layers(spiking_vgg.cfgs["A"], batch_norm=True, neuron=neuron.LIFNode)
    assert parameters(model.features) == parameters(features)
    kinds = [type(module) for module in model.features if type(module).__name__ != "Show"]
    assert kinds == [type(module) for module in features]


@pytest.mark.parametrize(("name", "theirs", "millions"), [
    ("spikformer", spikformer.spikformer_cifar10, 9.32),
    ("qkformer", lambda: qkformer.QKFormer(num_classes=10, depths=(1, 1, 2)), 6.74),
    ("spike-driven-transformer", lambda: transformer.SpikeDrivenTransformer(num_classes=10, embed_dims=512, depths=2), 10.28),
])  # fmt: skip
def test_transformers_have_the_published_size(name: str, theirs: Callable[[], nn.Module], millions: float) -> None:
    count = parameters(made(name, (3, 32, 32), width=0, classes=10))
    assert count == parameters(theirs())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)  # as their papers give it for CIFAR-10


@pytest.mark.parametrize(("name", "theirs"), [
    ("spikformer", spikformer.Spikformer),
    ("qkformer", qkformer.QKFormer),
    ("spike-driven-transformer", transformer.SpikeDrivenTransformer),
])  # fmt: skip
def test_mean_logits_of_transformers_are_spikingjellys(name: str, theirs: Any) -> None:
    model = made(name).eval()
    x = torch.randn(2, 3, 16, 16)
    wake(model)
    logits = model(x)
    functional.reset_net(model)
    expected: Tensor = theirs.forward(model, x.expand(T, *x.shape))
    expected = expected.mean(0) if expected.dim() == 3 else expected
    torch.testing.assert_close(logits.mean(0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_attention_keeps_spikingjellys_thresholds(name: str) -> None:
    default = {
        "spikformer": lambda: spikformer.Spikformer(embed_dims=32, depths=4),
        "qkformer": lambda: qkformer.QKFormer(embed_dims=96, depths=(1, 1, 2)),
        "spike-driven-transformer": lambda: transformer.SpikeDrivenTransformer(embed_dims=32, depths=2),
    }[name]()
    assert [lif.v_threshold for lif in neurons(made(name))] == [lif.v_threshold for lif in neurons(default)]


@pytest.mark.parametrize("name", ZOO)
def test_neurons_are_the_asked_for(name: str) -> None:
    model = made(name, neuron="plif", surrogate="sigmoid", tau=3.0, detach_reset=False)
    for lif in neurons(model):
        assert type(lif) is neuron.ParametricLIFNode and type(lif.surrogate_function).__name__ == "Sigmoid"
        assert lif.w.sigmoid().item() == pytest.approx(1 / 3) and not lif.detach_reset
    assert {type(lif) for lif in neurons(made(name, neuron="if"))} == {neuron.IFNode}


@pytest.mark.parametrize("name", ZOO)
def test_width_and_depth_say_how_large(name: str) -> None:
    widths = (16, 24, 32) if name in STEPWISE else (32, 40, 64)
    sizes = [parameters(made(name, width=width)) for width in widths]
    assert sizes == sorted(set(sizes))
    if name != "vgg11":
        blocks = {depth: len(neurons(made(name, depth=depth))) for depth in (4, 8)}
        assert blocks[8] - blocks[4] == 4 * {"resnet18": 2, "sew-resnet18": 2, "spike-driven-transformer": 7}.get(name, 5)


@pytest.mark.parametrize("name", ["vgg11", "resnet18"])
def test_a_hidden_layer_is_there_if_asked_for(name: str) -> None:
    model = made(name, hidden=7)
    assert len(neurons(model)) == len(neurons(made(name))) + 1
    assert model.head.readout.in_features == 7


def test_what_does_not_fit_is_refused_with_both_sides_named() -> None:
    for name in ZOO:
        with pytest.raises(WorkloadError, match=rf"'{name}': samples of shape \(1, 4, 4\) are too small.* at least 8 pixels"):
            made(name, (1, 4, 4))
        with pytest.raises(WorkloadError, match=rf"model.time_steps = {T}: the samples have 7 frames"):
            made(name, (7, 2, 16, 16))
    for name in TRANSFORMERS:
        with pytest.raises(WorkloadError, match=f"width = 36: model.name = '{name}'.* multiple of 8"):
            made(name, width=36)
        with pytest.raises(WorkloadError, match=f"hidden = 9: model.name = '{name}'"):
            made(name, hidden=9)
    with pytest.raises(WorkloadError, match=r"depth = 2: model.name = 'qkformer'.*3 blocks or more"):
        made("qkformer", depth=2)
    with pytest.raises(WorkloadError, match=r"depth = 9: model.name = 'vgg11' has 8 convolutions"):
        made("vgg11", depth=9)
    with pytest.raises(WorkloadError, match=r"depth = 6: model.name = 'resnet18' has 4 stages.*multiple of 4"):
        made("resnet18", depth=6)
