"""Models for torch.compile, and counting what it compiles."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import snntorch
import torch
import torch._dynamo
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import Tensor, nn
from torch._dynamo.utils import counters

from tests import models


class Hidden(models.Net):
    """snnTorch with hidden states and a loop over time: one graph. The states start anew outside of the compiled code."""

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor | float = 0.0
        for _ in range(models.STEPS):
            signal = x
            for synapse, layer in zip(self.synapses, self.neurons, strict=True):
                signal = layer(synapse(signal))
            total = total + self.readout(signal)
        assert isinstance(total, Tensor)
        return total / models.STEPS


def _spikingjelly(cls: Any, **kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: cls(step_mode="m", surrogate_function=surrogate.ATan(), **kwargs)


def _leaky(**kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: snntorch.Leaky(beta=0.5, **kwargs)


MAKERS: dict[str, tuple[Callable[[], nn.Module], type[models.Net]]] = {
    "float": (models.LIF, models.Net),
    "buffer": (lambda: models.LIF(torch.tensor(1.0)), models.Net),
    "parameter": (lambda: models.LIF(nn.Parameter(torch.tensor(1.0))), models.Net),
    "steps": (models.StepLIF, models.StepNet),
    "snntorch": (_leaky(init_hidden=True), Hidden),
    "snntorch-learnt": (_leaky(init_hidden=True, learn_threshold=True), Hidden),
    "snntorch-states": (_leaky(), models.StepNet),
    "LIF": (_spikingjelly(neuron.LIFNode, decay_input=False), models.Net),
    "IF": (_spikingjelly(neuron.IFNode, v_reset=None), models.Net),
    "PLIF": (_spikingjelly(neuron.ParametricLIFNode, decay_input=False, detach_reset=True), models.Net),
}
# snnTorch breaks the graph where a membrane is passed in
WHOLE = [name for name in MAKERS if name != "snntorch-states"]


def build(name: str) -> models.Net:
    torch.manual_seed(0)
    make, net = MAKERS[name]
    model = net([make(), make()])
    with torch.no_grad():
        for synapse in model.synapses:
            synapse.weight.mul_(2.0)  # type: ignore[operator, union-attr]
    return model


def reset(model: nn.Module) -> None:
    """Start the neurons' states anew, outside of the compiled code."""
    for module in model.modules():
        if isinstance(module, snntorch.Leaky):
            module.reset_mem()
        elif isinstance(module, neuron.BaseNode):
            functional.reset_net(module)


def train(model: nn.Module, run: Any, optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> list[float]:
    """Train `model`, calling `run` for its forward; the losses."""
    losses = []
    for step in range(start, start + steps):
        reset(model)
        losses.append(models.train_step(run, optimizer, step))
    return losses


@dataclass
class Counts:
    """What torch.compile did: graphs compiled, first or again, and breaks between them."""

    graphs: int = 0
    breaks: int = 0


@contextmanager
def counting() -> Iterator[Counts]:
    """Start with a compiler that remembers nothing, and count what it does."""
    torch._dynamo.reset()
    counters.clear()
    found = Counts()
    try:
        yield found
    finally:
        found.graphs = counters["stats"]["unique_graphs"]
        found.breaks = sum(counters["graph_break"].values())
        torch._dynamo.reset()
