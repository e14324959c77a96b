"""Backpropagation through time with surrogate gradients, on the cross-entropy of the logits' mean over time."""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from ahsar.lab.data import Pair
from ahsar.lab.paradigms import Backward, descend, trainable
from ahsar.lab.spec.sections import Paradigm


class BPTT:
    """The common way to train a spiking network directly (Neftci et al., 2019)."""

    def __init__(self, spec: Paradigm) -> None:
        self.spec = spec

    def prepare(self, model: nn.Module, train: Pair, seed: int) -> nn.Module:
        """The given model as it is."""
        return model

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """All that require a gradient."""
        return trainable(model)

    def learn(self, model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, backward: Backward) -> Tensor:
        """One step down the cross-entropy of `scores`; returns it, detached."""
        return descend(optimizer, cross_entropy(self.scores(model, x), y), backward)

    def scores(self, model: nn.Module, x: Tensor) -> Tensor:
        """The logits' mean over time, [N, classes]."""
        return model(x).mean(0)
