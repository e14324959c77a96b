"""What is special about sinabs: no class forgotten, one default threshold for all, counts above 1, copies without hooks."""

import copy
import importlib
import sys
import threading
from typing import Any

import pytest
import torch
from torch import nn

import ahsar
from ahsar.layer import layers_of
from tests.models import MOVING

from .case import BATCH, NEURONS, STEPS
from .sinabs_cases import CASES, INSTALLED

if not INSTALLED:
    pytest.skip("needs sinabs", allow_module_level=True)

sinabs: Any = importlib.import_module("sinabs")
layers: Any = importlib.import_module("sinabs.layers")
activation: Any = importlib.import_module("sinabs.activation")

WITHOUT: dict[str, Any] = {
    "ExpLeak": lambda: layers.ExpLeak(5.0),
    "ExpLeakSqueeze": lambda: layers.ExpLeakSqueeze(batch_size=2, tau_mem=5.0),
    "NeuromorphicReLU": lambda: layers.NeuromorphicReLU(),
    "SpikingMaxPooling2dLayer": lambda: layers.SpikingMaxPooling2dLayer((2, 2)),
    "Img2SpikeLayer": lambda: layers.Img2SpikeLayer((1, 2, 2)),
    "Sig2SpikeLayer": lambda: layers.Sig2SpikeLayer(3),
}
BASES = {"StatefulLayer"}
NO_NEURON = {"ChannelShift", "Cropping2dLayer", "FlattenTime", "Merge", "QuantizeLayer", "Repeat", "SumPool2d", "UnflattenTime"}


def lif(**kwargs: Any) -> Any:
    return layers.LIF(**{"tau_mem": 5.0, "norm_input": False, "spike_fn": activation.SingleSpike, **kwargs})


def alif(**kwargs: Any) -> Any:
    return layers.ALIF(**{"tau_mem": 5.0, "tau_adapt": 5.0, **kwargs})


def attach(*modules: nn.Module, **kwargs: Any) -> ahsar.Homeostat:
    kwargs.setdefault("layers", "all")
    return ahsar.attach(nn.ModuleList(modules), **kwargs)


def batch(seed: int = 0) -> torch.Tensor:
    return 1.5 * torch.randn(BATCH, STEPS, NEURONS, generator=torch.Generator().manual_seed(seed))


def test_no_class_is_forgotten() -> None:
    files = [layers, importlib.import_module("sinabs.layers.alif")]
    classes = {
        name
        for file in files
        for name, cls in vars(file).items()
        if isinstance(cls, type) and issubclass(cls, nn.Module) and cls.__module__.startswith("sinabs")
    }
    covered = {type(case.module()).__name__ for case in CASES}
    assert classes - covered - BASES - set(WITHOUT) == NO_NEURON
    assert not covered & set(WITHOUT)


@pytest.mark.parametrize("name", WITHOUT)
def test_a_class_without_threshold_is_skipped_with_the_reason(name: str) -> None:
    (found,) = ahsar.discover(nn.ModuleDict({"layer": WITHOUT[name]()}))
    assert (found.framework, found.adapter) == ("sinabs", None)
    assert found.reason is not None and len(found.reason) > 10


def test_a_layer_without_spike_function_is_skipped() -> None:
    model = nn.ModuleList([layers.LIF(5.0, spike_fn=None), lif()])
    assert [item.reason for item in ahsar.discover(model)] == ["it does not spike: its spike_fn is None", None]
    assert [layer.name for layer in ahsar.attach(model).layers] == ["1"]


def test_samna_is_not_needed() -> None:
    """Importing it installs a driver from the network; `import sinabs` does not."""
    attach(lif())
    assert "samna" not in sys.modules


@pytest.mark.parametrize("make", [lif, alif, layers.IAF])
def test_layers_with_the_default_threshold_stay_independent(make: Any) -> None:
    one, other = make(), make()
    name = "b0" if isinstance(one, layers.ALIF) else "spike_threshold"
    assert getattr(one, name).data_ptr() == getattr(other, name).data_ptr()  # one tensor for the whole process
    homeostat = attach(one, other)
    homeostat.hold({"0": 0.5})
    x = 4 * batch()
    assert one(x).count_nonzero() > other(x).count_nonzero() > 0
    homeostat.bake()
    assert [getattr(layer, name).item() for layer in (one, other, make())] == [0.5, 1.0, 1.0]


