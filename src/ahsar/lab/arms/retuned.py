"""Rival: the baseline with another learning rate. Much of what a new method gains, a retuned learning rate may gain too."""

from torch import nn
from torch.optim import Optimizer

from ahsar.lab.arms.placebos import Baseline


class Retuned(Baseline):
    """The baseline, every learning rate times `factor`."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Multiply the learning rates of all parameter groups. There is no controller."""
        for group in optimizer.param_groups:
            group["lr"] *= self.factor
