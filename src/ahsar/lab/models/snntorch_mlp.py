"""A fully connected network written as snnTorch users write it: one call of every neuron per time step."""

from math import prod

from torch import Tensor, nn

from ahsar.errors import WorkloadError
from ahsar.lab.models import is_sequence, unroll
from ahsar.lab.models.leaky_steps import LeakySteps, make_leaky
from ahsar.lab.spec import workload

WIDTH, DEPTH = 128, 2  # where the workload gives 0


class SnntorchMLP(LeakySteps):
    """Linear layers `fc1 ...` with neurons `lif1 ...`, a linear readout, `answer` behind it if asked for; a frame or an image
    is flattened first."""

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        super().__init__()
        if spec.neuron != "lif":
            raise WorkloadError("model.name = 'snntorch-mlp': takes model.neuron = 'lif' only")
        self.time_steps: int = spec.time_steps
        features, width = prod(sample_shape[1:] if is_sequence(sample_shape) else sample_shape), spec.width or WIDTH
        for i in range(1, (spec.depth or DEPTH) + 1):
            self.synapses[f"fc{i}"] = nn.Linear(features, width)
            self.neurons[f"lif{i}"] = make_leaky(spec)
            features = width
        self.end_in(spec, features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[T, N, classes]` of a batch `[N, ...]` or `[N, T, ...]`."""
        return unroll(self, x, self.time_steps)

    def step(self, x: Tensor) -> Tensor:
        """Logits `[N, classes]` of one frame `[N, ...]`."""
        x = x.flatten(1)
        for i, (synapse, neuron) in enumerate(zip(self.synapses.values(), self.neurons.values(), strict=True)):
            x, self.membranes[i] = neuron(synapse(x), self.membranes[i])
        return self.respond(x)