def test_a_neuron_that_spikes_several_times_in_a_step_counts_once() -> None:
    layer = lif(spike_fn=activation.MultiSpike)
    homeostat = attach(layer)
    spikes = layer(4 * batch())
    assert spikes.max() > 1
    homeostat.step()
    assert homeostat.rates["0"] == pytest.approx((spikes > 0).float().mean().item(), rel=1e-6)
    assert layer.firing_rate > homeostat.rates["0"]


def test_rates_equal_the_firing_rate_of_sinabs() -> None:
    torch.default_generator.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(NEURONS, 8),
        lif(),
        nn.Linear(8, 8),
        layers.LIFRecurrent(5.0, nn.Linear(8, 8), norm_input=False, spike_fn=activation.SingleSpike),
        layers.ALIF(5.0, 5.0, norm_input=False),
    )
    homeostat = ahsar.attach(net, config=ahsar.Config(set_point=0.05), layers="all")
    seen: dict[str, list[float]] = {name: [] for name in homeostat.rates}
    for seed in range(3):
        sinabs.reset_states(net)
        net(3 * batch(seed))
        for name, rates in seen.items():
            rates.append(net.get_submodule(name).firing_rate.item())  # type: ignore[operator]
    homeostat.step()
    wanted = {name: sum(rates) / 3 for name, rates in seen.items()}
    assert homeostat.rates == pytest.approx(wanted, rel=1e-6)
    assert len(wanted) == 3 and min(wanted.values()) > 0


def test_only_counting_single_spikes_is_a_sum() -> None:
    functions = [activation.SingleSpike, activation.MultiSpike, activation.MaxSpike(2)]
    homeostat = attach(*(lif(spike_fn=function) for function in functions), alif())
    assert [layer.sum.binary for layer in homeostat.layers] == [True, False, False, True]


@pytest.mark.parametrize("make", [lif, alif])
def test_reset_states_reaches_an_attached_layer_and_no_buffer_is_added(make: Any) -> None:
    net = nn.Sequential(make())
    buffers = list(dict(net.named_buffers()))
    homeostat = ahsar.attach(net)
    homeostat.hold(0.5)
    first = net(batch())
    assert list(dict(net.named_buffers())) == buffers
    assert not torch.equal(net(batch()), first)
    sinabs.reset_states(net)
    assert all(not buffer.any() for buffer in net.buffers())
    assert torch.equal(net(batch()), first)
    sinabs.zero_grad(net)


def test_the_base_of_an_adaptive_threshold_is_scaled_and_its_state_follows() -> None:
    layer = alif(tau_mem=0.01, adapt_scale=1.0)  # no memory: the membrane is the input
    homeostat = attach(layer)
    base = layer.b0
    homeostat.hold(0.5)
    x = torch.full((1, 1, 1), 0.6)
    assert layer(x).item() == 1.0
    decay = torch.exp(torch.tensor(-1 / 5.0)).item()
    assert layer.spike_threshold.item() == pytest.approx(0.5 + 1.0 * (1 - decay), rel=1e-6)
    assert layer(x).item() == 0.0  # adapted
    homeostat.detach()
    assert layer.b0 is base
    layer.reset_states()
    assert layer(x).item() == 0.0


def test_a_plain_number_as_base_comes_back_as_one() -> None:
    layer = alif(spike_threshold=1.0)
    homeostat = attach(layer)
    homeostat.hold(0.5)
    layer(batch())
    assert layer.b0 == 1.0 and isinstance(layer.b0, float)
    homeostat.bake()
    assert layer.b0 == 0.5 and isinstance(layer.b0, float)


def test_a_copy_of_an_attached_model_is_regulated_and_one_of_a_detached_model_is_not() -> None:
    """sinabs builds copies from their arguments and leaves hooks out."""
    net = nn.Sequential(nn.Linear(NEURONS, NEURONS), lif(), nn.Linear(NEURONS, NEURONS), layers.IAF())
    homeostat = ahsar.attach(net)
    homeostat.hold({"1": 0.5, "3": 0.7})
    with torch.no_grad():
        wanted = net(batch())
        sinabs.reset_states(net)
        twin = copy.deepcopy(net)
        sinabs.reset_states(twin)
        assert torch.equal(twin(batch()), wanted)
    owner = ahsar.attached(twin)
    assert owner is not None and owner is not homeostat and owner.scales == homeostat.scales
    assert {layer.module for layer in layers_of(twin)} == {twin[1], twin[3]} == {layer.module for layer in owner.layers}
    owner.detach()
    for model in (net, twin):
        if ahsar.attached(model) is not None:
            homeostat.detach()
        assert all("__deepcopy__" not in module.__dict__ for module in model.modules())
    assert ahsar.attached(copy.deepcopy(net)) is None


