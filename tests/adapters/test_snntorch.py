"""What is special about snnTorch: no class forgotten, and its traps."""

import warnings
from typing import Any

import pytest
import snntorch as snn
import torch
from snntorch import utils
from snntorch.functional import probe
from torch import nn

import ahsar

from .case import NEURONS, STEPS
from .snntorch_cases import CASES

BASES = {"SpikingNeuron", "LIF"}  # have no forward
NO_NEURON = {"GradedSpikes"}


@pytest.fixture(autouse=True)
def alone() -> None:
    """snnTorch keeps every neuron ever built, and `utils.reset` of one net resets those of all."""
    snn.SpikingNeuron.init()


def leaky(**kwargs: Any) -> Any:
    return snn.Leaky(0.8, init_hidden=True, **kwargs)


def attach(*layers: nn.Module, **kwargs: Any) -> ahsar.Homeostat:
    kwargs.setdefault("layers", "all")
    return ahsar.attach(nn.ModuleList(layers), **kwargs)


def test_no_class_is_forgotten() -> None:
    classes = {
        name
        for name, cls in vars(snn).items()
        if isinstance(cls, type) and issubclass(cls, nn.Module) and cls.__module__.startswith("snntorch")
    }
    covered = {type(case.module()).__name__ for case in CASES}
    assert classes - covered - BASES == NO_NEURON
    assert ahsar.discover(nn.ModuleList([snn.GradedSpikes(3, 1.0)])) == []


def test_layers_that_return_no_spikes_are_skipped_with_the_reason() -> None:
    model = nn.ModuleList([snn.StateLeaky(0.8, 4, output=False), snn.AssociativeLeaky(5, 2, 3, 6), leaky()])
    reasons = [item.reason for item in ahsar.discover(model)]
    assert reasons[2] is None
    assert "output=True" in str(reasons[0]) and "use_q_projection=False" in str(reasons[1])
    assert [layer.name for layer in ahsar.attach(model).layers] == ["2"]


def test_rates_equal_the_monitor_of_snntorch() -> None:
    torch.default_generator.manual_seed(0)
    net = nn.Sequential(nn.Linear(NEURONS, 8), leaky(), nn.Linear(8, 8), snn.Synaptic(0.5, 0.8, init_hidden=True))
    homeostat = ahsar.attach(net, layers="all")
    watch = probe.OutputMonitor(net, snn.SpikingNeuron)
    for seed in range(3):
        utils.reset(net)
        for x in 4 * torch.randn(STEPS, 5, NEURONS, generator=torch.Generator().manual_seed(seed)):
            net(x)
    homeostat.step()
    wanted = {name: torch.stack(watch[name]).mean().item() for name in watch.monitored_layers}
    assert homeostat.rates == pytest.approx(wanted, rel=1e-6)
    assert list(wanted) == ["1", "3"] and min(wanted.values()) > 0


@pytest.mark.parametrize("learn", [False, True])
def test_layers_given_one_tensor_stay_independent(learn: bool) -> None:
    given = torch.tensor(1.0)
    one, other = leaky(threshold=given, learn_threshold=learn), leaky(threshold=given, learn_threshold=learn)
    assert one.threshold.data_ptr() == other.threshold.data_ptr()
    homeostat = attach(one, other)
    homeostat.hold({"0": 0.5})
    x = torch.tensor([[0.4, 0.6, 1.1]])
    assert (one(x).tolist(), other(x).tolist()) == ([[0, 1, 1]], [[0, 0, 1]])
    homeostat.bake()
    assert (one.threshold.item(), other.threshold.item(), given.item()) == (0.5, 1.0, 1.0)


def test_bake_separates_a_shared_parameter_and_keeps_the_others() -> None:
    one, two, left_out, own = (leaky(learn_threshold=True, learn_beta=True) for _ in range(4))
    shared = two.threshold = left_out.threshold = one.threshold
    own.beta = one.beta
    kept = own.threshold
    homeostat = attach(one, two, left_out, own, layers=["0", "1", "3"])
    homeostat.hold({"0": 0.5, "1": 2.0, "3": 3.0})
    homeostat.bake()
    assert [layer.threshold.item() for layer in (one, two, left_out, own)] == [0.5, 2.0, 1.0, 3.0]
    assert own.threshold is kept and left_out.threshold is shared and shared.item() == 1.0
    assert all(isinstance(layer.threshold, nn.Parameter) for layer in (one, two))


