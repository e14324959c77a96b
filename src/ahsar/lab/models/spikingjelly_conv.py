"""A plain stack of SpikingJelly convolutions of any depth, with or without batch norm, in multi-step mode, or stepwise."""

from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from ahsar.lab import workload
from ahsar.lab.models import is_sequence, side_after, unroll


class SpikingjellyConv(nn.Module):
    """Blocks `block1 ...` of `conv`, `norm` (if asked for) and `lif`, a hidden `fc` block if asked for, a readout."""

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, stepwise: bool = False) -> None:
        super().__init__()
        channels, height, width = sample_shape[-3:]
        for i, (out, stride) in enumerate(spec.plan, 1):
            block = nn.Sequential()
            block.add_module("conv", layer.Conv2d(channels, out, 3, stride, padding=1, bias=not spec.batch_norm))
            if spec.batch_norm:
                block.add_module("norm", layer.BatchNorm2d(out))
            if i == 1 and not stepwise:
                block.add_module("show", Show(spec.time_steps))
            block.add_module("lif", make_neuron(spec))
            self.add_module(f"block{i}", block)
            channels = out
        features = channels * side_after(height, spec.plan) * side_after(width, spec.plan)
        self.head = make_head(spec, features, classes)
        self.depth, self.time_steps, self.stepwise = len(spec.plan), spec.time_steps, stepwise
        functional.set_step_mode(self, "s" if stepwise else "m")

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[T, N, classes]` of a batch `[N, C, H, W]` or `[N, T, C, H, W]`."""
        if self.stepwise:
            return unroll(self, x, self.time_steps)
        self.begin()
        return self.step(as_sequence(x))

    def begin(self) -> None:
        """Begin a sequence."""
        functional.reset_net(self)

    def step(self, x: Tensor) -> Tensor:
        """Logits `[N, classes]` of one frame `[N, C, H, W]`; not stepwise, those of a whole sequence."""
        for i in range(1, self.depth + 1):
            x = self.get_submodule(f"block{i}")(x)
        return self.head(x)


class Show(nn.Module):
    """Gives a static image's current `[1, N, ...]` to every time step, `[T, N, ...]`; frames pass unchanged.

    It stands behind the first convolution (and norm), so that these are computed once for an image and not T times.
    """

    def __init__(self, time_steps: int) -> None:
        super().__init__()
        self.time_steps = time_steps

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(self.time_steps, *x.shape[1:])


def as_sequence(x: Tensor) -> Tensor:
    """Time-first input: sequences `[N, T, ...]` become `[T, N, ...]`, a static batch `[N, ...]` `[1, N, ...]`."""
    return x.transpose(0, 1).contiguous() if is_sequence(x.shape[1:]) else x.unsqueeze(0)


def make_head(spec: workload.Model, features: int, classes: int) -> nn.Sequential:
    """Flatten, the hidden spiking layer if there is one, and the linear readout, which does not spike."""
    head = nn.Sequential()
    head.add_module("flatten", layer.Flatten())
    if spec.hidden:
        head.add_module("fc", layer.Linear(features, spec.hidden))
        head.add_module("lif", make_neuron(spec))
    head.add_module("readout", layer.Linear(spec.hidden or features, classes))
    return head


def make_neuron(spec: workload.Model) -> nn.Module:
    """A SpikingJelly neuron with threshold 1 and hard reset to 0."""
    gradient = surrogate.ATan() if spec.surrogate == "atan" else surrogate.Sigmoid()
    if spec.neuron == "if":
        return neuron.IFNode(surrogate_function=gradient, detach_reset=spec.detach_reset)
    if spec.neuron == "plif":
        return neuron.ParametricLIFNode(spec.tau, surrogate_function=gradient, detach_reset=spec.detach_reset)
    return neuron.LIFNode(spec.tau, surrogate_function=gradient, detach_reset=spec.detach_reset)
