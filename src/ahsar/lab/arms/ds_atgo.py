"""Rival: thresholds from the statistics of the membranes, DS-ATGO (arXiv 2511.13050), the nearest to the controller."""

import torch
from torch import Tensor, nn

from ahsar.lab.arms.firing import install
from ahsar.lab.arms.placebos import Baseline


class DSATGO(Baseline):
    """θ = factor · (mean + standard deviation) of a layer's membrane potentials over the batch, per time step.

    That is in training; evaluation uses a moving average (0.9 old, 0.1 new) that starts at θ⁰. The surrogate is
    1 + tanh(standard deviation / θ⁰ − 1) times as wide, its area kept: the paper's rule, whose θ⁰ is 1. Thresholds take part
    in no gradient.

    Args:
        factor: the paper's control factor of the firing rate, there 1; larger is quieter.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def prepare(self, model: nn.Module, x: Tensor) -> nn.Module:
        """The given model; every spiking layer fires by the rule from now on, its statistics on the device of x."""
        install(model, "ds-atgo", lambda resting: _Statistics(resting, self.factor).to(x.device))
        return model


class _Statistics(nn.Module):
    running: Tensor

    def __init__(self, resting: float, factor: float) -> None:
        super().__init__()
        self.resting, self.factor, self.step = resting, factor, 0
        self.register_buffer("running", torch.zeros(0))  # one threshold for each time step that was seen

    def begin(self) -> None:
        self.step = 0

    def threshold(self, v: Tensor) -> tuple[Tensor, Tensor | float]:
        step, self.step = self.step, self.step + 1
        if step == len(self.running):
            self.running = torch.cat([self.running, self.running.new_full((1,), self.resting)])
        if not self.training:
            return self.running[step], 1.0
        deviation = v.std()
        threshold = self.factor * (v.mean() + deviation)
        self.running[step] = 0.9 * self.running[step] + 0.1 * threshold
        return threshold, 1 + torch.tanh(deviation / self.resting - 1)

    def fired(self, spikes: Tensor) -> None:
        pass