def test_a_whole_number_as_threshold_stays_one_until_it_is_baked() -> None:
    layer = leaky(threshold=1)
    homeostat = attach(layer)
    homeostat.hold(1.5)
    x = torch.tensor([[1.2, 1.6]])
    assert layer(x).tolist() == [[0, 1]]
    homeostat.detach()
    assert layer.threshold.dtype == torch.int64
    homeostat = attach(layer)
    homeostat.hold(1.5)
    homeostat.bake()
    assert layer.threshold.item() == 1.5


def inhibited(make: Any) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # snnTorch's own, on inhibition
        return make(inhibition=True, init_hidden=True)


def test_inhibition_warns_of_a_set_point_out_of_reach() -> None:
    layer = inhibited(lambda **kwargs: snn.Leaky(0.8, **kwargs))
    homeostat = attach(layer, config=ahsar.Config(set_point=0.6))
    layer(torch.randn(2, NEURONS))
    with pytest.warns(UserWarning, match=r"layer '0' can reach a rate of 0\.167 .*begins at 0\.18"):
        homeostat.step()
    layer(torch.randn(2, NEURONS))
    homeostat.step()  # says it once


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda **kwargs: snn.SLSTM(NEURONS, NEURONS, **kwargs), (2, NEURONS)),
        (lambda **kwargs: snn.SConv2dLSTM(3, 8, 3, **kwargs), (2, 3, 4, 4)),
    ],
)
def test_lstms_ignore_inhibition_and_so_do_their_ceilings(make: Any, shape: tuple[int, ...]) -> None:
    layer: Any = inhibited(make)
    layer.threshold.fill_(-1.0)
    assert layer(torch.randn(shape)).mean() == 1.0  # every neuron fires at once
    layer.threshold.fill_(0.1)
    homeostat = attach(layer)
    layer(torch.randn(shape))
    homeostat.step()
    assert homeostat.layers[0].ceiling == 1.0


def interrupt(distance: torch.Tensor) -> torch.Tensor:
    raise KeyboardInterrupt


@pytest.mark.parametrize("after", ["detach", "bake", "hold"])
def test_an_interrupted_forward_leaves_nothing_behind(after: str) -> None:
    """No hook runs after Ctrl-C, so the shadow goes with the next update, or at the end."""
    layer = leaky()
    homeostat = attach(layer)
    homeostat.hold(0.5)
    spike, layer.spike_grad = layer.spike_grad, interrupt
    with pytest.raises(KeyboardInterrupt):
        layer(torch.ones(1, 2))
    layer.spike_grad = spike
    layer.reset_mem()
    assert layer(torch.full((1, 2), 0.6)).tolist() == [[1, 1]]
    if after == "hold":
        homeostat.hold(2.0)
        assert layer.threshold.item() == 1.0
        layer.reset_mem()
        assert layer(torch.full((1, 2), 1.5)).tolist() == [[0, 0]]
        homeostat.detach()
    else:
        getattr(homeostat, after)()
    assert "threshold" not in layer.__dict__
    assert layer.threshold.item() == (0.5 if after == "bake" else 1.0)


def test_a_threshold_that_is_loaded_or_moved_is_scaled_from_its_new_value() -> None:
    for layer in (leaky(), leaky(learn_threshold=True), leaky(learn_threshold=True).requires_grad_(False)):
        homeostat = attach(layer)
        homeostat.hold(0.5)
        layer(torch.ones(1, 1))
        with pytest.warns(UserWarning, match="weights without scales were loaded"):
            layer.load_state_dict({**layer.state_dict(), "threshold": torch.tensor(3.0)})
        effective: Any = homeostat.layers[0].threshold
        layer(torch.ones(1, 1))
        assert effective.effective(layer).item() == 1.5
        layer.double()
        layer(torch.ones(1, 1).double())
        assert effective.effective(layer).dtype == torch.float64


def test_validation_in_inference_mode_leaves_training_able_to_learn() -> None:
    layer = leaky(learn_threshold=True)
    homeostat = attach(layer)
    homeostat.hold(0.7)
    with torch.inference_mode():
        layer(torch.rand(2, 3))
    layer.mem = torch.zeros(0)
    layer(torch.rand(2, 3)).sum().backward()
    assert layer.threshold.grad.item() != 0.0


def test_reset_of_snntorch_reaches_attached_layers() -> None:
    net = nn.Sequential(leaky(), leaky())
    homeostat = ahsar.attach(net)
    homeostat.hold(0.5)
    x = torch.rand(3, NEURONS)
    first = net(x)
    utils.reset(net)
    assert torch.equal(net(x), first)
