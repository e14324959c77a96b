"""A small spiking VGG: SpikingJelly's own convolutional part, with a short head for small images in place of its own."""

from spikingjelly.activation_based import layer
from spikingjelly.activation_based.model.spiking_vgg import SpikingVGG
from torch import Tensor, nn

from ahsar.errors import WorkloadError
from ahsar.lab.models import side_after
from ahsar.lab.models.spikingjelly_conv import Show, make_head, make_neuron, make_stack
from ahsar.lab.models.steps import Steps
from ahsar.lab.spec import workload
from ahsar.lab.spec.catalogue import PARADIGMS


class SpikingjellyVGG(Steps):
    """`features` (`conv1`, `norm1`, `lif1`, `pool1` ...; pooling after each stride of 2) and `head`.

    The published head has three linear layers for 224-pixel images; here it is the workload's hidden layer and readout.
    """

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        super().__init__()
        if sample_shape[-3] != 3:
            raise WorkloadError(f"model.name = 'spikingjelly-vgg': takes RGB images, not {sample_shape[-3]} channels")
        height, width = sample_shape[-2:]
        plan: list[int | str] = []
        for out, stride in spec.plan:
            plan += [out, "M"] if stride == 2 else [out]
        layers = SpikingVGG.make_layers(plan, batch_norm=spec.batch_norm, neuron=lambda: make_neuron(spec, paradigm))
        self.features: nn.Sequential = _named(layers, spec.time_steps, paradigm)
        sides = [side_after(side, spec.plan, floor=True) for side in (height, width)]
        self.head: nn.Sequential = make_head(spec, spec.plan[-1][0] * sides[0] * sides[1], classes, paradigm)
        self.set_mode(spec, paradigm)

    def step(self, x: Tensor) -> Tensor:
        """Logits `[N, classes]` of one frame `[N, 3, H, W]`; not stepwise, those of a whole sequence."""
        return self.head(self.features(x))


def _named(layers: nn.Sequential, time_steps: int, paradigm: str) -> nn.Sequential:
    """The same layers under readable names instead of their positions, with `Show` before the first neuron if not stepwise."""
    named, i = make_stack(paradigm), 0
    for module in layers:
        if isinstance(module, layer.Conv2d):
            i += 1
            named.add_module(f"conv{i}", module)
        elif isinstance(module, layer.BatchNorm2d):
            named.add_module(f"norm{i}", module)
        elif isinstance(module, layer.MaxPool2d):
            named.add_module(f"pool{i}", module)
        else:
            if i == 1 and not PARADIGMS[paradigm].stepwise:
                named.add_module("show", Show(time_steps))
            named.add_module(f"lif{i}", module)
    return named
