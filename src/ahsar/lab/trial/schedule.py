"""How a trial's learning rate changes over its budget."""

import math
from collections.abc import Callable

from torch.optim import Optimizer


def factor(schedule: str, step: int, steps: int) -> float:
    """The share in [0, 1] of the learning rate that step `step` of `steps` takes, the first being 0.

    "constant" is 1; "cosine" is (1 + cos(π step / steps)) / 2, from 1 at the first step to 0 just behind the last
    (Loshchilov and Hutter, 2017, without restarts).
    """
    return 1.0 if schedule == "constant" else (1 + math.cos(math.pi * step / steps)) / 2


def follow(optimizer: Optimizer, schedule: str, steps: int) -> Callable[[int], None]:
    """What sets the learning rates of a step, from 0 on; every parameter group keeps its own largest one.

    Call it when the groups are complete: arms add some, with rates of their own.
    """
    largest = [group["lr"] for group in optimizer.param_groups]

    def set_rates(step: int) -> None:
        for group, lr in zip(optimizer.param_groups, largest, strict=True):
            group["lr"] = lr * factor(schedule, step, steps)

    return set_rates
