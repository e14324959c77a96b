"""Rate-based backpropagation (Yu et al., NeurIPS 2024): time runs forward only, and mean rates are differentiated once.

The spike pass runs all time steps without a graph. On its way each neuron sums up how its mean rate r changes with a current
c that is the same at every step: dr/dc = 1/T sum_t ds[t]/dc, where the membrane carries dv[t]/dc on from step to step (the
paper's eligibility). The rate pass sends the mean input once through the network, in which each neuron gives the r of the
spike pass with that derivative. Batch norm takes mean and variance from the spike pass, their derivatives from the rates;
so does max-pooling with its outputs, and their gradient goes to the neuron with the highest rate. What is left is linear,
so all values in the rate pass are the means of the spike pass.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from spikingjelly.activation_based.neuron import BaseNode
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.pooling import _MaxPoolNd
from torch.optim import Optimizer

from ahsar.lab.data import Pair
from ahsar.lab.models import is_sequence
from ahsar.lab.paradigms import Backward, descend, local, trainable
from ahsar.lab.spec.sections import Paradigm


class RateBP:
    """Memory does not grow with T, but for the spikes of the layer that is running.

    The gradient is that of BPTT where currents are constant in time (so for T = 1, and for one hidden layer under a static
    image), and an approximation elsewhere.
    """

    def __init__(self, spec: Paradigm) -> None:
        self.spec = spec

    def prepare(self, model: nn.Module, train: Pair, seed: int) -> nn.Module:
        """The given model as it is."""
        return model

    def parameters(self, model: nn.Module) -> list[nn.Parameter]:
        """All that require a gradient."""
        return trainable(model)

    def learn(self, model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, backward: Backward) -> Tensor:
        """Both passes, and one step down the cross-entropy of the mean logits; returns it, detached."""
        with spike_pass(model) as stand_ins, torch.no_grad():
            model(x)
        with rate_pass(model, stand_ins):
            logits = model(x.mean(1) if is_sequence(x.shape[1:]) else x).mean(0)
        return descend(optimizer, cross_entropy(logits, y), backward)

    def scores(self, model: nn.Module, x: Tensor) -> Tensor:
        """The logits' mean over time, [N, classes]."""
        return model(x).mean(0)


@contextmanager
def spike_pass(model: nn.Module) -> Iterator[dict[nn.Module, nn.Module]]:
    """Within the context forwards leave in the yielded dictionary what stands for neurons, norms and pools in rates."""
    stand_ins: dict[nn.Module, nn.Module] = {}

    def note(module: Any, args: tuple[Tensor], out: Tensor) -> None:
        stand_ins[module] = NormOfRates(module, args[0]) if isinstance(module, _BatchNorm) else MaxOfRates(module, out)

    noted = [module for module in model.modules() if isinstance(module, (_BatchNorm, _MaxPoolNd))]
    handles = [module.register_forward_hook(note) for module in noted]
    try:
        with local.forwards({neuron: _running(neuron, stand_ins) for neuron in local.spiking(model)}):
            yield stand_ins
    finally:
        for handle in handles:
            handle.remove()


def _running(neuron: BaseNode, stand_ins: dict[nn.Module, nn.Module]) -> Callable[[Tensor], Tensor]:
    def forward(currents: Tensor) -> Tensor:
        """Spikes `[T, N, ...]` of currents `[T, N, ...]`."""
        membrane = local.resting(neuron, currents[0])
        slope, summed, spikes = torch.zeros_like(membrane), torch.zeros_like(membrane), []
        for current in currents:
            step = local.step(neuron, current, membrane)
            summed += step.spikes_by_current + step.spikes_by_membrane * slope
            slope = step.membrane_by_current + step.membrane_by_membrane * slope
            membrane = step.membrane
            spikes.append(step.spikes)
        result = torch.stack(spikes)
        stand_ins[neuron] = Rate(result.mean(0), summed / len(spikes))
        return result

    return forward


@contextmanager
def rate_pass(model: nn.Module, stand_ins: dict[nn.Module, nn.Module]) -> Iterator[None]:
    """Within the context the stand-ins are called in place of their modules, whose hooks thus see spikes and never rates."""
    places = [(parent, name, child) for parent in model.modules() for name, child in parent.named_children()]
    places = [place for place in places if place[2] in stand_ins]
    for parent, name, child in places:
        parent._modules[name] = stand_ins[child]
    try:
        yield
    finally:
        for parent, name, child in places:
            parent._modules[name] = child


class Rate(nn.Module):
    """The mean rates `[N, ...]` of the spike pass, with their derivative by the mean current, `[1, N, ...]`."""

    rate: Tensor
    slope: Tensor

    def __init__(self, rate: Tensor, slope: Tensor) -> None:
        super().__init__()
        self.rate, self.slope = rate, slope

    def forward(self, current: Tensor) -> Tensor:
        """The rates `[1, N, ...]` of a current `[1, N, ...]`, or `[T, N, ...]` with its mean over time."""
        # an image's current may come once for each time step
        mean = current.mean(0, keepdim=True)
        return self.rate + self.slope * (mean - mean.detach())


class NormOfRates(nn.Module):
    """Batch norm of mean currents `[1, N, C, ...]` by the mean and variance of the currents `[T, N, C, ...]` of each step."""

    norm: tuple[_BatchNorm]  # in a tuple, so that it is no submodule
    dims: list[int]
    mean: Tensor
    variance: Tensor

    def __init__(self, norm: _BatchNorm, currents: Tensor) -> None:
        super().__init__()
        self.norm, self.dims = (norm,), [dim for dim in range(currents.dim()) if dim != 2]
        self.variance, self.mean = torch.var_mean(currents.detach(), self.dims, correction=0, keepdim=True)

    def forward(self, current: Tensor) -> Tensor:
        """The normalised current, `[1, N, C, ...]` as the given one."""
        (norm,) = self.norm
        variance, mean = torch.var_mean(current, self.dims, correction=0, keepdim=True)
        mean = self.mean + mean - mean.detach()
        variance = self.variance + variance - variance.detach()
        normal = (current - mean) * torch.rsqrt(variance + norm.eps)
        return normal * norm.weight.view(mean.shape) + norm.bias.view(mean.shape)


class MaxOfRates(nn.Module):
    """Max-pooling of rates `[1, N, C, ...]`, with the mean of the pooled spikes `[T, N, C, ...]` for its value."""

    pool: tuple[nn.Module]
    mean: Tensor

    def __init__(self, pool: nn.Module, pooled: Tensor) -> None:
        super().__init__()
        self.pool, self.mean = (pool,), pooled.mean(0)

    def forward(self, rate: Tensor) -> Tensor:
        """The pooled rates `[1, N, C, ...]`, smaller in the last dimensions."""
        (pool,) = self.pool
        out = pool(rate)
        return self.mean + out - out.detach()
