"""Temporal efficient training: backpropagation through time on the mean over time of each step's own loss."""

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.optim import Optimizer

from ahsar.lab.paradigms import Backward, descend
from ahsar.lab.paradigms.bptt import BPTT

PHI = 1.0  # the value that the regulariser draws all logits to: the neurons' usual threshold


class TET(BPTT):
    """(1 - blend) CE + blend MSE(logits, PHI), both means over all time steps (Deng et al., ICLR 2022, eqs. 9 to 12)."""

    def learn(self, model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, backward: Backward) -> Tensor:
        """One step down `tet_loss`; returns it, detached."""
        return descend(optimizer, tet_loss(model(x), y, self.spec.blend), backward)


def tet_loss(logits: Tensor, y: Tensor, blend: float) -> Tensor:
    """The loss of logits [T, N, classes] and labels y [N]."""
    from spikingjelly.activation_based.functional import temporal_efficient_training_cross_entropy as per_step

    return (1 - blend) * per_step(logits, y) + blend * mse_loss(logits, torch.full_like(logits, PHI))
