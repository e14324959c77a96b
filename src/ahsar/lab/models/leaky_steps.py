"""What snnTorch's networks of the lab share: membranes that go from one time step to the next, and how they end."""

from snntorch import Leaky, surrogate
from torch import Tensor, nn

from ahsar.lab.spec import workload


class LeakySteps(nn.Module):
    """A network with `synapses`, `neurons`, a linear `readout`, and `answer` behind it if asked for."""

    synapses: nn.ModuleDict
    neurons: nn.ModuleDict

    def __init__(self) -> None:
        super().__init__()
        self.membranes: list[Tensor] = []
        self.synapses, self.neurons = nn.ModuleDict(), nn.ModuleDict()

    def end_in(self, spec: workload.Model, features: int, classes: int) -> None:
        """Make the readout, and the answer; once all other layers are there."""
        self.readout: nn.Linear = nn.Linear(features, classes)
        self.answer: Answer | None = None if spec.output == "linear" else Answer(make_leaky(spec), spec.output, spec.time_steps)

    def begin(self) -> None:
        """Begin a sequence."""
        neurons = [*self.neurons.values(), *([] if self.answer is None else [self.answer.lif])]
        self.membranes = [neuron.init_leaky() for neuron in neurons]  # type: ignore[operator]

    def cut(self) -> None:
        """Detach all membranes from the graph."""
        self.membranes = [membrane.detach() for membrane in self.membranes]

    def respond(self, spikes: Tensor) -> Tensor:
        """Logits `[N, classes]` of the last hidden layer's spikes `[N, features]`."""
        logits = self.readout(spikes)
        if self.answer is not None:
            logits, self.membranes[-1] = self.answer(logits, self.membranes[-1])
        return logits


class Answer(nn.Module):
    """Neurons `lif` whose membranes before the reset are the logits, or T times their spikes, whose mean over time is the spike
    count: the losses of snnTorch's tutorials 5 and 6 (`ce_count_loss`).

    It is a module of its own so that the controller sees what it returns where nothing else around its neurons is called.
    """

    lif: Leaky
    output: str
    time_steps: int

    def __init__(self, lif: Leaky, output: str, time_steps: int) -> None:
        super().__init__()
        self.lif, self.output, self.time_steps = lif, output, time_steps

    def forward(self, current: Tensor, membrane: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of one time step and the next membrane, each `[N, classes]` as the current."""
        spikes, membrane = self.lif(current, membrane)
        return (membrane if self.output == "membrane" else self.time_steps * spikes), membrane


def make_leaky(spec: workload.Model) -> Leaky:
    """The snnTorch neuron of a workload. Its decay per step is 1 - 1/tau; unlike SpikingJelly's LIF it does not scale its
    input by 1/tau. Surrogates have snnTorch's default slopes."""
    gradient = {"atan": surrogate.atan, "sigmoid": surrogate.sigmoid, "fast-sigmoid": surrogate.fast_sigmoid}[spec.surrogate]()
    return Leaky(beta=1 - 1 / spec.tau, threshold=spec.threshold, spike_grad=gradient, reset_mechanism="subtract")
