"""A recurrent SpikingJelly network for sequences, always stepwise."""

from math import prod

from spikingjelly.activation_based import functional
from torch import Tensor, nn

from ahsar.lab.models import Synapses, is_sequence, unroll
from ahsar.lab.models.spikingjelly_conv import make_neuron
from ahsar.lab.spec import workload

WIDTH, DEPTH = 128, 1  # where the workload gives 0


class Recurrent(nn.Module):
    """Recurrent layers `layer1 ...` and a linear `readout` of the last one; a frame or an image is flattened first."""

    depth: int

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        super().__init__()
        width, self.depth = spec.width or WIDTH, spec.depth or DEPTH
        features = prod(sample_shape[1:] if is_sequence(sample_shape) else sample_shape)
        for i in range(1, self.depth + 1):
            self.add_module(f"layer{i}", RecurrentLayer(features, width, make_neuron(spec, paradigm)))
            features = width
        self.readout: nn.Linear = nn.Linear(features, classes)
        self.time_steps: int = spec.time_steps
        functional.set_step_mode(self, "s")

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[T, N, classes]` of a batch `[N, ...]` or `[N, T, ...]`."""
        return unroll(self, x, self.time_steps)

    def begin(self) -> None:
        """Begin a sequence."""
        functional.reset_net(self)
        for recurrent in self._layers():
            recurrent.spikes = None

    def cut(self) -> None:
        """Detach all membranes, and the spikes that come back at the next step, from the graph."""
        functional.detach_net(self)
        for recurrent in self._layers():
            recurrent.spikes = None if recurrent.spikes is None else recurrent.spikes.detach()

    def step(self, x: Tensor) -> Tensor:
        """Logits `[N, classes]` of one frame `[N, ...]`."""
        x = x.flatten(1)
        for recurrent in self._layers():
            x = recurrent(x)
        return self.readout(x)

    def synapses(self) -> Synapses:
        """Each spiking layer with the linear layers whose sum is its current, from input to output; then the readout."""
        return [(recurrent.lif, [recurrent.input, recurrent.recurrent]) for recurrent in self._layers()], self.readout

    def _layers(self) -> "list[RecurrentLayer]":
        return [self.get_submodule(f"layer{i}") for i in range(1, self.depth + 1)]  # type: ignore[misc]


class RecurrentLayer(nn.Module):
    """Neurons whose current is `input(x[t]) + recurrent(z[t - 1])`, z their own spikes (as in Bellec et al., 2020).

    SpikingJelly's `LinearRecurrentContainer` feeds spikes back into the input instead, before the input weights.
    """

    def __init__(self, features: int, width: int, lif: nn.Module) -> None:
        super().__init__()
        self.input: nn.Linear = nn.Linear(features, width)
        self.recurrent: nn.Linear = nn.Linear(width, width, bias=False)
        self.lif = lif
        self.spikes: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Spikes `[N, width]` of one time step's input `[N, features]`; they are fed back at the next."""
        current = self.input(x)
        z = current.new_zeros(current.shape) if self.spikes is None else self.spikes
        spikes = self.spikes = self.lif(current + self.recurrent(z))
        return spikes
