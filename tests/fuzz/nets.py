"""Small nets of any framework, drawn at random: what the machine in `machine.py` attaches, and its twin."""

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.adapters import cases
from tests.adapters.case import BATCH, NEURONS, Case

BY_NAME = {case.name: case for case in cases.CASES}
FRAMEWORKS = {framework.__name__.rpartition(".")[2].removesuffix("_cases"): framework.CASES for framework in cases.FRAMEWORKS}


def seed(number: int) -> None:
    """For neurons with noise: alike for a net and its twin. The CPU's generator alone, as the others are slow to seed."""
    torch.default_generator.manual_seed(number)
    np.random.seed(number % 2**32)


def fire(case: Case, neuron: nn.Module, current: Tensor) -> Tensor:
    """A sequence of currents [T, N, C] through neurons in a fresh state: their spikes, [T, N, C]."""
    batch_first = case.shape[0] == BATCH
    outputs = [case.spikes(output) for output in case.run(neuron, current.transpose(0, 1) if batch_first else current)]
    if len(outputs) > 1:
        spikes = torch.stack(outputs)
    else:
        spikes = outputs[0].transpose(0, 1) if batch_first else outputs[0].reshape(current.shape)
    return spikes.to(current.dtype)


@cache
def takes(name: str, steps: int, width: int) -> bool:
    """Whether neurons of this case run on sequences of this shape."""
    case, shape = BY_NAME[name], (steps, BATCH, width)
    if len(case.shape) != 3:
        return False
    seed(0)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fire(case, case.module(), case.rest + torch.randn(shape)).shape == shape
    except Exception:
        return False


@cache
def scaled_in_float32(name: str) -> bool:
    """Whether the threshold is a number that is scaled as a tensor, and so rounded."""
    case = BY_NAME[name]
    return case.writer == "tensor" and not isinstance(case.stored(case.module()), Tensor)


@dataclass(frozen=True)
class Plan:
    """What a net is built from.

    Attributes:
        layers: names of the cases, in the order of forward.
        norm, frozen, asleep: of each layer, whether it has batch norm, weights without gradients, neurons always in eval mode.
        spare: a layer that never runs, or none.
        backwards: layers are defined in the order opposite to that of forward.
        readout: whether weights follow the last layer; if not, its spikes are the answer.
    """

    layers: tuple[str, ...]
    norm: tuple[bool, ...]
    frozen: tuple[bool, ...]
    asleep: tuple[bool, ...]
    spare: str | None
    backwards: bool
    readout: bool
    steps: int
    width: int
    seed: int

    @property
    def cases(self) -> list[Case]:
        return [BY_NAME[name] for name in self.layers]

    @property
    def exact(self) -> bool:
        """Whether a reference can scale all thresholds without rounding otherwise."""
        return not any(case.rounding or case.rest or case.learnable or scaled_in_float32(case.name) for case in self.cases)


class Net(nn.Module):
    """Linear, batch norm, neurons, for each layer: x [N, C] at each of T steps of time to [T, N, C], or to [N, 2].

    Attributes:
        tally: spikes and outputs of each layer in the last forward, by name, where it is to count (the twin).
    """

    def __init__(self, plan: Plan):
        super().__init__()
        self.plan, self.counts, self.tally = plan, False, {}
        seed(plan.seed)
        width = plan.width
        neurons = [case.module() for case in plan.cases]
        order = range(len(neurons))[::-1] if plan.backwards else range(len(neurons))
        self.neurons = nn.ModuleDict({f"n{i}": neurons[i] for i in order})
        self.spare = None if plan.spare is None else BY_NAME[plan.spare].module()
        self.synapses = nn.ModuleList(nn.Linear(width, width) for _ in neurons)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) if norm else nn.Identity() for norm in plan.norm)
        self.readout = nn.Linear(width, 2) if plan.readout else None
        for i, (synapse, case, frozen) in enumerate(zip(self.synapses, plan.cases, plan.frozen, strict=True)):
            weight: Any = synapse.weight
            nn.init.normal_(weight, std=case.drive * (1.0 if i == 0 else 2.0) / width**0.5)
            synapse.requires_grad_(not frozen)

    def wake(self, training: bool) -> None:
        """Training or eval mode, but for layers that stay asleep."""
        self.train(training)
        for neuron, asleep in zip(self.in_order(), self.plan.asleep, strict=True):
            neuron.train(training and not asleep)

    def in_order(self) -> list[nn.Module]:
        return [self.neurons[f"n{i}"] for i in range(len(self.plan.layers))]

    def forward(self, x: Tensor) -> Tensor:
        signal = x.expand(self.plan.steps, *x.shape)
        layers = zip(self.plan.cases, self.synapses, self.norms, self.in_order(), strict=True)
        for i, (case, synapse, norm, neuron) in enumerate(layers):
            current = case.rest + norm(synapse(signal).flatten(0, 1)).unflatten(0, signal.shape[:2])
            signal = fire(case, neuron, current)
            if self.counts:
                spikes = signal.detach().float()
                fired = spikes.sum() if case.graded else spikes.count_nonzero()
                self.tally[f"neurons.n{i}"] = (float(fired), spikes.numel(), neuron.training)
        return signal if self.readout is None else self.readout(signal).mean(0)


@st.composite
def plans(draw: Any, framework: str) -> Plan:
    steps, width = draw(st.sampled_from([(2, 4), (3, 5)])), None
    usable = [case.name for case in FRAMEWORKS[framework] if takes(case.name, *steps)]
    steps, width = steps
    if draw(st.booleans()) or not usable:  # in the shape that the case itself has
        native = draw(st.sampled_from([c for c in FRAMEWORKS[framework] if len(c.shape) == 3 and c.shape[1] * c.shape[0] > 4]))
        steps, width = native.shape[1] if native.shape[0] == BATCH else native.shape[0], NEURONS
        usable = [case.name for case in FRAMEWORKS[framework] if takes(case.name, steps, width)]
    depth = draw(st.integers(1, 3))
    each = st.lists(st.integers(0, 4).map(lambda n: n == 4), min_size=depth, max_size=depth).map(tuple)
    layers = st.lists(st.sampled_from(usable), min_size=depth, max_size=depth).map(tuple)
    return Plan(
        layers=draw(layers), norm=draw(each), frozen=draw(each), asleep=draw(each),
        spare=draw(st.one_of(st.none(), st.none(), st.sampled_from(usable))), backwards=draw(st.booleans()),
        readout=draw(st.booleans()), steps=steps, width=width, seed=draw(st.integers(0, 2**16)),
    )  # fmt: skip
