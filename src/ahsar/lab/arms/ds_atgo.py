"""Rival: thresholds from the statistics of the membranes, DS-ATGO (arXiv 2511.13050), the nearest to the controller."""

from typing import Any

import torch
from torch import Tensor, nn

from ahsar.errors import WorkloadError
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

    def prepare(self, model: Any, x: Tensor) -> nn.Module:
        if not hasattr(model, "time_steps"):
            raise WorkloadError(f"arm 'ds-atgo': {type(model).__name__} does not say its time_steps; add the attribute")
        install(model, "ds-atgo", lambda resting: _Statistics(resting, self.factor, model.time_steps).to(x.device))
        return model


class _Statistics(nn.Module):
    running: Tensor

    def __init__(self, resting: float, factor: float, time_steps: int) -> None:
        super().__init__()
        self.resting, self.factor, self.step = resting, factor, 0
        self.register_buffer("running", torch.full((time_steps,), resting))

    def begin(self) -> None:
        self.step = 0

    def threshold(self, v: Tensor) -> tuple[Tensor, Tensor | float]:
        step, self.step = self.step, self.step + 1
        if not self.training:
            return self.running[step], 1.0
        deviation = v.std()
        threshold = self.factor * (v.mean() + deviation)
        self.running[step] = 0.9 * self.running[step] + 0.1 * threshold
        return threshold, 1 + torch.tanh(deviation / self.resting - 1)

    def fired(self, spikes: Tensor) -> None:
        pass
