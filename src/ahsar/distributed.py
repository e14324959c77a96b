"""Sums over all ranks: one packed collective per update, nothing when training runs in one process."""

import torch
import torch.distributed as dist
from torch import Tensor


def active() -> bool:
    """Whether a process group of more than one rank is up."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def total(spikes: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Sum both [L] vectors over all ranks in one all-reduce; a rank that saw no data gives zeros.

    Sums, never means, are what is added, so that unequal shards weigh as their union does. Returned as float32.
    """
    wide = torch.float64 if spikes.device.type in ("cpu", "cuda") else torch.float32
    packed = torch.stack([spikes.to(wide), counts.to(wide)])
    dist.all_reduce(packed)
    return packed[0].float(), packed[1].float()


def agree(names: list[str]) -> list[str]:
    """The layers that ran on any rank, in one order for all: ranks may see no data, or other branches of the model.

    Called once per training. The longest list goes first, then what only others name.
    """
    if not active():
        return names
    gathered: list[list[str]] = [[]] * dist.get_world_size()
    dist.all_gather_object(gathered, names)
    return list(dict.fromkeys(name for told in sorted(gathered, key=len, reverse=True) for name in told))


def mean(value: float, device: torch.device) -> float:
    """Mean of a number over all ranks, so that every rank adapts alike; `value` itself in one process."""
    if not active():
        return value
    packed = torch.tensor([value], dtype=torch.float32, device=device)
    dist.all_reduce(packed)
    return packed.item() / dist.get_world_size()
