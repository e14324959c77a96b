"""Residual networks of SpikingJelly's blocks, with the stem and pooling that small images need."""

from collections.abc import Callable
from functools import partial

from spikingjelly.activation_based import layer
from spikingjelly.activation_based.model import sew_resnet, spiking_resnet
from torch import Tensor, nn

from ahsar.errors import WorkloadError
from ahsar.lab.models.spikingjelly_conv import Show, make_head
from ahsar.lab.models.steps import Steps
from ahsar.lab.models.zoo import check_side, factory
from ahsar.lab.spec import workload
from ahsar.lab.spec.catalogue import PARADIGMS

STAGES = 4


class ResNet18(Steps):
    """`stem`, `stage1` to `stage4` of basic blocks, average `pool` and `head`; batch norm everywhere.

    SpikingJelly's networks begin with a 7x7 convolution and pooling, for 224-pixel images. Here the stem is a 3x3
    convolution of stride 1 without pooling, as residual networks have it for CIFAR (He et al. 2016, section 4.2).
    The channels are `width` (0: 64) in the first stage and double in each further one, where sides are halved; `depth`
    is the number of blocks in all (0: 8, two a stage), so a multiple of 4. Eight blocks have 17 neuron layers.
    """

    block: Callable[..., nn.Module] = spiking_resnet.BasicBlock

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        super().__init__()
        check_side(spec, sample_shape)
        depth, width = spec.depth or 2 * STAGES, spec.width or 64
        if depth % STAGES:
            raise WorkloadError(
                f"model.depth = {depth}: model.name = {spec.name!r} has {STAGES} stages of equally many blocks; "
                f"give a multiple of {STAGES}"
            )
        neuron = factory(spec, paradigm)
        self.stem: nn.Sequential = nn.Sequential()
        self.stem.add_module("conv", spiking_resnet.conv3x3(sample_shape[-3], width))
        self.stem.add_module("norm", layer.BatchNorm2d(width))
        if not PARADIGMS[paradigm].stepwise:
            self.stem.add_module("show", Show(spec.time_steps))
        self.stem.add_module("lif", neuron())
        channels = width
        for i in range(STAGES):
            stage, out = nn.Sequential(), width * 2**i
            for j in range(depth // STAGES):
                stride = 2 if i and not j else 1
                stage.add_module(f"block{j + 1}", self._block(channels, out, stride, neuron))
                channels = out
            self.add_module(f"stage{i + 1}", stage)
        self.pool: nn.Module = layer.AdaptiveAvgPool2d(1)
        self.head: nn.Sequential = make_head(spec, channels, classes, paradigm)
        for module in self.modules():
            if isinstance(module, layer.Conv2d):  # as SpikingJelly's constructors do
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.set_mode(spec, paradigm)

    @classmethod
    def _block(cls, channels: int, out: int, stride: int, neuron: Callable[..., nn.Module]) -> nn.Module:
        shortcut = None
        if stride != 1:  # where the shape changes, so must the shortcut's
            shortcut = nn.Sequential(spiking_resnet.conv1x1(channels, out, stride), layer.BatchNorm2d(out))
        return cls.block(channels, out, stride, shortcut, spiking_neuron=neuron)

    def step(self, x: Tensor) -> Tensor:
        """Logits `[N, classes]` of one frame `[N, C, H, W]`; not stepwise, those of a whole sequence."""
        x = self.stem(x)
        for i in range(1, STAGES + 1):
            x = self.get_submodule(f"stage{i}")(x)
        return self.head(self.pool(x))


class SEWResNet18(ResNet18):
    """Spike-element-wise blocks, whose shortcut joins behind the neurons, by addition (Fang et al. 2021, arXiv
    2102.04159). A changed shortcut spikes too: eight blocks have 20 neuron layers. A block's output may exceed 1."""

    block = partial(sew_resnet.BasicBlock, cnf="ADD")
