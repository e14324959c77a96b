"""Spiking VGG-11 with batch norm for small images."""

from dataclasses import replace

from spikingjelly.activation_based import layer
from spikingjelly.activation_based.model.spiking_vgg import cfgs

from ahsar.errors import WorkloadError
from ahsar.lab.models.spikingjelly_vgg import SpikingjellyVGG
from ahsar.lab.models.zoo import check_side
from ahsar.lab.spec import workload


class VGG11(SpikingjellyVGG):
    """Configuration A of VGG (Simonyan & Zisserman 2014), as SpikingJelly has it, with batch norm and a short head.

    Channels are the published ones times `width` / 64 (0: 64). `depth` is 8 convolutions, and 0 says the same. Each
    max-pooling that would find a side of one pixel is left out: 32-pixel images are pooled five times, 16-pixel ones four.
    """

    def __init__(self, spec: workload.Model, sample_shape: tuple[int, ...], classes: int, paradigm: str = "bptt") -> None:
        check_side(spec, sample_shape)
        widths, strides = _plan(spec, min(sample_shape[-2:]))
        planned = replace(spec, widths=widths, strides=strides, width=0, depth=0, batch_norm=True)
        super().__init__(planned, (*sample_shape[:-3], 3, *sample_shape[-2:]), classes, paradigm)
        if sample_shape[-3] != 3:  # SpikingJelly builds it for RGB
            rgb = self.features.conv1
            conv = layer.Conv2d(sample_shape[-3], widths[0], 3, padding=1, step_mode=rgb.step_mode)  # type: ignore[arg-type]
            self.features.conv1 = conv


def _plan(spec: workload.Model, side: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels of each convolution, and a 2 for those that a pooling follows."""
    published = cfgs["A"]
    convolutions = sum(entry != "M" for entry in published)
    if spec.depth not in (0, convolutions):
        raise WorkloadError(
            f"model.depth = {spec.depth}: model.name = {spec.name!r} has {convolutions} convolutions; leave it out, "
            "or take model.name = 'spikingjelly-vgg' for another depth"
        )
    widths, strides = [], []
    for entry in published:
        if entry != "M":
            widths.append(max(1, entry * (spec.width or 64) // 64))
            strides.append(1)
        elif side > 1:
            strides[-1], side = 2, side // 2
    return tuple(widths), tuple(strides)
