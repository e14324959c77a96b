"""The neurons that SpikingJelly has always had, so that its older releases can be held to the same promises."""

from typing import Any

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

import ahsar

STEPS, BATCH, FEATURES = 4, 8, 10
KINDS = [neuron.IFNode, neuron.LIFNode, neuron.ParametricLIFNode]


def build(kind: Any, mode: str, reset: float | None, threshold: float = 1.0) -> nn.Module:
    torch.manual_seed(0)

    def spiking() -> nn.Module:
        return kind(v_threshold=threshold, v_reset=reset, surrogate_function=surrogate.ATan(), step_mode=mode)

    synapses = [layer.Linear(FEATURES, 20, step_mode=mode), layer.Linear(20, 5, step_mode=mode)]
    with torch.no_grad():
        for synapse in synapses:
            synapse.weight.mul_(5)
    return nn.Sequential(synapses[0], spiking(), synapses[1], spiking())


def run(net: nn.Module, mode: str) -> tuple[Tensor, list[Tensor]]:
    """Spikes [T, N, 5], and the gradients of all parameters."""
    functional.reset_net(net)
    net.zero_grad()
    x = 4 * torch.rand(STEPS, BATCH, FEATURES, generator=torch.Generator().manual_seed(1))
    out = net(x) if mode == "m" else torch.stack([net(step) for step in x])
    (out * torch.arange(5.0)).sum().backward()
    return out.detach(), [p.grad.clone() for p in net.parameters() if p.grad is not None]


def same(a: Any, b: Any) -> None:
    assert torch.equal(a[0], b[0])
    assert len(a[1]) == len(b[1]) > 0
    assert all(map(torch.equal, a[1], b[1]))


each = pytest.mark.parametrize(
    ("kind", "mode", "reset"), [(kind, mode, reset) for kind in KINDS for mode in "sm" for reset in (0.0, None)]
)


@each
def test_the_promises_hold(kind: Any, mode: str, reset: float | None) -> None:
    net, plain = build(kind, mode, reset), build(kind, mode, reset)
    keys, wanted = list(net.state_dict()), run(plain, mode)
    homeostat = ahsar.attach(net)
    same(run(net, mode), wanted)  # at scale 1
    homeostat.hold(0.6)
    scaled = run(net, mode)
    assert not torch.equal(scaled[0], wanted[0])
    same(scaled, run(build(kind, mode, reset, threshold=0.6), mode))
    assert list(net.state_dict()) == keys
    homeostat.detach()
    same(run(net, mode), wanted)


@each
def test_rates_are_counted_and_led_to_the_set_point(kind: Any, mode: str, reset: float | None) -> None:
    net = build(kind, mode, reset, threshold=6.0)
    homeostat = ahsar.attach(net, layers="all")
    spikes = run(net, mode)[0]
    homeostat.step()
    assert homeostat.rates["3"] == pytest.approx(spikes.mean().item(), abs=1e-6) and homeostat.rates["3"] < 0.12
    for _ in range(50):
        run(net, mode)
        homeostat.step()
    assert all(0.12 < rate < 0.3 for rate in homeostat.rates.values()), homeostat.rates
    assert all(homeostat.resting.values())
