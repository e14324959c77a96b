"""A small convolutional network written as snnTorch users write it: one call of every neuron per time step."""

import torch
from torch import Tensor, nn

from ahsar.errors import WorkloadError
from ahsar.lab.models import side_after, unroll
from ahsar.lab.models.leaky_steps import LeakySteps, make_leaky
from ahsar.lab.spec import workload
from ahsar.lab.spec.catalogue import PARADIGMS


class SnntorchConv(LeakySteps):
    """Convolutions `conv1 ...` with neurons `lif1 ...`, a hidden linear layer if asked for, a linear readout, and
    `answer` behind it if asked for."""

    time_steps: int
    stepwise: bool

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        super().__init__()
        if len(sample_shape) != 3 or spec.neuron != "lif":
            raise WorkloadError("model.name = 'snntorch-conv': takes images and model.neuron = 'lif' only")
        self.time_steps, self.stepwise = spec.time_steps, PARADIGMS[paradigm].stepwise
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
        self.end_in(spec, features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[T, N, classes]` of a batch `[N, C, H, W]`."""
        if self.stepwise:
            return unroll(self, x, self.time_steps)
        self.begin()
        drive = self.synapses["conv1"](x)  # the image does not change, so its first convolution is done once
        return torch.stack([self._integrate(drive) for _ in range(self.time_steps)])

    def step(self, x: Tensor) -> Tensor:
        """Logits `[N, classes]` of one frame `[N, C, H, W]`."""
        return self._integrate(self.synapses["conv1"](x))

    def _integrate(self, drive: Tensor) -> Tensor:
        """One time step from the current of the first layer on."""
        spikes = drive
        for i, (synapse, neuron) in enumerate(zip(self.synapses.values(), self.neurons.values(), strict=True)):
            current = drive if i == 0 else synapse(spikes)
            spikes, self.membranes[i] = neuron(current, self.membranes[i])
        return self.respond(spikes.flatten(1))
