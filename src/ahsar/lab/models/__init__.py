"""Spiking networks of the lab: every one maps a batch to logits per time step and resets its own state.

Input is a static batch `[N, C, H, W]` or `[N, F]`, shown at every time step, or a batch of sequences `[N, T, C, H, W]` or
`[N, T, F]`; output is `[T, N, classes]`. The readout is linear, so every spiking layer is a hidden one, unless the workload's
`model.output` asks for neurons behind it, whose membranes or spikes are the logits: their module is then called `answer`.

A network is built for the paradigm of that name, which decides the class of its neurons; its `time_steps` is T. For a
paradigm that goes step by step (`ahsar.lab.spec.catalogue` says which) `begin()` begins a sequence, `step(frame)` gives the
logits `[N, classes]` of one time step, `cut()` detaches all states from the graph of the steps so far, and `forward` is
`begin` and all steps. (It is not called `detach`, which SpikingJelly's `detach_net` would call on the network itself.)
"""

import torch
from torch import Tensor, nn

from ahsar.errors import WorkloadError
from ahsar.lab.models.finish import amplify, initialise
from ahsar.lab.spec.catalogue import MODELS, part
from ahsar.lab.spec.workload import Workload

# Spiking layers, each with the linear layers whose sum is its current, and the readout.
Synapses = tuple[list[tuple[nn.Module, list[nn.Linear]]], nn.Linear]


def build(workload: Workload, sample_shape: tuple[int, ...], classes: int) -> nn.Module:
    """The workload's network for samples of `sample_shape`: `(C, H, W)`, or `(T, C, H, W)` for events; fully connected and
    recurrent ones also take `(F,)`, or `(T, F)` for sequences.

    Weights come from torch's global generator, with each framework's default initialisation or that of `model.init`.

    Raises:
        WorkloadError: the samples are too small for the strides, or of a shape that the network does not take.
    """
    spec, known = workload.model, MODELS[workload.model.name]
    if len(sample_shape) not in (3, 4) and not (known.flat and len(sample_shape) in (1, 2)):
        flat = " or flat ones, (F,) or (T, F)" if known.flat else ""
        raise WorkloadError(f"samples of shape {sample_shape}: {spec.name} takes (C, H, W) or (T, C, H, W){flat}")
    if is_sequence(sample_shape) and sample_shape[0] != spec.time_steps:
        raise WorkloadError(f"model.time_steps = {spec.time_steps}: the samples have {sample_shape[0]} frames; make them equal")
    network = part("models", known.place)(spec, sample_shape, classes, workload.paradigm.name)
    initialise(network, spec.init)
    amplify(network, spec.gain)
    return network


def is_sequence(sample_shape: tuple[int, ...]) -> bool:
    """Whether a sample has a time axis: `(T, C, H, W)` and `(T, F)` have, `(C, H, W)` and `(F,)` have not."""
    return len(sample_shape) in (2, 4)


def is_answer(layer: str) -> bool:
    """Whether a spiking layer of this qualified name gives a network's logits, and is no hidden one."""
    return "answer" in layer.split(".")


def frames(x: Tensor, time_steps: int) -> Tensor:
    """What each time step sees, `[T, N, ...]`: sequences `[N, T, ...]` time first, a static batch `[N, ...]` T times."""
    return x.transpose(0, 1) if is_sequence(x.shape[1:]) else x.expand(time_steps, *x.shape)


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
