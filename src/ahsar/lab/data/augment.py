"""Random changes of training batches, in the order that a workload names them; evaluation never sees them.

All draws come from one generator of the CPU, seeded by the trial's seed, and their number depends on the batches' shapes
alone: so arms of one seed see the same batches, on any device. The global generators are left as they are.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ahsar.errors import WorkloadError
from ahsar.lab.data import Normalisation
from ahsar.lab.spec import workload
from ahsar.lab.spec.catalogue import DATA

Augment = Callable[[Tensor], Tensor]
_STREAM = 0xA06 << 32  # so that a trial's seed does not repeat here the draws of its data order


def build(spec: workload.Data, seed: int, normalised: Normalisation | None = None) -> Augment:
    """What turns a training batch, `[N, C, H, W]` or `[N, T, C, H, W]`, into a changed one of the same shape.

    Args:
        normalised: how the pixels were normalised, which autoaugment has to undo; None: they are in [0, 1].

    Raises:
        WorkloadError: the samples have no pixels that could be changed so, or torchvision is not there for autoaugment.
    """
    if spec.augment and not DATA[spec.name].pixels:
        raise WorkloadError(f"data.augment has {spec.augment[0]!r}, but {spec.name} has channels and no pixels; leave it out")
    generator = torch.Generator().manual_seed(_STREAM + seed)
    policy = _policy() if "autoaugment" in spec.augment else None

    def augment(x: Tensor) -> Tensor:
        for name in spec.augment:
            x = _OPERATIONS[name](x, generator) if name in _OPERATIONS else _by_policy(x, generator, policy, normalised)
        return x

    return augment


def _crop(x: Tensor, generator: torch.Generator) -> Tensor:
    """A window of the batch's own size, out of the images padded by an eighth of each side (4 of 32 pixels).

    Padded with zeros: the mean colour of normalised images.
    """
    pads = [side // 8 for side in x.shape[-2:]]
    padded = torch.nn.functional.pad(x, (pads[1], pads[1], pads[0], pads[0]))
    starts = (_integers(0, 2 * pad, x, generator) for pad in pads)
    rows, columns = (
        start[:, None] + torch.arange(side, device=x.device) for start, side in zip(starts, x.shape[-2:], strict=True)
    )
    return _gather(padded, rows, columns)


def _roll(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each sample rolled by up to an eighth of each side (Neuromorphic Data Augmentation, Li et al., ECCV 2022).

    What leaves on one side comes back on the other, so that no event is lost; all frames of a sample roll alike.
    """
    sides = x.shape[-2:]
    shifts = (_integers(-(side // 8), side // 8, x, generator) for side in sides)
    rows, columns = (
        (torch.arange(side, device=x.device) - shift[:, None]) % side for shift, side in zip(shifts, sides, strict=True)
    )
    return _gather(x, rows, columns)


def _flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each sample mirrored left to right with probability 1/2, all its frames alike."""
    mirrored = _integers(0, 1, x, generator).bool()
    return torch.where(mirrored.view(-1, *[1] * (x.dim() - 1)), x.flip(-1), x)


def _cutout(x: Tensor, generator: torch.Generator) -> Tensor:
    """A square of half the side set to zero, its centre anywhere in the image (DeVries and Taylor, arXiv 1708.04552).

    What of it lies outside is cut off, as there.
    """
    inside = []
    for side in x.shape[-2:]:
        start = _integers(0, side - 1, x, generator)[:, None] - side // 4
        place = torch.arange(side, device=x.device)
        inside.append((place >= start) & (place < start + side // 2))
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return x.masked_fill(hole[:, None], 0)


def _policy() -> Any:
    """AutoAugment's policy for CIFAR-10 (Cubuk et al., CVPR 2019), by torchvision."""
    try:
        from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy
    except ImportError as error:
        raise WorkloadError("data.augment has 'autoaugment', which needs torchvision; pip install it to match torch") from error
    return AutoAugment(AutoAugmentPolicy.CIFAR10)


def _by_policy(x: Tensor, generator: torch.Generator, policy: Any, normalised: Normalisation | None) -> Tensor:
    """Images through the policy as bytes, as it was made for, one draw for each."""
    pixels = x if normalised is None else x * normalised[1].to(x.device) + normalised[0].to(x.device)
    images = (pixels * 255).round_().clamp_(0, 255).to(torch.uint8)
    seed = int(torch.randint(2**62, (), generator=generator))
    # torchvision draws from the CPU's global generator: it is lent for this, and put back as it was.
    state = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(seed)
        images = torch.stack([policy(image) for image in images])
    finally:
        torch.set_rng_state(state)
    pixels = images.to(x.dtype) / 255
    return pixels if normalised is None else (pixels - normalised[0].to(x.device)) / normalised[1].to(x.device)


_OPERATIONS = {"crop": _crop, "flip": _flip, "cutout": _cutout, "event-flip": _flip, "event-roll": _roll}


def _integers(low: int, high: int, x: Tensor, generator: torch.Generator) -> Tensor:
    """One whole number from `low` to `high`, both included, for each sample of the batch."""
    return torch.randint(low, high + 1, (len(x),), generator=generator).to(x.device)


def _gather(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """For each sample its own rows `[N, H]` and columns `[N, W]`, of all channels and frames."""
    flat = x.flatten(1, -3)
    sample, channel = (torch.arange(size, device=x.device) for size in flat.shape[:2])
    picked = flat[sample[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]
    return picked.view(*x.shape[:-2], rows.shape[1], columns.shape[1])
