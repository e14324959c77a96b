"""What is special about SpikingJelly: no class forgotten, floats from one copy, step modes that agree, traps."""

import copy
import re
from typing import Any

import pytest
import torch
from spikingjelly.activation_based import functional, layer, memopt, monitor, neuron, surrogate
from torch import nn

import ahsar
from tests.models import MOVING

from .case import NEURONS, STEPS, Case, attached, same, trace
from .host_copies import HostCopies
from .spikingjelly_cases import CASES, multi

TABLE = neuron.FewSpikeTable(torch.ones(2), torch.ones(2), torch.ones(2))
# classes without a threshold of their own to scale: how to build one
WITHOUT: dict[str, Any] = {
    "NonSpikingBaseNode": neuron.NonSpikingBaseNode,
    "NonSpikingIFNode": neuron.NonSpikingIFNode,
    "NonSpikingLIFNode": neuron.NonSpikingLIFNode,
    "NoisyNonSpikingBaseNode": lambda: neuron.NoisyNonSpikingBaseNode(4),
    "NoisyNonSpikingIFNode": lambda: neuron.NoisyNonSpikingIFNode(4),
    "PSN": lambda: neuron.PSN(STEPS),
    "MaskedPSN": lambda: neuron.MaskedPSN(2, STEPS),
    "SlidingPSN": lambda: neuron.SlidingPSN(2),
    "DSRIFNode": neuron.DSRIFNode,
    "DSRLIFNode": neuron.DSRLIFNode,
    "STBIFNode": lambda: neuron.STBIFNode(torch.tensor(1.0), 4),
    "MPBNBaseNode": lambda: neuron.MPBNBaseNode(out_features=4),
    "MPBNLIFNode": lambda: neuron.MPBNLIFNode(out_features=4),
    "FewSpikeNode": lambda: neuron.FewSpikeNode(TABLE),
    "HGNode": lambda: neuron.HGNode([TABLE, TABLE], [1.0]),
    "OutlierAwareThresholdNode": lambda: neuron.OutlierAwareThresholdNode(TABLE, TABLE, 1.0),
    "FlexSN": lambda: neuron.FlexSN(lambda x, v: (x, v), 1),
}


def neuron_classes() -> dict[str, type]:
    return {
        name: cls
        for name, cls in vars(neuron).items()
        if isinstance(cls, type) and issubclass(cls, nn.Module) and cls.__module__.startswith("spikingjelly")
    }


def test_no_class_is_forgotten() -> None:
    built = {type(case.module()) for case in CASES}
    # an abstract class counts where a subclass of a user's is a case
    covered = {cls.__name__ for cls in built} | {base.__name__ for cls in built for base in cls.__bases__}
    assert set(neuron_classes()) - covered - set(WITHOUT) == set()
    assert not covered & set(WITHOUT)


@pytest.mark.parametrize("name", WITHOUT)
def test_a_class_without_threshold_is_skipped_with_the_reason(name: str) -> None:
    model = nn.ModuleDict({"layer": WITHOUT[name]()})
    found = next(item for item in ahsar.discover(model) if item.name == "layer")
    assert (found.framework, found.adapter) == ("SpikingJelly", None)
    assert found.reason and len(found.reason) > 10
    with pytest.raises(ahsar.AttachError, match="layer"):
        ahsar.attach(model)


def test_a_surrogate_that_does_not_spike_is_skipped() -> None:
    model = nn.ModuleList([neuron.IFNode(surrogate_function=surrogate.ATan(spiking=False)), neuron.IFNode()])
    assert [item.reason is None for item in ahsar.discover(model)] == [False, True]
    assert [layer.name for layer in ahsar.attach(model).layers] == ["1"]


