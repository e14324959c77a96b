"""Ways to train: each is one file with the same four functions, so that model, data and arm do not know which one runs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ahsar.lab import models
from ahsar.lab.data import Pair
from ahsar.lab.spec.catalogue import PARADIGMS, part
from ahsar.lab.spec.workload import Workload

Backward = Callable[[Tensor], None]


class Paradigm(Protocol):
    """What a training method does. Models give logits per time step, [T, N, classes]; `ahsar.lab.models` says more.

    A controller takes a step after each optimiser step, and thresholds must not change within a sequence: so `learn` takes
    exactly one optimiser step, after the last time step.
    """

    def prepare(self, model: nn.Module, train: Pair, seed: int) -> nn.Module:
        """The model that is trained: the given one, or one made of it. Called once, before any arm touches it.

        Args:
            train: all training samples and labels, on the model's device.
            seed: of what is drawn here; arms are paired, so nothing else may decide.
        """
        ...

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """What the optimiser is given."""
        ...

    def learn(self, model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, backward: Backward) -> Tensor:
        """One optimiser step on a batch x [N, ...] with labels y [N]; returns the loss, detached.

        Args:
            backward: differentiates a scalar into the parameters' gradients, in place of `Tensor.backward`.
        """
        ...

    def scores(self, model: nn.Module, x: Tensor) -> Tensor:
        """Scores [N, classes] of a batch, for evaluation."""
        ...


def build(workload: Workload) -> Paradigm:
    """The paradigm that the workload names."""
    spec = replace(workload.paradigm, ann_steps=workload.paradigm.ann_steps or workload.budget.steps)
    return part("paradigms", PARADIGMS[spec.name].place)(spec)


def rebuild(workload: Workload, sample_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The network that a trial of the workload trains, up to its weights: what a trained state is loaded into."""
    model = models.build(workload, sample_shape, classes)
    if PARADIGMS[workload.paradigm.name].remakes:  # what it learns on the way does not matter
        quick = replace(workload, paradigm=replace(workload.paradigm, ann_steps=1))
        x = torch.randn(16, *sample_shape, generator=torch.Generator().manual_seed(0))
        return build(quick).prepare(model, (x, torch.arange(16) % classes), 0)
    return model


def descend(optimizer: Optimizer, loss: Tensor, backward: Backward) -> Tensor:
    """One optimiser step down the gradient of `loss`; returns the loss, detached."""
    optimizer.zero_grad()
    backward(loss)
    optimizer.step()
    return loss.detach()


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """All parameters that require a gradient, in the model's order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


__all__ = ["Backward", "Paradigm", "build", "descend", "rebuild", "trainable"]
