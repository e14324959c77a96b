"""Learnable thresholds: their gradient, their start at the baseline, their own learning rate."""

from typing import Any

import pytest
import torch

from ahsar.lab import arms
from tests.lab.arms import nets


def lif_by_hand(x: torch.Tensor, theta: torch.Tensor, surrogate: Any, tau: float = 2.0) -> torch.Tensor:
    v, spikes = torch.zeros_like(x[0]), []
    for current in x:
        h = v + (current - v) / tau
        spikes.append(surrogate(h - theta))
        v = h * (1 - spikes[-1])
    return torch.stack(spikes)


def leaky_by_hand(x: torch.Tensor, theta: torch.Tensor, surrogate: Any, beta: float = 0.5) -> torch.Tensor:
    v, spikes = torch.zeros_like(x[0]), []
    for current in x:
        v = beta * v + current - (v > theta).double() * theta
        spikes.append(surrogate(v - theta))
    return torch.stack(spikes)


@pytest.mark.parametrize("framework", ["SpikingJelly, multi-step", "SpikingJelly, stepwise", "snnTorch"])
def test_gradient_is_that_of_a_threshold_tensor(framework: str) -> None:
    from snntorch import Leaky
    from snntorch import surrogate as snn_surrogate
    from spikingjelly.activation_based import neuron, surrogate

    by_hand: Any
    if framework == "snnTorch":
        net: Any = nets.Alone(Leaky(0.5, spike_grad=snn_surrogate.atan()))
        by_hand, function = leaky_by_hand, snn_surrogate.atan()
    else:
        net = nets.Alone(neuron.LIFNode(2.0, surrogate_function=surrogate.ATan()))
        by_hand, function = lif_by_hand, surrogate.ATan()
    generator = torch.Generator().manual_seed(0)
    x = (2 * torch.rand(6, 5, 7, generator=generator)).double()
    weights = torch.randn(6, 5, 7, generator=generator).double()
    net = arms.build("learnable").prepare(net, x).double()
    if framework == "SpikingJelly, multi-step":
        net.neuron.step_mode = "m"
        forward = net.neuron
    else:
        forward = net
    with torch.no_grad():
        net.neuron.log_scale.fill_(-0.3)
    got = forward(x.requires_grad_())
    (got * weights).sum().backward()
    ours, ours_x = net.neuron.log_scale.grad, x.grad

    raw, x2 = torch.tensor(-0.3, dtype=torch.float64, requires_grad=True), x.detach().clone().requires_grad_()
    expected = by_hand(x2, raw.exp(), function)
    (expected * weights).sum().backward()
    assert 0 < got.sum() < got.numel() and torch.equal(got, expected)
    assert raw.grad is not None and abs(raw.grad.item()) > 1e-3
    close = 1e-6 if framework == "snnTorch" else 1e-10  # its surrogates give float32
    torch.testing.assert_close(ours, raw.grad, rtol=close, atol=0)
    torch.testing.assert_close(ours_x, x2.grad, rtol=close, atol=close)


@pytest.mark.parametrize(("name", "stepwise"), nets.KINDS)
def test_starts_as_the_baseline_and_every_threshold_learns(name: str, stepwise: bool) -> None:
    x = nets.batch()
    baseline, arm = nets.build(name, stepwise), arms.build("learnable@10")
    net: Any = arm.prepare(nets.build(name, stepwise), x)
    torch.testing.assert_close(net(x), baseline(x), rtol=0, atol=1e-6)
    net(x).square().sum().backward()
    scales = [parameter for key, parameter in net.named_parameters() if key.endswith("log_scale")]
    assert len(scales) == 3 and all(scale.grad is not None and scale.grad != 0 for scale in scales)
    with torch.no_grad():
        scales[0].fill_(1.0)
    assert not torch.allclose(net(x), baseline(x), atol=1e-3)


def test_learns_at_its_own_rate_without_decay() -> None:
    arm = arms.build("learnable@10")
    net = arm.prepare(nets.build("spikingjelly-conv"), nets.batch())
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    assert arm.attach(net, optimizer) is None
    weights, scales = optimizer.param_groups
    assert scales["lr"] == pytest.approx(0.1) and scales["weight_decay"] == 0 and len(scales["params"]) == 3
    assert weights["lr"] == 0.01 and len(weights["params"]) == len(list(net.parameters())) - 3
