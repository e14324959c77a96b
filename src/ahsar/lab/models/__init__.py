"""Spiking networks of the lab: every one maps a batch to logits per time step and resets its own state.

Input is a static batch `[N, C, H, W]`, shown at every time step, or an event batch `[N, T, C, H, W]`; output is
`[T, N, classes]`. The readout is linear, so every spiking layer is a hidden one.

A network is built for the paradigm of that name, which decides the class of its neurons; its `time_steps` is T. For a
paradigm that goes step by step (`ahsar.lab.rules.STEPWISE`) `begin()` begins a sequence, `step(frame)` gives the logits
`[N, classes]` of one time step, `cut()` detaches all states from the graph of the steps so far, and `forward` is `begin`
and all steps. (It is not called `detach`, which SpikingJelly's `detach_net` would call on the network itself.)
"""

from importlib import import_module

import torch
from torch import Tensor, nn

from ahsar.errors import WorkloadError
from ahsar.lab.workload import Workload

_WHERE = {
    "snntorch-conv": ("snntorch_conv", "SnntorchConv"),
    "spikingjelly-conv": ("spikingjelly_conv", "SpikingjellyConv"),
    "spikingjelly-vgg": ("spikingjelly_vgg", "SpikingjellyVGG"),
    "vgg11": ("vgg11", "VGG11"),
    "resnet18": ("resnet", "ResNet18"),
    "sew-resnet18": ("resnet", "SEWResNet18"),
    "spikformer": ("transformers", "Spikformer"),
    "qkformer": ("transformers", "QKFormer"),
    "spike-driven-transformer": ("transformers", "SpikeDrivenTransformer"),
    "mlp": ("mlp", "MLP"),
    "recurrent": ("recurrent", "Recurrent"),
}


def build(workload: Workload, sample_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The workload's network for samples of `sample_shape`: `(C, H, W)`, or `(T, C, H, W)` for events.

    Weights come from torch's global generator with each framework's default initialisation.

    Raises:
        WorkloadError: the samples are too small for the strides, or of a shape that the network does not take.
    """
    spec = workload.model
    if len(sample_shape) == 4 and sample_shape[0] != spec.time_steps:
        raise WorkloadError(f"model.time_steps = {spec.time_steps}: the samples have {sample_shape[0]} frames; make them equal")
    if len(sample_shape) not in (3, 4):
        raise WorkloadError(f"samples of shape {sample_shape}: the lab's networks take (C, H, W) or (T, C, H, W)")
    file, cls = _WHERE[spec.name]
    return getattr(import_module(f"ahsar.lab.models.{file}"), cls)(spec, sample_shape, classes, workload.paradigm.name)


def frames(x: Tensor, time_steps: int) -> Tensor:
    """What each time step sees, `[T, N, ...]`: events `[N, T, ...]` time first, an image `[N, C, H, W]` T times."""
    return x.transpose(0, 1) if x.dim() == 5 else x.expand(time_steps, *x.shape)


def unroll(network: nn.Module, x: Tensor, time_steps: int) -> Tensor:
    """Logits `[T, N, classes]` of a batch by `begin()` and a `step` for each time step."""
    network.begin()  # type: ignore[operator]
    return torch.stack([network.step(frame) for frame in frames(x, time_steps)])  # type: ignore[operator]


def side_after(side: int, plan: tuple[tuple[int, int], ...], *, floor: bool = False) -> int:
    """Pixels of a side after 3x3 convolutions with padding 1 and these strides (`floor`: after 2x2 max-pooling).

    Args:
        plan: channels and stride of each convolution.

    Raises:
        WorkloadError: nothing is left of the side.
    """
    strides = [stride for _, stride in plan]
    for stride in strides:
        side = side // stride if floor else -(-side // stride)
    if side < 1:
        raise WorkloadError(f"model.strides = {strides}: too many for these samples; use fewer strides of 2")
    return side
