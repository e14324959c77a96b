"""What every arm is measured with, the baseline too: rates, spikes and synaptic operations of a forward in eval mode."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import ahsar

# Horowitz (2014), 45 nm: energy of a 32-bit multiply-accumulate and of an accumulate, in picojoule. A proxy.
MAC_PJ, AC_PJ = 4.6, 0.9


@dataclass
class Activity:
    """Sums over all forwards while the monitor is on.

    Attributes:
        spikes, outputs: spikes and outputs of each spiking layer, by name.
        acs: accumulates: dense operations of a layer times the share of its inputs that are spikes.
        macs: multiply-accumulates of layers whose input is no spike train.
        samples: set by whoever runs the forwards.
    """

    spikes: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    acs: float = 0.0
    macs: float = 0.0
    samples: int = 0

    @property
    def rates(self) -> dict[str, float]:
        """Spikes per neuron and time step of each layer."""
        return {name: self.spikes[name] / self.outputs[name] for name in self.spikes}

    @property
    def mean_rate(self) -> float:
        """Spikes per neuron and time step of the whole network."""
        return sum(self.spikes.values()) / max(1, sum(self.outputs.values()))

    def per_sample(self) -> dict[str, Any]:
        """Spikes, synaptic operations and their energy proxy for one sample."""
        n = max(1, self.samples)
        return {
            "mean_rate": self.mean_rate,
            "spikes": sum(self.spikes.values()) / n,
            "synops": {"acs": self.acs / n, "macs": self.macs / n},
            "energy_proxy_nj": (self.acs * AC_PJ + self.macs * MAC_PJ) / n / 1000,
        }


@contextmanager
def watch(model: nn.Module) -> Iterator[Activity]:
    """Measure every forward of `model` within the context; the model is hooked for that time only."""
    activity, handles = Activity(), []
    for found in ahsar.discover(model):
        if found.adapter is not None and found.reason is None:
            handles.append(found.module.register_forward_hook(_count_spikes(activity, found)))
    for module in model.modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            handles.append(module.register_forward_hook(_count_operations(activity)))
    try:
        yield activity
    finally:
        for handle in handles:
            handle.remove()


def _count_spikes(activity: Activity, found: Any) -> Any:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        spikes = found.adapter.spikes(module, output)
        activity.spikes[found.name] = activity.spikes.get(found.name, 0.0) + torch.count_nonzero(spikes).item()
        activity.outputs[found.name] = activity.outputs.get(found.name, 0) + spikes.numel()

    return hook


def _count_operations(activity: Activity) -> Any:
    def hook(module: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
        x = args[0]
        if isinstance(module, nn.Linear):
            fan_in = module.in_features
        else:
            fan_in = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[-1]
            fan_in = fan_in if isinstance(module, nn.Conv2d) else fan_in // module.kernel_size[-1]
        dense = output.numel() * fan_in
        if bool(((x == 0) | (x == 1)).all()):
            activity.acs += dense * torch.count_nonzero(x).item() / x.numel()
        else:
            activity.macs += dense

    return hook
