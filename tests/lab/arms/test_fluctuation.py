"""Fluctuation-driven initialisation: the membranes' statistics, measured here in closed form."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ahsar
from ahsar.errors import WorkloadError
from ahsar.lab import arms
from tests.lab.arms import nets


def currents(net: Any, x: Tensor) -> list[Tensor]:
    """Input currents [T, N, ...] of every spiking layer in a training forward."""
    seen: dict[str, list[Tensor]] = {}

    def note(name: str) -> Any:
        return lambda module, args: seen.setdefault(name, []).append(args[0].detach())

    handles = [layer.module.register_forward_pre_hook(note(layer.name)) for layer in ahsar.discover(net)]
    net(x)
    for handle in handles:
        handle.remove()
    return [steps[0] if len(steps) == 1 else torch.stack(steps) for steps in seen.values()]


def free_membrane(current: Tensor, gain: float, decay: float) -> Tensor:
    """Σₛ gain · decay^(t − s) · currentₛ for every t."""
    steps = range(len(current))
    powers = torch.tensor([[gain * decay ** (t - s) if s <= t else 0.0 for s in steps] for t in steps])
    return torch.einsum("ts,s...->t...", powers, current)


@pytest.mark.parametrize("xi", [0.5, 1.0])
@pytest.mark.parametrize(("name", "stepwise"), nets.KINDS)
def test_every_membrane_meets_its_target(name: str, stepwise: bool, xi: float) -> None:
    x = nets.batch(16)
    net = arms.build(f"fluctuation@{xi}").prepare(nets.build(name, stepwise, depth=6, threshold=0.8), x)
    gain, decay = (1.0, 0.5) if name == "snntorch-conv" else (0.5, 0.5)
    layers = currents(net, x)
    assert len(layers) == 6
    for current in layers:
        membrane = free_membrane(current, gain, decay)
        assert membrane.std().item() == pytest.approx(0.8 / xi, rel=0.02)
        assert membrane.mean([0, 1, 3, 4]).abs().max() < 0.02


def test_with_batch_norm_its_scale_is_set() -> None:
    x, baseline = nets.batch(16), nets.build("spikingjelly-conv", batch_norm=True)
    before = torch.get_rng_state()
    net = arms.build("fluctuation@1").prepare(nets.build("spikingjelly-conv", batch_norm=True), x)
    after = torch.get_rng_state()
    assert torch.equal(before, after)  # the same draws follow as in the baseline
    for (name, ours), theirs in zip(net.state_dict().items(), baseline.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs) != (name.endswith("norm.weight") or name.endswith("norm.bias")), name
    for current in currents(net, x):
        assert free_membrane(current, 0.5, 0.5).std().item() == pytest.approx(0.2, rel=0.02)


def test_refuses_a_layer_that_no_spike_reaches_and_one_without_weights() -> None:
    from spikingjelly.activation_based import neuron

    with pytest.raises(WorkloadError, match=r"'fluctuation'.*block2.*no spike reaches it; use a smaller number than 50"):
        arms.build("fluctuation@50").prepare(_unbiased(), nets.batch())
    with pytest.raises(WorkloadError, match="no weight feeds it"):
        arms.build("fluctuation").prepare(nets.Alone(neuron.IFNode()), torch.ones(2, 3))


def _unbiased() -> nn.Module:
    net = nets.build("spikingjelly-conv")
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d) and name != "block1.conv":
            module.bias = None
    return net
