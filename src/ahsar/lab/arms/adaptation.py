"""Rival: spike-frequency adaptation, the fast and local homeostasis that snnTorch's pull request 454 proposes.

It differs from the controller in all respects: per neuron and time step, additive, and it can only raise a threshold.
"""

import math

from torch import Tensor, nn

from ahsar.lab.arms.firing import install
from ahsar.lab.arms.placebos import Baseline

TAU = 20.0  # time steps, the pull request's default


class Adaptation(Baseline):
    """θ = θ⁰ + a: every spike of a neuron raises its a by `jump` · θ⁰, and a decays by exp(−1/20) per time step.

    a starts every sequence at 0 and takes part in no gradient.

    Args:
        jump: in units of θ⁰, > 0.
    """

    def __init__(self, jump: float) -> None:
        self.jump = jump

    def prepare(self, model: nn.Module, x: Tensor) -> nn.Module:
        """The given model; every spiking layer fires by the rule from now on."""
        install(model, "adaptation", lambda resting: _Adapting(resting, self.jump))
        return model


class _Adapting:
    def __init__(self, resting: float, jump: float) -> None:
        self.resting, self.jump = resting, jump
        self.raised: Tensor | float = 0.0

    def begin(self) -> None:
        self.raised = 0.0

    def threshold(self, v: Tensor) -> tuple[Tensor, float]:
        self.raised = math.exp(-1 / TAU) * self.raised
        return v.new_full((), self.resting) + self.raised, 1.0

    def fired(self, spikes: Tensor) -> None:
        self.raised = self.raised + self.jump * self.resting * spikes
