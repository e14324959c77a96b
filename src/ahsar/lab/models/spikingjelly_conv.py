"""A plain stack of SpikingJelly convolutions of any depth, with or without batch norm, in multi-step mode, or stepwise."""

from typing import Any

from spikingjelly.activation_based import layer, neuron, surrogate
from torch import Tensor, nn

from ahsar.lab.models import side_after
from ahsar.lab.models.answer import Answer
from ahsar.lab.models.steps import Steps
from ahsar.lab.spec import workload
from ahsar.lab.spec.catalogue import PARADIGMS


class SpikingjellyConv(Steps):
    """Blocks `block1 ...` of `conv`, `norm` (if asked for) and `lif`, a hidden `fc` block if asked for, a readout."""

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        super().__init__()
        channels, height, width = sample_shape[-3:]
        for i, (out, stride) in enumerate(spec.plan, 1):
            block = make_stack(paradigm)
            block.add_module("conv", layer.Conv2d(channels, out, 3, stride, padding=1, bias=not spec.batch_norm))
            if spec.batch_norm:
                block.add_module("norm", layer.BatchNorm2d(out))
            if i == 1 and not PARADIGMS[paradigm].stepwise:
                block.add_module("show", Show(spec.time_steps))
            block.add_module("lif", make_neuron(spec, paradigm))
            self.add_module(f"block{i}", block)
            channels = out
        features = channels * side_after(height, spec.plan) * side_after(width, spec.plan)
        self.head: nn.Sequential = make_head(spec, features, classes, paradigm)
        self.depth: int = len(spec.plan)
        self.set_mode(spec, paradigm)

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
        """Currents `[T, N, ...]` of those `[1, N, ...]` of an image, or `[T, N, ...]` of frames."""
        return x.expand(self.time_steps, *x.shape[1:])


def make_head(spec: workload.Model, features: int, classes: int, paradigm: str = "bptt") -> nn.Sequential:
    """Flatten, the hidden spiking layer if there is one, the linear readout, and the neurons behind it if asked for."""
    head = make_stack(paradigm)
    head.add_module("flatten", layer.Flatten())
    if spec.hidden:
        head.add_module("fc", layer.Linear(features, spec.hidden))
        head.add_module("lif", make_neuron(spec, paradigm))
    head.add_module("readout", layer.Linear(spec.hidden or features, classes))
    if spec.output != "linear":
        head.add_module("answer", Answer(make_neuron(spec, paradigm), spec.output, spec.time_steps))
    return head


def make_stack(paradigm: str = "bptt") -> nn.Sequential:
    """An empty stack of layers. OTTT's hands each weight the spikes and their trace, as its neurons give them."""
    own = PARADIGMS[paradigm].stack
    return getattr(layer, own)() if own else nn.Sequential()


def make_neuron(spec: workload.Model, paradigm: str = "bptt") -> nn.Module:
    """The SpikingJelly neuron that the paradigm trains, with a hard reset to 0 and its input scaled by 1/tau.

    The classes for OTTT and SLTT do the same forward and differ in the gradient alone, so paradigms compare on one network.
    Surrogates have SpikingJelly's default widths; "triangle" is max(0, 1 - |v - 1|), as in TET and SLTT.
    """
    gradient = {
        "atan": surrogate.ATan, "sigmoid": surrogate.Sigmoid,
        "triangle": surrogate.PiecewiseQuadratic, "rectangle": surrogate.Rect, "fast-sigmoid": surrogate.SoftSign,
    }[spec.surrogate]()  # fmt: skip
    own = PARADIGMS[paradigm].neuron
    common: dict[str, Any] = {"v_threshold": spec.threshold, "surrogate_function": gradient}
    if own:  # LIF only: the catalogue refuses the others
        return getattr(neuron, own)(spec.tau, decay_input=True, v_reset=0.0, **common)
    if spec.neuron == "if":
        return neuron.IFNode(detach_reset=spec.detach_reset, **common)
    if spec.neuron == "plif":
        return neuron.ParametricLIFNode(spec.tau, detach_reset=spec.detach_reset, **common)
    return neuron.LIFNode(spec.tau, detach_reset=spec.detach_reset, **common)
