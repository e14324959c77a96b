"""Sums over all ranks: one packed collective per update, nothing when training runs in one process."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .errors import AttachError, StateError


def active(group: Any = None) -> bool:
    """Whether a process group of more than one rank is up: `group`, or that of all ranks."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size(group) > 1


def total(spikes: Tensor, counts: Tensor, group: Any = None) -> tuple[Tensor, Tensor]:
    """Sum both [L] vectors over all ranks of the group in one all-reduce; a rank that saw no data gives zeros.

    Sums, never means, are what is added, so that unequal shards weigh as their union does. Returned as float32.
    """
    wide = torch.float64 if spikes.device.type in ("cpu", "cuda") else torch.float32
    packed = torch.stack([spikes.to(wide), counts.to(wide)])
    dist.all_reduce(packed, group=group)
    return packed[0].float(), packed[1].float()


def agree(
    ran: list[str],
    layers: list[str],
    config: dict[str, Any],
    state: dict[str, Any],
    answers: set[str] | None,
    mute: set[str],
    group: Any = None,
) -> tuple[list[str], set[str] | None, set[str]]:
    """The layers that ran on any rank, in one order for all, those that are an answer on any, and those that gave no spikes on
    any: ranks may see no data.

    Called once per training, with more than one rank. The longest list goes first, then what only others name.

    Raises, on every rank alike, what would else hang the next collective or let the ranks drift apart:
        AttachError: ranks attached other layers, or with another Config.
        StateError: some rank continues from another state.
    """
    gathered: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(gathered, (ran, layers, config, state, answers, mute), group=group)
    first, ranks = gathered[0], dist.get_process_group_ranks(group)
    for rank, told in zip(ranks, gathered, strict=True):
        if told[1] != first[1]:
            lacks, adds = (", ".join(n for n in a if n not in b) for a, b in ((first[1], told[1]), (told[1], first[1])))
            difference = f"lacks {lacks or 'none'} and adds {adds or 'none'}" if lacks or adds else "has them in another order"
            raise AttachError(
                f"the ranks attached different layers: beside rank {ranks[0]}, rank {rank} {difference}. "
                "Build the same model, and attach it alike, on every rank"
            )
        if told[2] != first[2]:
            raise AttachError(
                f"rank {rank} attached with another Config than rank {ranks[0]} ({_different(told[2], first[2])})"
            )
        if told[3] != first[3]:
            raise StateError(
                f"rank {rank} continues from another state than rank {ranks[0]} ({_different(told[3], first[3])}): load the "
                "same checkpoint on every rank, and start the process group before the first step"
            )
    longest_first = sorted((told[0] for told in gathered), key=len, reverse=True)
    together = list(dict.fromkeys(name for names in longest_first for name in names))
    shown = [told[4] for told in gathered if told[4] is not None]
    answering = {name for names in shown for name in names} if shown else None
    return together, answering, {name for told in gathered for name in told[5]}


def _different(one: dict[str, Any], other: dict[str, Any]) -> str:
    return ", ".join(name for name in one if one[name] != other[name])


def mean(value: float, device: torch.device, group: Any = None) -> float:
    """Mean of a number over all ranks of the group, so that every rank adapts alike."""
    packed = torch.tensor([value], dtype=torch.float32, device=device)
    dist.all_reduce(packed, group=group)
    return packed.item() / dist.get_world_size(group)
