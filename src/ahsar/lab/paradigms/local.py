"""Derivatives within one time step of a SpikingJelly neuron, and the means to take its place in a forward."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from spikingjelly.activation_based.neuron import BaseNode
from torch import Tensor, nn


@dataclass
class Step:
    """One time step of a neuron: spikes and the membrane after it, and how they change with current and membrane before.

    All tensors have the current's shape: a neuron's step depends on nothing but its own current and membrane.
    """

    spikes: Tensor
    membrane: Tensor
    spikes_by_current: Tensor
    spikes_by_membrane: Tensor
    membrane_by_current: Tensor
    membrane_by_membrane: Tensor


def spiking(model: nn.Module) -> list[BaseNode]:
    """The model's spiking modules, in its order."""
    return [module for module in model.modules() if isinstance(module, BaseNode)]


def step(neuron: Any, current: Tensor, membrane: Tensor) -> Step:
    """One time step with the neuron's own equations, surrogate gradient, threshold and reset, by autograd on this step alone.

    Whether the reset's spikes count as constants in `membrane_by_...` is the neuron's `detach_reset`.

    Args:
        current, membrane: of one shape, `[N, ...]`; the membrane is that after the step before.
    """
    with torch.enable_grad():
        x, v = current.detach().requires_grad_(), membrane.detach().requires_grad_()
        (spikes,), (after, *_) = neuron.single_step_functional_forward((x,), (v,))
        by = [torch.autograd.grad(out.sum(), (x, v), retain_graph=out is spikes) for out in (spikes, after)]
    return Step(spikes.detach(), after.detach(), *by[0], *by[1])


@contextmanager
def forwards(replaced: dict[BaseNode, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Within the context each module's forward is the given function; its hooks see that function's output."""
    with ExitStack() as stack:
        for module, forward in replaced.items():
            module.forward = forward
            stack.callback(delattr, module, "forward")
        yield


def resting(neuron: Any, current: Tensor) -> Tensor:
    """The membrane with which a sequence begins, of the current's shape."""
    return torch.full_like(current, neuron.v_reset or 0.0)