class Uncopyable:
    """A user's hook that holds what no copy can be made of, and says how often it was called."""

    def __init__(self) -> None:
        self.lock, self.calls = threading.Lock(), 0

    def __call__(self, *args: Any) -> None:
        self.calls += 1


@pytest.mark.parametrize("early", [True, False])
def test_hooks_of_others_stay_where_sinabs_leaves_them(early: bool) -> None:
    """Of an attached layer as of a plain one a copy has none of the user's hooks, whenever they came."""
    net, hook = nn.Sequential(lif(), layers.IAF()), Uncopyable()
    ways = ("register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook", "register_state_dict_pre_hook")
    handles = [getattr(net[0], way)(hook) for way in ways if early]
    homeostat = ahsar.attach(net, layers="all")
    handles += [getattr(net[0], way)(hook) for way in ways if not early]
    homeostat.hold(0.5)
    twin = copy.deepcopy(copy.deepcopy(net))
    plain = copy.deepcopy(lif())
    with torch.no_grad():
        twin(batch())
        twin.state_dict()
    assert hook.calls == 0
    owner = ahsar.attached(twin)
    assert owner is not None and owner.scales == {"0": 0.5, "1": 0.5} and list(owner.layers[0].module._forward_hooks)
    owner.detach()
    stores = [name for name in vars(plain) if "_hooks" in name]
    assert len(stores) > 8 and not any(getattr(twin[0], name) for name in stores)
    homeostat.detach()
    with torch.no_grad():
        net(batch())
    assert hook.calls == 2  # of the original they are all there
    for handle in handles:
        handle.remove()
    assert not any(getattr(net[0], name) for name in stores)


@torch.no_grad()
def test_an_analyzer_of_the_original_does_not_break_the_copy() -> None:
    analyzer: Any = importlib.import_module("sinabs.synopcounter")
    net = nn.Sequential(nn.Linear(NEURONS, NEURONS), layers.IAF(), nn.Linear(NEURONS, 2))
    homeostat = ahsar.attach(net, config=MOVING)
    with pytest.warns(DeprecationWarning):
        watching = analyzer.SNNAnalyzer(net)
    net(batch())
    sinabs.reset_states(net)
    twin = copy.deepcopy(net)
    sinabs.reset_states(twin)
    for model in (net, twin):
        owner = ahsar.attached(model)
        assert owner is not None
        model(batch())
        owner.step()
    assert homeostat.scales["1"] < 1 and "0" in watching.get_layer_statistics()["parameter"]


def test_a_copy_that_sinabs_cannot_make_still_says_so() -> None:
    layer = layers.IAFRecurrent(nn.Linear(NEURONS, NEURONS))
    with pytest.raises(AttributeError, match="rec_connect"):
        copy.deepcopy(layer)
    attach(layer)
    with pytest.raises(AttributeError, match="rec_connect"):
        copy.deepcopy(layer)


@pytest.mark.parametrize("by", ["batch_size", "num_timesteps"])
def test_squeezed_layers_have_the_rate_of_their_parents(by: str) -> None:
    plain, size = lif(), {by: BATCH if by == "batch_size" else STEPS}
    squeezed = layers.LIFSqueeze(**size, tau_mem=5.0, norm_input=False, spike_fn=activation.SingleSpike)
    homeostat = attach(plain, squeezed)
    homeostat.hold(0.6)
    a, b = plain(batch()), squeezed(batch().flatten(0, 1))
    assert torch.equal(a.flatten(0, 1), b)
    homeostat.step()
    assert homeostat.rates["0"] == homeostat.rates["1"] > 0


def test_a_converted_network_has_a_layer_for_every_relu() -> None:
    analog = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), layers.NeuromorphicReLU(), nn.Flatten(), nn.Linear(16, 3), nn.ReLU()
    )
    relus = sum(isinstance(module, (nn.ReLU, layers.NeuromorphicReLU)) for module in analog)
    network = sinabs.from_model(analog, batch_size=2)
    homeostat = ahsar.attach(network)
    assert len(homeostat.layers) == relus == 3
    assert all(layer.name.startswith("spiking_model.") for layer in homeostat.layers)
    homeostat.hold(0.5)
    spikes = network(3 * torch.rand(2 * STEPS, 1, 6, 6))
    assert spikes.shape == (2 * STEPS, 3)
    assert [layer.sum.count for layer in homeostat.layers] == [2 * STEPS * n for n in (4 * 16, 4 * 4, 3)]
    network.reset_states()
