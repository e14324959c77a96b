"""Spike-frequency adaptation: spike trains worked out by hand, its limit at no jump, and what it refuses."""

from typing import Any

import pytest
import torch

from ahsar.errors import WorkloadError
from ahsar.lab import arms
from tests.lab.arms import nets


def test_spike_train_of_a_constant_current_with_hard_reset() -> None:
    from spikingjelly.activation_based import neuron

    # Integrates 1 per step. Thresholds, with d = exp(-1/20) = 0.9512: 1; 1 + d = 1.95; 1 + d² = 1.90; then a = d² + 1 =
    # 1.905 and 1 + 1.905 d = 2.81; 2.72; 2.64. Membranes: 1 fires; 1; 2 fires; 1; 2; 3 fires.
    net: Any = arms.build("adaptation@1").prepare(nets.Alone(neuron.IFNode()), torch.zeros(1))
    current = torch.ones(6, 1)
    assert net(current).flatten().tolist() == [1, 0, 1, 0, 0, 1]
    assert net(current).flatten().tolist() == [1, 0, 1, 0, 0, 1]  # the next sequence starts afresh
    net.neuron.step_mode = "m"
    net.begin()
    assert net.neuron(current).flatten().tolist() == [1, 0, 1, 0, 0, 1]


def test_spike_train_of_a_constant_current_with_subtraction() -> None:
    from snntorch import Leaky

    # 1.01 per step and the same thresholds; what is crossed is taken off. Membranes: 1.01 fires, -1; 1.02; 2.03 > 1.905
    # fires, -1.905; 1.135; 2.145; 3.155 > 2.64 fires, -2.64; a = 1.64 + 1 = 2.64: 1.525 against 3.51; 2.535 against 3.39.
    net: Any = arms.build("adaptation@1").prepare(nets.Alone(Leaky(1.0)), torch.zeros(1))
    assert net(torch.full((8, 1), 1.01)).flatten().tolist() == [1, 0, 1, 0, 0, 1, 0, 0]


def test_a_network_of_whole_sequences_begins_with_its_forward() -> None:
    from spikingjelly.activation_based import functional, neuron

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.neuron = neuron.IFNode(step_mode="m")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            functional.reset_net(self)
            return self.neuron(x)

    net = arms.build("adaptation@1").prepare(Whole(), torch.zeros(1))
    for _ in range(2):
        assert net(torch.ones(6, 1)).flatten().tolist() == [1, 0, 1, 0, 0, 1]


def test_jump_is_in_units_of_the_threshold() -> None:
    from spikingjelly.activation_based import neuron

    net: Any = arms.build("adaptation@1").prepare(nets.Alone(neuron.IFNode(v_threshold=0.5)), torch.zeros(1))
    assert net(torch.full((6, 1), 0.5)).flatten().tolist() == [1, 0, 1, 0, 0, 1]


@pytest.mark.parametrize(("name", "stepwise"), nets.KINDS)
def test_without_a_jump_it_is_the_baseline_and_with_one_quieter(name: str, stepwise: bool) -> None:
    x, baseline = nets.batch(), nets.build(name, stepwise)
    logits = baseline(x)
    tiny = arms.build("adaptation@1e-9").prepare(nets.build(name, stepwise), x)
    got = tiny(x)
    torch.testing.assert_close(got, logits, rtol=0, atol=1e-6)
    got.square().sum().backward()
    logits.square().sum().backward()
    for ours, theirs in zip(tiny.parameters(), baseline.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    raised = arms.build("adaptation@2").prepare(nets.build(name, stepwise), x)
    assert not torch.allclose(raised(x), logits, atol=1e-3)


@pytest.mark.parametrize("arm", ["adaptation", "ds-atgo"])
def test_refuses_what_it_cannot_treat(arm: str) -> None:
    from snntorch import Leaky, Synaptic
    from spikingjelly.activation_based import neuron

    for unsuited in (neuron.KLIFNode(), neuron.IFNode(v_reset=None), Synaptic(0.9, 0.9), Leaky(0.9, reset_delay=False)):
        with pytest.raises(WorkloadError, match=rf"arm '{arm}'.*'neuron' \({type(unsuited).__name__}\).*--arms"):
            arms.build(arm).prepare(nets.Alone(unsuited), torch.zeros(1))
