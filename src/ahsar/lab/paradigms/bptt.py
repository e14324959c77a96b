"""Backpropagation through time with surrogate gradients, on the cross-entropy of the logits' mean over time."""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class BPTT:
    """The common way to train a spiking network directly (Neftci et al., 2019)."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(self.scores(model, x), y)

    def scores(self, model: nn.Module, x: Tensor) -> Tensor:
        return model(x).mean(0)
