"""A small convolutional network written as snnTorch users write it: one call of every neuron per time step."""

import torch
from snntorch import Leaky, surrogate
from torch import Tensor, nn

from ahsar.errors import WorkloadError
from ahsar.lab.models import side_after, unroll
from ahsar.lab.spec import workload
from ahsar.lab.spec.catalogue import PARADIGMS


class SnntorchConv(nn.Module):
    """Convolutions `conv1 ...` with neurons `lif1 ...`, a hidden linear layer if asked for, a linear readout, and
    `answer` behind it if asked for."""

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        super().__init__()
        if len(sample_shape) != 3 or spec.neuron != "lif":
            raise WorkloadError("model.name = 'snntorch-conv': takes images and model.neuron = 'lif' only")
        self.time_steps, self.stepwise = spec.time_steps, PARADIGMS[paradigm].stepwise
        self.membranes: list[Tensor] = []
        self.synapses, self.neurons = nn.ModuleDict(), nn.ModuleDict()
        channels, height, width = sample_shape
        for i, (out, stride) in enumerate(spec.plan, 1):
            conv = nn.Conv2d(channels, out, 3, stride, padding=1, bias=not spec.batch_norm)
            self.synapses[f"conv{i}"] = nn.Sequential(conv, nn.BatchNorm2d(out)) if spec.batch_norm else conv
            self.neurons[f"lif{i}"] = make_leaky(spec)
            channels = out
        features = channels * side_after(height, spec.plan) * side_after(width, spec.plan)
        if spec.hidden:
            self.synapses["fc"] = nn.Sequential(nn.Flatten(), nn.Linear(features, spec.hidden))
            self.neurons["lif_fc"] = make_leaky(spec)
            features = spec.hidden
        self.readout = nn.Linear(features, classes)
        self.answer = None if spec.output == "linear" else Answer(make_leaky(spec), spec.output, spec.time_steps)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[T, N, classes]` of a batch `[N, C, H, W]`."""
        if self.stepwise:
            return unroll(self, x, self.time_steps)
        self.begin()
        drive = self.synapses["conv1"](x)  # the image does not change, so its first convolution is done once
        return torch.stack([self._integrate(drive) for _ in range(self.time_steps)])

    def begin(self) -> None:
        """Begin a sequence."""
        neurons = [*self.neurons.values(), *([] if self.answer is None else [self.answer.lif])]
        self.membranes = [neuron.init_leaky() for neuron in neurons]  # type: ignore[operator]

    def cut(self) -> None:
        """Detach all membranes from the graph."""
        self.membranes = [membrane.detach() for membrane in self.membranes]

    def step(self, x: Tensor) -> Tensor:
        """Logits `[N, classes]` of one frame `[N, C, H, W]`."""
        return self._integrate(self.synapses["conv1"](x))

    def _integrate(self, drive: Tensor) -> Tensor:
        """One time step from the current of the first layer on."""
        spikes = drive
        for i, (synapse, neuron) in enumerate(zip(self.synapses.values(), self.neurons.values(), strict=True)):
            current = drive if i == 0 else synapse(spikes)
            spikes, self.membranes[i] = neuron(current, self.membranes[i])
        logits = self.readout(spikes.flatten(1))
        if self.answer is not None:
            logits, self.membranes[-1] = self.answer(logits, self.membranes[-1])
        return logits


class Answer(nn.Module):
    """Neurons `lif` whose membranes before the reset are the logits, or T times their spikes, whose mean over time is the spike
    count: the losses of snnTorch's tutorials 5 and 6 (`ce_count_loss`).

    It is a module of its own so that the controller sees what it returns where nothing else around its neurons is called.
    """

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
