"""Small networks of the lab that spike well, and one with a single spiking layer."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

import ahsar
from ahsar.lab.models.snntorch_conv import SnntorchConv
from ahsar.lab.models.spikingjelly_conv import SpikingjellyConv
from ahsar.lab.models.spikingjelly_vgg import SpikingjellyVGG
from ahsar.lab.spec.workload import load

NETS = {"spikingjelly-conv": SpikingjellyConv, "spikingjelly-vgg": SpikingjellyVGG, "snntorch-conv": SnntorchConv}
KINDS = [(name, stepwise) for name in NETS for stepwise in (False, True)]


def build(name: str, stepwise: bool = False, depth: int = 3, threshold: float = 0.2, **fields: Any) -> Any:
    """The network with `depth` layers of 4 channels, always with the same weights, for samples of `batch`."""
    spec = load("fashion-deep-plain", quick=True).model
    spec = replace(spec, **{"widths": (4,) * depth, "strides": (2,) + (1,) * (depth - 1), **fields})
    torch.manual_seed(0)
    net = NETS[name](spec, (3, 8, 8), 5, "tbptt" if stepwise else "bptt")
    for found in ahsar.discover(net):
        module: Any = found.module
        if found.framework == "SpikingJelly":
            module.v_threshold = threshold
        else:
            module.threshold.fill_(threshold)
    return net


def batch(samples: int = 6) -> Tensor:
    return torch.randn(samples, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Alone(nn.Module):
    """One spiking layer, driven by currents [T, N, ...], step by step."""

    def __init__(self, neuron: Any, time_steps: int = 6) -> None:
        super().__init__()
        self.neuron, self.time_steps = neuron, time_steps
        self.state: Any = None

    def begin(self) -> None:
        self.state = torch.zeros(0)
        if hasattr(self.neuron, "reset_mem"):
            self.state = self.neuron.reset_mem()
        else:
            self.neuron.reset()

    def forward(self, currents: Tensor) -> Tensor:
        self.begin()
        return torch.stack([self.step(current) for current in currents])

    def step(self, current: Tensor) -> Tensor:
        if hasattr(self.neuron, "reset_mem"):
            spikes, self.state = self.neuron(current, self.state)
            return spikes
        return self.neuron(current)
