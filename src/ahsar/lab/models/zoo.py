"""What the networks of SpikingJelly's zoo share in the lab: checked sizes, the workload's neurons, an image shown late."""

from collections.abc import Callable
from typing import Any

from torch import nn

from ahsar.errors import WorkloadError
from ahsar.lab.models.spikingjelly_conv import Show, make_neuron
from ahsar.lab.spec import workload

LEAST_SIDE = 8  # pixels; below, nothing is left to look at after the first strides


def check_side(spec: workload.Model, sample_shape: tuple[int, ...]) -> None:
    """Refuse samples `(C, H, W)` or `(T, C, H, W)` that are too small.

    Raises:
        WorkloadError: a side has fewer than 8 pixels.
    """
    if min(sample_shape[-2:]) < LEAST_SIDE:
        raise WorkloadError(
            f"model.name = {spec.name!r}: samples of shape {tuple(sample_shape)} are too small; "
            f"it needs sides of at least {LEAST_SIDE} pixels, so raise data.size"
        )


def factory(spec: workload.Model, paradigm: str) -> Callable[..., nn.Module]:
    """The neuron that the paradigm trains, as the zoo asks for one; the step mode it passes is set for all layers later."""

    def make(**kwargs: Any) -> nn.Module:
        return make_neuron(spec, paradigm)

    return make


def shown(module: nn.Module, time_steps: int) -> nn.Sequential:
    """`once`, the given module, and `show` behind it: what stands before an image's first neuron is computed once."""
    both = nn.Sequential()
    both.add_module("once", module)
    both.add_module("show", Show(time_steps))
    return both
