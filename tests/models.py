"""Small spiking models for the tests of the core: hand-written neurons that belong to no framework, snnTorch, SpikingJelly."""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

import ahsar

STEPS, FEATURES, WIDTH, CLASSES = 4, 8, 24, 3

# Every layer is led at every update, without end: for tests that need scales which move, whatever the rates are. No count of
# spikes is exactly at the set-point, where nothing would move.
MOVING = ahsar.Config(
    set_point=0.2003, band=(1.0, 1.0), lead=(1.0, 1.0), cooling=0.0, response=0.0, tolerance=0.0, grace=10**6,
    resting_interval=1,
)  # fmt: skip


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (distance,) = ctx.saved_tensors
        return grads[0] / (1 + (math.pi * distance) ** 2)


class LIF(nn.Module):
    """A whole sequence at once: current [T, N, ...] to spikes of that shape. The threshold is a float, buffer or Parameter."""

    def __init__(self, threshold: float | Tensor = 1.0):
        super().__init__()
        if isinstance(threshold, nn.Parameter) or not isinstance(threshold, Tensor):
            self.firing_level = threshold
        else:
            self.register_buffer("firing_level", threshold)

    def forward(self, current: Tensor) -> Tensor:
        potential, spikes = torch.zeros_like(current[0]), []
        for x in current:
            potential = 0.5 * potential + x
            spike = _Spike.apply(potential - self.firing_level)
            potential = potential * (1 - spike)
            spikes.append(spike)
        return torch.stack(spikes)


class StepLIF(nn.Module):
    """One step of time per call, membrane kept between calls: current [N, ...] to (spikes, membrane)."""

    def __init__(self, threshold: float = 1.0):
        super().__init__()
        self.firing_level, self.potential = threshold, torch.zeros(())

    def forward(self, current: Tensor) -> tuple[Tensor, Tensor]:
        self.potential = 0.5 * self.potential + current
        spike = _Spike.apply(self.potential - self.firing_level)
        self.potential = self.potential * (1 - spike)
        return spike, self.potential


class Graded(nn.Module):
    """Rectified current above threshold: NaN in gives NaN out."""

    def __init__(self, threshold: float = 0.5):
        super().__init__()
        self.firing_level = threshold

    def forward(self, current: Tensor) -> Tensor:
        return torch.where(current - self.firing_level <= 0, 0.0, current)


ahsar.register_adapter(LIF, threshold="firing_level", binary=True)
ahsar.register_adapter(StepLIF, threshold="firing_level", spikes=0)
ahsar.register_adapter(Graded, threshold="firing_level")


class Net(nn.Module):
    """Linear, neurons, linear, neurons, linear on a current that is constant over STEPS: [N, FEATURES] to [N, CLASSES]."""

    def __init__(self, neurons: list[nn.Module], bias: bool = True):
        super().__init__()
        self.neurons = nn.ModuleList(neurons)
        widths = [FEATURES] + [WIDTH] * len(neurons)
        self.synapses = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(widths))
        self.readout = nn.Linear(WIDTH, CLASSES, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        signal = x.expand(STEPS, *x.shape)
        for synapse, neuron in zip(self.synapses, self.neurons, strict=True):
            signal = neuron(synapse(signal))
        return self.readout(signal).mean(0)


class StepNet(Net):
    """The same with a loop over time in forward, as snnTorch's users write it."""

    def reset(self) -> None:
        for neuron in self.neurons:
            if isinstance(neuron, StepLIF):
                neuron.potential = torch.zeros(())
            else:
                neuron.reset_mem()  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        self.reset()
        states: list[Any] = [None] * len(self.neurons)
        total: Tensor | float = 0.0
        for _ in range(STEPS):
            signal = x
            for i, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
                arguments = (synapse(signal),) if states[i] is None else (synapse(signal), states[i])
                signal, state = neuron(*arguments)
                states[i] = None if isinstance(neuron, StepLIF) else state
            total = total + self.readout(signal)
        assert isinstance(total, Tensor)
        return total / STEPS


class SpikingJellyNet(Net):
    """The same with SpikingJelly's neurons in multi-step mode, reset before each sequence."""

    def forward(self, x: Tensor) -> Tensor:
        from spikingjelly.activation_based import functional

        functional.reset_net(self)
        return super().forward(x)


KINDS = ("float", "buffer", "parameter", "steps", "snntorch", "spikingjelly")


def build(
    kind: str = "float", *, depth: int = 2, seed: int = 0, bias: bool = True, boost: float = 2.0, positive: bool = False
) -> Net:
    """A model of one of KINDS; `boost` multiplies its synaptic weights, `positive` drops their sign."""
    torch.manual_seed(seed)
    make, net = _maker(kind)
    model = net([make() for _ in range(depth)], bias)
    with torch.no_grad():
        for synapse in model.synapses:
            weight: Any = synapse.weight
            weight.copy_(boost * (weight.abs() if positive else weight))
    return model


def _maker(kind: str) -> tuple[Any, type[Net]]:
    if kind == "snntorch":
        import snntorch

        return lambda: snntorch.Leaky(beta=0.5), StepNet
    if kind == "spikingjelly":
        from spikingjelly.activation_based import neuron

        return lambda: neuron.LIFNode(step_mode="m", decay_input=False), SpikingJellyNet
    if kind == "steps":
        return StepLIF, StepNet
    makers = {
        "float": LIF,
        "buffer": lambda: LIF(torch.tensor(1.0)),
        "parameter": lambda: LIF(nn.Parameter(torch.tensor(1.0))),
    }
    return makers[kind], Net


def batch(seed: int, size: int = 16) -> tuple[Tensor, Tensor]:
    """Inputs [size, FEATURES] in [0, 1] and labels that depend on them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(size, FEATURES, generator=generator)
    return x, x[:, :CLASSES].argmax(1)


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int, size: int = 16) -> float:
    """Forward, backward and step on one batch; the loss."""
    x, y = batch(seed, size)
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def adam(model: nn.Module, lr: float = 1e-2) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=lr)


class Counter:
    """Counts the spikes of each neuron layer by hand, in training forwards, apart from the controller."""

    def __init__(self, model: Net):
        self.spikes = [0] * len(model.neurons)
        self.outputs = [0] * len(model.neurons)
        for i, neuron in enumerate(model.neurons):
            neuron.register_forward_hook(lambda module, _, output, i=i: self._count(module, output, i))

    def _count(self, module: nn.Module, output: Any, i: int) -> None:
        if module.training:
            spikes = output[0] if isinstance(output, tuple) else output
            self.spikes[i] += sum(value != 0 for value in spikes.flatten().tolist())
            self.outputs[i] += spikes.numel()

    def take(self) -> tuple[list[int], list[int]]:
        """Spikes and outputs since the last call."""
        taken = self.spikes, self.outputs
        self.spikes, self.outputs = [0] * len(self.spikes), [0] * len(self.outputs)
        return taken
