"""A glance at what layers first gave: whether it is spikes at all, and whether these are 0 or 1.

Of a framework's own classes that is known. A user's class, a surrogate of theirs or a method put on a module may give anything,
a membrane for example, whose "rate" would be regulated. Values are kept until the first update, and read there all at once.
"""

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

FORWARDS, VALUES = 32, 64  # kept at most, and out of each
FEW = 16  # so many heights may be levels of a spike

NO_SPIKES = "it returns no spikes: what it gives is seldom 0, and of every height on both sides of it, as membranes are"


class Glance:
    """Some values out of each of the last forwards of one layer; nothing leaves the device."""

    def __init__(self) -> None:
        self.kept: deque[Tensor] = deque(maxlen=FORWARDS)

    def note(self, spikes: Tensor) -> None:
        """Keep some values, of any shape; none of a meta tensor, which has none."""
        if not spikes.is_meta and spikes.numel() > 0:
            flat = spikes.reshape(-1)
            if self.kept and self.kept[0].device != flat.device:
                self.kept.clear()  # the model moved
            # a copy: the rest of the output need not live on
            self.kept.append(flat[:: flat.numel() // VALUES + 1].to(torch.float32, copy=True))


def verdicts(glances: Sequence[Glance]) -> list[tuple[bool, bool]]:
    """(whether all values are 0 or 1, whether they may be spikes) of each. One copy from the device, if there is any."""
    told = [_verdict(torch.cat(list(glance.kept))) for glance in glances]
    if not told:
        return []
    return [(zero_or_one, may_be) for zero_or_one, may_be in torch.stack([both.to(told[0].device) for both in told]).tolist()]


def _verdict(values: Tensor) -> Tensor:
    """The two truths about values [K], as a bool tensor [2].

    Spikes are of few heights, or many outputs are 0. Membranes are of every height, and lie on both sides of 0.
    """
    fired = values != 0
    # a straight-through estimator rounds its ones
    zero_or_one = (~fired | ((values - 1.0).abs() < 0.01)).all()
    heights = (values.sort().values.diff() > 1e-6 * values.abs().max()).sum() + 1
    both_sides = (values > 0).any() & (values < 0).any()
    membrane = both_sides & (5 * fired.sum() > 4 * len(values)) & (heights > max(FEW, len(values) // 4))
    return torch.stack([zero_or_one, ~membrane])
