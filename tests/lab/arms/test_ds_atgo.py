"""DS-ATGO: thresholds from statistics, computed here by hand."""

from typing import Any

import pytest
import torch

from ahsar.lab import arms
from tests.lab.arms import nets


def test_threshold_is_mean_plus_deviation_of_the_membrane() -> None:
    from spikingjelly.activation_based import neuron

    net: Any = arms.build("ds-atgo@1").prepare(nets.Alone(neuron.IFNode(v_threshold=0.7), time_steps=3), torch.zeros(1))
    currents = torch.randn(3, 50, 8, generator=torch.Generator().manual_seed(0))
    spikes, v, running = net(currents), torch.zeros(50, 8), []
    for step in range(3):
        v = v + currents[step]
        theta = v.mean() + v.std()
        assert torch.equal(spikes[step], (v >= theta).float())
        running.append(0.9 * 0.7 + 0.1 * theta.item())
        v = v * (1 - spikes[step])
    net.eval()
    later, v = net(currents), torch.zeros(50, 8)
    for step in range(3):
        v = v + currents[step]
        assert torch.equal(later[step], (v >= running[step]).float())
        v = v * (1 - later[step])
    assert not torch.equal(later, spikes)


def test_surrogate_is_as_wide_as_the_paper_says() -> None:
    from spikingjelly.activation_based import neuron, surrogate

    net: Any = arms.build("ds-atgo@2").prepare(nets.Alone(neuron.IFNode(surrogate_function=surrogate.ATan())), torch.zeros(1))
    x = torch.randn(1, 200, generator=torch.Generator().manual_seed(0)).requires_grad_()
    net(x).sum().backward()
    assert x.grad is not None
    v = x.detach()[0].clone().requires_grad_()
    theta, width = (2 * (v.mean() + v.std())).detach(), 1 + torch.tanh(v.std() - 1).detach()
    slope = torch.autograd.grad(surrogate.ATan()(u := (v - theta) / width).sum(), u)[0]
    torch.testing.assert_close(x.grad[0], slope / width)


@pytest.mark.parametrize(("name", "stepwise"), nets.KINDS)
def test_deep_layers_spike_whatever_the_thresholds_were(name: str, stepwise: bool) -> None:
    x, rates = nets.batch(), []
    net = arms.build("ds-atgo").prepare(nets.build(name, stepwise, threshold=20.0), x)
    for found in net.modules():
        if type(found).__name__ in ("LIFNode", "Leaky"):
            found.register_forward_hook(lambda _, __, out: rates.append((out[0] if isinstance(out, tuple) else out).mean()))
    assert nets.build(name, stepwise, threshold=20.0)(x)[0].std(0).max() < 1e-6  # the baseline is silent
    net(x).square().sum().backward()
    assert all(0.03 < rate < 0.5 for rate in rates)
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())