BY_NAME = {str(case): case for case in CASES}
# (single, multi); not LIAF, whose multi-step forward in SpikingJelly 2.0 is that of LIF
PAIRS = [
    (case, BY_NAME[other])
    for name, case in BY_NAME.items()
    if (other := re.sub("-s(-|$)", r"-m\1", name)) != name and other in BY_NAME and not name.startswith("LIAF")
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: str(pair[0]))
def test_single_and_multi_step_agree(pair: tuple[Case, Case]) -> None:
    rates, spikes = [], []
    for case in pair:
        module, homeostat = attached(case)
        homeostat.hold(0.6)
        spikes.append(torch.cat([case.spikes(output).detach().flatten() for output in case.run(module, case.input())]))
        homeostat.step()
        rates.append(homeostat.rates)
    torch.testing.assert_close(*spikes, rtol=1e-5, atol=1e-6)
    assert rates[0] == rates[1]


class Net(nn.Module):
    """Linear layers and nodes of several classes over [T, N, NEURONS], for both step modes."""

    def __init__(self, step_mode: str = "m"):
        super().__init__()
        torch.default_generator.manual_seed(0)
        nodes = [neuron.IFNode(), neuron.LIFNode(), neuron.ParametricLIFNode(), neuron.KLIFNode(), neuron.EIFNode()]
        self.nodes = nn.ModuleList(nodes)
        self.synapses = nn.ModuleList(nn.Linear(NEURONS, NEURONS) for _ in nodes)
        functional.set_step_mode(self, step_mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for synapse, node in zip(self.synapses, self.nodes, strict=True):
            x = node(6 * synapse(x) + 0.5)
        return x


@pytest.mark.parametrize("step_mode", ["s", "m"])
def test_rates_equal_the_monitor_of_spikingjelly(step_mode: str) -> None:
    net = Net(step_mode)
    homeostat = ahsar.attach(net, layers="all")
    watch = monitor.OutputMonitor(net, neuron.BaseNode)
    for seed in range(3):  # several forwards, one update
        functional.reset_net(net)
        x = torch.randn(STEPS, 5, NEURONS, generator=torch.Generator().manual_seed(seed))
        for part in x if step_mode == "s" else [x]:
            net(part)
    homeostat.step()
    wanted = {name: torch.cat([r.flatten() for r in watch[name]]).mean().item() for name in watch.monitored_layers}
    assert len(wanted) == len(homeostat.layers) == 5
    assert homeostat.rates == pytest.approx(wanted, rel=1e-6)
    assert min(wanted.values()) > 0


def test_one_copy_from_the_device_per_update_for_the_whole_model(monkeypatch: pytest.MonkeyPatch) -> None:
    net, copies = Net(), HostCopies(monkeypatch)
    homeostat = ahsar.attach(net, config=MOVING, layers="all")
    for update in range(3):
        functional.reset_net(net)
        assert copies.during(lambda: net(torch.randn(STEPS, 2, NEURONS))) == 0
        assert copies.during(homeostat.step) == 1 + (update == 0)  # the first looks at values as well
    assert [type(node.v_threshold) for node in net.nodes] == [float] * 5
    assert len(set(homeostat.scales.values())) == 5


def test_the_half_threshold_node_starts_each_sequence_at_half_of_the_new_threshold() -> None:
    node = neuron.HalfThresholdIFNode(v_threshold=1.0)
    homeostat = ahsar.attach(nn.ModuleList([node]), layers="all")
    node(torch.full((2, 3), 0.25))
    membrane: Any = node.v
    homeostat.hold(0.5)
    assert node.v is membrane  # a sequence under way keeps its membrane
    node.reset()
    assert node.v == 0.25
    homeostat.hold(2.0)
    assert node.v == 1.0
    homeostat.detach()
    assert (node.v, node.v_threshold) == (0.5, 1.0)
    node.reset()
    assert node.v == 0.5


def test_the_gated_node_keeps_its_threshold_below_one() -> None:
    case = next(case for case in CASES if str(case) == "GatedLIF-m-channels")
    module, homeostat = attached(case)
    layer = homeostat.layers[0]
    for scale, wanted in ((0.5, 0.25), (1.9, 0.95), (4.0, 1 - 1e-6)):
        homeostat.hold(scale)
        effective = layer.threshold.effective(module).sigmoid()  # type: ignore[union-attr]
        torch.testing.assert_close(effective, torch.full((3,), wanted), rtol=1e-5, atol=0.0)
        assert all(gradient.isfinite().all() for gradient in trace(case, module).gradients.values())


def own_function(distance: torch.Tensor) -> torch.Tensor:
    return torch.relu(distance)


def test_a_surrogate_of_a_user_is_counted_by_its_non_zeros() -> None:
    case = Case("own", lambda theta: neuron.IFNode(theta, surrogate_function=own_function, step_mode="m"), multi)  # type: ignore[arg-type]
    module, homeostat = attached(case)
    output = case.run(module, case.input())[0]
    homeostat.step()
    assert homeostat.rates["layer"] == pytest.approx((output != 0).float().mean().item())


@pytest.mark.parametrize("sigma", [0.0, 0.5, 20.0])
def test_spikes_are_told_from_the_noise_added_to_them(sigma: float) -> None:
    """Noise of any strength: it is known, so what is left of the output is the spikes."""
    node = neuron.NoisyCUBALIFNode(NEURONS, T=STEPS, sigma_init=sigma)
    homeostat = ahsar.attach(nn.ModuleList([node]), config=ahsar.Config(set_point=0.05), layers="all")
    layer, spikes = homeostat.layers[0], []
    node.surrogate_function.register_forward_hook(lambda module, args, spike: spikes.append(spike))
    node.reset_noise(2)
    x = torch.randn(STEPS, 3, NEURONS, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        node(x)
    node.load_colored_noise(torch.randn(3, STEPS, 2 * NEURONS, generator=torch.Generator().manual_seed(1)))
    node(x)
    assert layer.sum.spikes is not None and layer.sum.spikes.item() == torch.stack(spikes).sum().item() > 0
    assert layer.sum.count == 3 * x.numel()


def test_reset_net_does_not_disturb_an_attached_model() -> None:
    case = next(case for case in CASES if str(case) == "LIF-m-soft")
    module, homeostat = attached(case)
    homeostat.hold(0.6)
    wanted = trace(case, module)
    functional.reset_net(homeostat.model)
    same(trace(case, module), wanted)


def test_a_container_that_calls_its_layer_at_every_step_counts_them_all() -> None:
    torch.manual_seed(0)
    model = layer.MultiStepContainer(nn.Linear(NEURONS, NEURONS), neuron.IFNode())
    homeostat = ahsar.attach(model)
    output = model(4 * torch.rand(STEPS, 3, NEURONS))
    spikes, count = homeostat.layers[0].sum.read()
    assert spikes is not None and 0 < spikes.item() == output.sum().item() < output.numel() == count
    homeostat.hold(0.5)
    functional.reset_net(model)
    again = model(4 * torch.rand(STEPS, 3, NEURONS))
    assert again.sum() > output.sum()


class Block(nn.Module):
    """Neurons within a module that is no Sequential: SpikingJelly's functional forward calls it whole."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def sewn(node: Any) -> nn.Sequential:
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for _ in range(2):
        parts += [nn.Linear(NEURONS, NEURONS), layer.SeqToANNContainer(nn.Dropout(0.0)), node()]
    return nn.Sequential(*parts, nn.Linear(NEURONS, 2))


def each(net: nn.Sequential) -> nn.Module:
    for i in (2, 5):
        net[i] = memopt.checkpoint_module(net[i])
    return net


def blocks(net: nn.Sequential) -> nn.Module:
    *parts, last = net.children()
    wrapped = (memopt.checkpoint_module(part) for part in (nn.Sequential(*parts[:3]), Block(nn.Sequential(*parts[3:]))))
    return nn.Sequential(*wrapped, last)


WAYS: dict[str, Any] = {
    "plain": lambda net: net,
    "whole": lambda net: memopt.checkpoint_module(net),
    "each": each,
    "blocks": blocks,
    "chunks": lambda net: memopt.checkpoint_module(net, chunks=2),
}
NODES: dict[str, Any] = {
    "IFNode": lambda: neuron.IFNode(0.6, step_mode="m"),
    "ParametricLIFNode": lambda: neuron.ParametricLIFNode(v_threshold=0.4, step_mode="m"),
    "ActivationAwareIFNode": lambda: neuron.ActivationAwareIFNode(1, step_mode="m"),
}


def optimized(node: str, way: str, early: bool) -> Any:
    """Scales and rates of each step, what is summed at the end, and the weights; `early`: attached before it is wrapped."""
    net = sewn(NODES[node])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    homeostat = ahsar.attach(net, optimizer, config=MOVING, layers="all") if early else None
    run = WAYS[way](net)
    homeostat = homeostat or ahsar.attach(run, optimizer, config=MOVING, layers="all")
    trace = []
    for step in range(3):
        x = torch.randn(STEPS, 3, NEURONS, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        run(2 * x).pow(2).mean().backward()
        optimizer.step()
        functional.reset_net(net)
        trace.append([list(homeostat.scales.values()), list(homeostat.rates.values())])
    counts = [one.sum.count for one in homeostat.layers]
    homeostat.detach()
    assert not any("functional_forward" in vars(module) for module in run.modules())
    return trace, counts, torch.nn.utils.parameters_to_vector(net.parameters()).detach()


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("way", [way for way in WAYS if way != "plain"])
def test_memory_optimized_training_is_plain_training(way: str, early: bool, node: str) -> None:
    """`checkpoint_module` calls neurons past every hook, and once more in backward."""
    (trace, counts, weights), plain = optimized(node, way, early), optimized(node, "plain", True)
    assert (trace, counts) == plain[:2] and counts == [0, 0]
    assert len({str(scales) for scales, _ in trace}) == 3
    torch.testing.assert_close(weights, plain[2], rtol=0, atol=1e-6 if way == "chunks" else 0)


def test_hooks_of_others_stay_passed_over() -> None:
    net, calls = sewn(NODES["IFNode"]), []
    net[2].register_forward_hook(lambda *args: calls.append(args))
    homeostat = ahsar.attach(net, layers="all")
    run = memopt.checkpoint_module(net)
    run(torch.zeros(STEPS, 3, NEURONS))
    assert not calls and [one.sum.count for one in homeostat.layers] == [STEPS * 3 * NEURONS] * 2
    net(torch.zeros(STEPS, 3, NEURONS))
    assert len(calls) == 1 and [one.sum.count for one in homeostat.layers] == [2 * STEPS * 3 * NEURONS] * 2


def test_an_error_in_a_functional_forward_leaves_the_threshold_as_it_was() -> None:
    node: Any = neuron.ActivationAwareIFNode(1, step_mode="m")
    homeostat = ahsar.attach(nn.Sequential(node), layers="all")
    homeostat.hold(0.5)
    before = node.v_threshold.clone()
    with pytest.raises(IndexError):
        node.functional_forward((torch.zeros(STEPS, 3, NEURONS),), ())
    assert torch.equal(node.v_threshold, before) and homeostat.layers[0].sum.count == 0
    twin: Any = copy.deepcopy(homeostat.model)[0]  # type: ignore[index]
    assert twin.functional_forward.module is twin  # a copy's hooks are its own


@pytest.mark.parametrize("name", ["SpikingLSTM", "SpikingGRU", "SpikingVanillaRNN"])
def test_recurrent_layers_without_a_threshold_are_listed_with_the_reason(name: str) -> None:
    from spikingjelly.activation_based import rnn

    kind: Any = getattr(rnn, name)
    subclass = type("Mine", (kind,), {})
    for layer_of in (kind, subclass):
        found = ahsar.discover(nn.Sequential(layer_of(3, 4, 1), neuron.IFNode()))
        assert [item.name for item in found if item.reason is None] == ["1"]
        skipped = {item.name: item.reason for item in found if item.reason}
        assert skipped.keys() == {"0", "0.cells.0"} and all("it has no threshold" in reason for reason in skipped.values())
        with pytest.raises(ahsar.AttachError, match="its gates fire where their input is positive"):
            ahsar.attach(layer_of(3, 4, 1))
