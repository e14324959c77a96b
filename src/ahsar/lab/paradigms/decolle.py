"""DECOLLE (Kaiser, Mostafa and Neftci, 2020): every layer learns from its own fixed random read-out, at every time step.

No gradient passes from layer to layer. Within a layer it follows the membrane through time, as the paper's traces do; here
autograd does it, so the rule is DECOLLE's and the memory is not. The local losses are cross-entropies, as elsewhere in the
lab, where the paper has a smooth L1 distance to one-hot targets.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from ahsar.lab.data import Pair
from ahsar.lab.paradigms import Backward, descend, local, trainable
from ahsar.lab.spec.sections import Paradigm


class Decolle:
    """The network's own readout learns too, from the last layer's spikes, and alone gives the scores: so a trained network
    needs nothing but itself. It teaches no spiking layer.

    Attributes:
        readouts: of each spiking layer, its fixed weights `[neurons, classes]`, normal with variance 1 / neurons, drawn from
            `prepare`'s seed.
    """

    def __init__(self, spec: Paradigm) -> None:
        self.spec = spec
        self.readouts: list[Tensor] = []

    def prepare(self, model: nn.Module, train: Pair, seed: int) -> nn.Module:
        """The given model; draws the read-outs, whose sizes one sample shows."""
        generator, sizes = torch.Generator().manual_seed(seed), {}

        def note(module: nn.Module, args: Any, spikes: Tensor) -> None:
            sizes[module] = spikes[0].numel()

        layers = local.spiking(model)
        handles = [layer.register_forward_hook(note) for layer in layers]
        training = model.training
        with torch.no_grad():
            classes = model.eval()(train[0][:1]).shape[-1]
        model.train(training)
        for handle in handles:
            handle.remove()
        for layer in layers:
            drawn = torch.randn(sizes[layer], classes, generator=generator) * sizes[layer] ** -0.5
            self.readouts.append(drawn.to(train[0].device))
        return model

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """All that require a gradient."""
        return trainable(model)

    def learn(self, model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, backward: Backward) -> Tensor:
        """One step down the sum of the layers' losses and the readout's, each its mean over time; returns the sum, detached."""
        losses: list[Tensor] = []
        handles = []
        for layer, readout in zip(local.spiking(model), self.readouts, strict=True):

            def teach(module: nn.Module, args: Any, spikes: Tensor, readout: Tensor = readout) -> Tensor:
                losses.append(cross_entropy(spikes.flatten(1).float() @ readout, y))
                return spikes.detach()

            handles.append(layer.register_forward_hook(teach))
        try:
            logits = model(x)
        finally:
            for handle in handles:
                handle.remove()
        losses += [cross_entropy(step, y) for step in logits]
        return descend(optimizer, torch.stack(losses).sum() / len(logits), backward)

    def scores(self, model: nn.Module, x: Tensor) -> Tensor:
        """The readout's logits, meant over time, [N, classes]."""
        return model(x).mean(0)
