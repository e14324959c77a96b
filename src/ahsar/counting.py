"""Spikes counted by forward hooks, of any model whose layers an adapter knows, attached or not."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .attach import Found


@dataclass
class Spikes:
    """Sums over forwards.

    Attributes:
        spikes: nonzero outputs of each layer that ran, by name, in the order of their first forward.
        outputs: all its outputs: neurons times time steps times samples.
    """

    spikes: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)

    @property
    def rates(self) -> dict[str, float]:
        """Spikes per neuron and time step of each layer."""
        return {name: self.spikes[name] / self.outputs[name] for name in self.spikes if self.outputs[name]}

    @property
    def mean_rate(self) -> float:
        """Spikes per neuron and time step of the whole network; 0 before a forward."""
        return sum(self.spikes.values()) / max(1, sum(self.outputs.values()))


@contextmanager
def counted(layers: Iterable[Found], into: Spikes | None = None) -> Iterator[Spikes]:
    """Count the spikes of these layers (of `ahsar.discover`) in every forward within the context.

    Layers that cannot be regulated are left out. Each forward costs a device→host copy per layer.
    """
    sums = Spikes() if into is None else into
    handles = [item.module.register_forward_hook(_counter(sums, item)) for item in layers if item.adapter and not item.reason]
    try:
        yield sums
    finally:
        for handle in handles:
            handle.remove()


def _counter(sums: Spikes, found: Found) -> Any:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        assert found.adapter is not None
        spikes = found.adapter.spikes(module, output)
        sums.spikes[found.name] = sums.spikes.get(found.name, 0) + int(torch.count_nonzero(spikes).item())
        sums.outputs[found.name] = sums.outputs.get(found.name, 0) + spikes.numel()

    return hook
