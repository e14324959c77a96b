"""Truncated backpropagation through time: the graph is cut after every few time steps, so memory does not grow with T."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from ahsar.lab.models import frames
from ahsar.lab.paradigms import Backward
from ahsar.lab.paradigms.bptt import BPTT


class TruncatedBPTT(BPTT):
    """Each chunk of `chunk` time steps has the cross-entropy of its own mean logits, weighted with its share of T.

    Membranes go on over a cut, gradients do not (Williams and Peng, 1990). The chunks' gradients add up to one optimiser
    step; a single chunk of T steps is BPTT.
    """

    def learn(self, model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, backward: Backward) -> Tensor:
        """A backward pass for every chunk, then one optimiser step; returns the sum of the chunks' losses, detached."""
        network: Any = model
        steps = frames(x, network.time_steps)
        size = self.spec.chunk or (len(steps) + 1) // 2
        optimizer.zero_grad()
        network.begin()
        losses = []
        for chunk in steps.split(size):
            logits = torch.stack([network.step(frame) for frame in chunk])
            loss = cross_entropy(logits.mean(0), y) * (len(chunk) / len(steps))
            backward(loss)
            network.cut()
            losses.append(loss.detach())
        optimizer.step()
        return torch.stack(losses).sum()
