"""Rival: thresholds that learn by gradient descent, one positive scale per spiking layer (DIET-SNN, Rathi and Roy, 2021)."""

import operator
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ahsar.lab.arms.placebos import Baseline
from ahsar.lab.arms.spiking import own_group, spiking_layers
from ahsar.thresholds import FloatThreshold, ShadowThreshold


class Learnable(Baseline):
    """θ = exp(p) θ⁰ with a parameter p per layer that starts at 0, so that the network starts as the baseline's.

    The gradient flows through the surrogate of v − θ, and through a reset that subtracts θ.

    Args:
        factor: learning rate of the p, in multiples of the weights'.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.parameters: list[nn.Parameter] = []

    def prepare(self, model: nn.Module, x: torch.Tensor) -> nn.Module:
        """The given model with a parameter `log_scale`, 0-d, in every spiking layer."""
        for layer in spiking_layers(model, "learnable"):
            assert layer.adapter is not None
            threshold = layer.adapter.threshold(layer.module)
            assert isinstance(threshold, (FloatThreshold, ShadowThreshold))  # of SpikingJelly and snnTorch
            if layer.framework == "SpikingJelly":
                _use_pytorch_code(layer.module)
            parameter = nn.Parameter(torch.zeros((), device=x.device))
            layer.module.register_parameter("log_scale", parameter)
            shadow = ShadowThreshold(layer.module, threshold.attribute, threshold.rest, scaling=operator.mul)
            layer.module.register_forward_pre_hook(_Before(shadow))
            layer.module.register_forward_hook(_After(shadow), always_call=True)
            self.parameters.append(parameter)
        return model

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        """Give the parameters a learning rate of their own in the optimizer. There is no controller."""
        own_group(optimizer, self.parameters, self.factor)


class _Before:
    def __init__(self, shadow: ShadowThreshold) -> None:
        self.shadow = shadow

    def __call__(self, module: Any, args: Any) -> None:
        self.shadow.write(module, module.log_scale.exp())
        self.shadow.enter(module, args)


class _After(_Before):
    def __call__(self, module: Any, args: Any, output: Any) -> None:  # type: ignore[override]
        self.shadow.leave(module)


def _use_pytorch_code(module: Any) -> None:
    """SpikingJelly's ops take no tensor for a threshold: a surrogate that they do not know leads around them."""
    from spikingjelly.activation_based.surrogate import SurrogateFunctionBase

    from ahsar.adapters.spikingjelly import PlainSurrogate

    if isinstance(module.surrogate_function, SurrogateFunctionBase):
        module.surrogate_function = PlainSurrogate(module.surrogate_function)
