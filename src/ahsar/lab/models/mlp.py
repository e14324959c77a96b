"""A fully connected SpikingJelly network of any depth, in multi-step mode, or stepwise."""

from math import prod

from spikingjelly.activation_based import layer
from torch import Tensor, nn

from ahsar.lab.models import Synapses, is_sequence
from ahsar.lab.models.answer import Answer
from ahsar.lab.models.spikingjelly_conv import Show, make_neuron, make_stack
from ahsar.lab.models.steps import Steps
from ahsar.lab.spec import workload
from ahsar.lab.spec.catalogue import PARADIGMS

WIDTH, DEPTH = 128, 2  # where the workload gives 0


class MLP(Steps):
    """`flatten`, then `fc1`, `lif1` ... and `readout`, and `answer` if asked for, in one sequence, `layers`.

    A frame or an image is flattened first.
    """

    depth: int

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        super().__init__()
        width, self.depth = spec.width or WIDTH, spec.depth or DEPTH
        features = prod(sample_shape[1:] if is_sequence(sample_shape) else sample_shape)
        self.layers: nn.Sequential = make_stack(paradigm)
        self.layers.add_module("flatten", layer.Flatten())
        for i in range(1, self.depth + 1):
            self.layers.add_module(f"fc{i}", layer.Linear(features, width))
            if i == 1 and not PARADIGMS[paradigm].stepwise:
                self.layers.add_module("show", Show(spec.time_steps))
            self.layers.add_module(f"lif{i}", make_neuron(spec, paradigm))
            features = width
        self.layers.add_module("readout", layer.Linear(features, classes))
        if spec.output != "linear":
            self.layers.add_module("answer", Answer(make_neuron(spec, paradigm), spec.output, spec.time_steps))
        self.set_mode(spec, paradigm)

    def step(self, x: Tensor) -> Tensor:
        """Logits `[N, classes]` of one frame `[N, ...]`; not stepwise, those of a whole sequence."""
        return self.layers(x)

    def synapses(self) -> Synapses:
        """Each spiking layer with the linear layers whose sum is its current, from input to output; then the readout."""
        named = self.layers.get_submodule
        return [(named(f"lif{i}"), [named(f"fc{i}")]) for i in range(1, self.depth + 1)], named("readout")  # type: ignore[return-value]
