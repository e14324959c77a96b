"""Online training: every time step has its own loss and backward pass, and no gradient goes back in time.

What tells the methods apart is in the network's neurons (`ahsar.lab.models.spikingjelly_conv.make_neuron`).
SpikingJelly's `ottt_online_training` differentiates by itself, which would leave out an arm's penalty and the precision, so
its loop is written here; a test holds its gradients against these.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss, one_hot
from torch.optim import Optimizer

from ahsar.lab.data import Pair
from ahsar.lab.models import frames
from ahsar.lab.paradigms import Backward
from ahsar.lab.paradigms.bptt import BPTT


class OTTT(BPTT):
    """Online training through time (Xiao et al., NeurIPS 2022) in its accumulated form, one optimiser step a sequence.

    A weight's gradient is the error at time t times the leaky sum of the spikes up to t that came through it. As in the
    authors' code the input of the first layer has no such trace, and the read-out, which has no membrane, has one.
    """

    def learn(self, model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, backward: Backward) -> Tensor:
        """A backward pass at every time step that learns, then one optimiser step; returns the sum of the steps' losses, each
        over T, detached."""
        network: Any = model
        steps = frames(x, network.time_steps)
        learning = self.draw(len(steps))
        optimizer.zero_grad()
        network.begin()
        losses = []
        for t, frame in enumerate(steps):
            with torch.set_grad_enabled(t in learning):
                logits = network.step(frame)
                loss = step_loss(logits, y, self.spec.blend) / len(steps)
            if t in learning:
                backward(loss)
            network.cut()
            losses.append(loss.detach())
        optimizer.step()
        return torch.stack(losses).sum()

    def draw(self, time_steps: int) -> set[int]:
        """The time steps of the next batch that learn."""
        return set(range(time_steps))


class SLTT(OTTT):
    """Spatial learning through time, SLTT-K with `every` = K (Meng et al., ICCV 2023).

    A weight's gradient is the error at time t times the spikes at t: the way through the membrane is left out. With K only
    K time steps, drawn anew for each batch, are differentiated; the loss is divided by T all the same.
    """

    def prepare(self, model: nn.Module, train: Pair, seed: int) -> nn.Module:
        """The given model; seeds the draws of time steps."""
        self.generator: torch.Generator = torch.Generator().manual_seed(seed)
        return model

    def draw(self, time_steps: int) -> set[int]:
        """`every` of the time steps, at random; all if it is 0."""
        if not self.spec.every:
            return super().draw(time_steps)
        return set(torch.randperm(time_steps, generator=self.generator)[: self.spec.every].tolist())


def step_loss(logits: Tensor, y: Tensor, blend: float) -> Tensor:
    """(1 - blend) CE + blend MSE(logits, one-hot labels) of one time step, as both methods use: logits [N, classes], y [N]."""
    target = one_hot(y, logits.shape[1]).to(logits.dtype)
    return (1 - blend) * cross_entropy(logits, y) + blend * mse_loss(logits, target)
