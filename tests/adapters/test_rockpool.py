"""What is special about Rockpool: its own calls and registries, counts of spikes, a threshold that is trained."""

import inspect
from typing import Any

import pytest
import torch
from torch import nn

import ahsar
from ahsar.adapters import Skip
from ahsar.adapters.rockpool import entries

from .case import NEURONS
from .rockpool_cases import CASES, PER_NEURON, SHAPE

modules: Any = pytest.importorskip("rockpool.nn.modules")
Sequential: Any = pytest.importorskip("rockpool.nn.combinators").Sequential
LIFBaseTorch: Any = pytest.importorskip("rockpool.nn.modules.torch.lif_torch").LIFBaseTorch

NO_NEURON = {"TorchModule", "LinearTorch", "InstantTorch", "BooleanState", "UnitDropout", "TimeStepDropout"}
NO_SPIKES = {"RateTorch", "ExpSynTorch", "LowPass"}
# need sinabs or CUDA even to be built
SKIPPED = {"UpDownTorch", "LIFSinabs", "LIFExodus", "LIFSlayer", "ExpSynExodus", "LIFMembraneExodus"}


def lif(**kwargs: Any) -> Any:
    return modules.LIFTorch(NEURONS, **kwargs)


def sequential() -> Any:
    torch.default_generator.manual_seed(0)
    return Sequential(modules.LinearTorch((NEURONS, 8)), modules.LIFTorch(8), modules.LinearTorch((8, 4)), modules.LIFTorch(4))


def given() -> torch.Tensor:
    return 4 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))


def test_no_class_is_forgotten() -> None:
    classes = {
        name: cls
        for name, cls in vars(modules).items()
        if inspect.isclass(cls) and issubclass(cls, nn.Module) and cls.__module__.startswith("rockpool")
    }
    covered = {type(case.module()).__name__ for case in CASES}
    assert covered == {"LIFTorch", "aLIFTorch", "LIFBitshiftTorch", "LIFNeuronTorch"}
    assert classes.keys() - covered <= NO_NEURON | NO_SPIKES | SKIPPED
    known = entries()
    assert all(isinstance(known[classes[name]], Skip) for name in SKIPPED & classes.keys())
    assert not known.keys() & {classes[name] for name in NO_NEURON | NO_SPIKES}


def test_an_encoder_is_skipped_with_the_reason() -> None:
    found = ahsar.discover(nn.ModuleList([modules.UpDownTorch((3,)), modules.ExpSynTorch(3), lif()]))
    assert [(item.name, item.adapter is None) for item in found] == [("0", True), ("2", False)]
    assert "encodes" in str(found[0].reason)


@pytest.mark.parametrize("api", ["rockpool", "torch"])
def test_a_model_of_rockpool_is_attached_steered_and_baked(api: str) -> None:
    """Its `modules()` and `parameters()` return dictionaries, unless it was given PyTorch's calls."""
    net = sequential()
    if api == "torch":
        net.to_torch()
    homeostat = ahsar.attach(net, layers="all")
    assert ahsar.attached(net) is homeostat
    assert [layer.name for layer in homeostat.layers] == ["1_LIFTorch", "3_LIFTorch"]
    seen = []
    for layer in homeostat.layers:
        layer.module.register_forward_hook(lambda module, args, output: seen.append(output.count_nonzero() / output.numel()))
    net(given())
    homeostat.step()
    assert list(homeostat.rates.values()) == pytest.approx([float(rate) for rate in seen])
    assert all(0 < rate < 1 for rate in homeostat.rates.values())
    net.reset_state()
    homeostat.hold(0.5)
    wanted = net(given())
    wanted = wanted if api == "torch" else wanted[0]
    homeostat.bake()
    net.reset_state()
    baked = net(given())
    assert torch.equal(baked if api == "torch" else baked[0], wanted)
    assert [net[i].threshold.mean().item() for i in (1, 3)] == [0.5, 0.5]


def test_calibration_brings_a_model_of_rockpool_to_the_set_point() -> None:
    net = sequential()
    homeostat = ahsar.attach(net, config=ahsar.Config(set_point=0.3), layers="all")
    homeostat.calibrate([given() for _ in range(3)])
    assert all(abs(rate - 0.3) < 0.1 for rate in homeostat.rates.values()), homeostat.rates


def test_a_neuron_that_spikes_twice_in_a_step_counts_once() -> None:
    layer = lif(tau_mem=1.0, tau_syn=1e-9, bias=2.5)
    homeostat = ahsar.attach(nn.ModuleList([layer]), layers="all")
    output = layer(torch.zeros(SHAPE))[0]
    assert output.max() >= 2
    homeostat.step()
    assert homeostat.rates["0"] == pytest.approx(output.count_nonzero() / output.numel())


def test_a_trained_threshold_is_scaled_from_its_new_value_and_stays_in_the_registry() -> None:
    layer = lif(threshold=PER_NEURON.clone())  # Rockpool keeps the tensor that it is given
    homeostat = ahsar.attach(nn.ModuleList([layer]), layers="all")
    homeostat.hold(0.5)
    optimizer = torch.optim.SGD(layer.parameters().astorch(), lr=0.1)
    before = layer.threshold.detach().clone()
    layer(given())[0].sum().backward()
    optimizer.step()
    assert not torch.equal(layer.threshold, before)
    effective: Any = homeostat.layers[0].threshold
    assert torch.equal(effective.effective(layer), 0.5 * layer.threshold)
    assert layer.parameters()["threshold"] is layer.threshold and layer.parameters("thresholds")
    homeostat.bake()
    assert layer.parameters()["threshold"] is layer.threshold


def test_every_lif_of_the_base_class_is_known() -> None:
    """A class that a later release derives from it is regulated, too."""

    class Derived(LIFBaseTorch):
        def forward(self, data: torch.Tensor) -> torch.Tensor:
            return (data > self.threshold).float()

    layer = Derived(NEURONS)
    homeostat = ahsar.attach(nn.ModuleList([layer]), layers="all")
    homeostat.hold(2.0)
    assert torch.equal(layer(given())[0], (given() > 2.0).float())
