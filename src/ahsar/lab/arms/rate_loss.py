"""Rival: a loss that draws firing rates to the set-point, and acts on the weights instead of the thresholds.

Regularisers of this kind are common: snnTorch's `l1_rate_sparsity`, the bounds of stork. This one has the controller's own
set-point, so that the two differ in the means and not in the aim.
"""

from typing import Any

import torch
from torch import Tensor, nn

import ahsar
from ahsar.lab.arms.placebos import Baseline
from ahsar.lab.arms.spiking import spiking_layers


class RateLoss(Baseline):
    """strength · Σ over layers of (mean rate − set-point)², over the training forwards since the last call.

    Rates are spikes per neuron and time step; the gradient flows through the spikes' surrogates. Paradigms that go step by
    step may ask several times a sequence: each time counts by its share of the time steps, as the loss does there.

    Args:
        strength: the factor, > 0.
    """

    strength: float
    set_point: float

    def __init__(self, strength: float) -> None:
        self.strength, self.set_point = strength, ahsar.Config().set_point
        self.steps: int | None = None
        self._forget()

    def _forget(self) -> None:
        self.spikes: dict[str, Tensor] = {}
        self.outputs: dict[str, int] = {}
        self.calls = 0  # of all layers

    def prepare(self, model: Any, x: Tensor) -> nn.Module:
        """The given model; from now on the spikes of its training forwards are summed up."""
        self.steps = model.time_steps if getattr(model, "stepwise", False) else None
        for layer in spiking_layers(model, "rate-loss"):
            layer.module.register_forward_hook(self._counter(layer))
        return model

    def penalty(self) -> Tensor | None:
        """strength · Σ (rate − set-point)² over the layers that ran since the last call, 0-d; None if none did."""
        if not self.spikes:
            return None
        rates = torch.stack([spikes / self.outputs[name] for name, spikes in self.spikes.items()])
        share = self.calls / len(rates) / self.steps if self.steps else 1.0
        self._forget()
        return self.strength * share * (rates - self.set_point).square().sum()

    def _counter(self, layer: Any) -> Any:
        def count(module: nn.Module, args: Any, output: Any) -> None:
            if module.training and torch.is_grad_enabled():
                spikes = layer.adapter.spikes(module, output)
                self.spikes[layer.name] = self.spikes.get(layer.name, 0.0) + spikes.sum(dtype=torch.float32)
                self.outputs[layer.name] = self.outputs.get(layer.name, 0) + spikes.numel()
                self.calls += 1

        return count
