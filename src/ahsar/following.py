"""The optimizer that a controller follows: a step of the fast loop after each of its own, and its learning rate."""

from collections.abc import Callable

import torch


class Following:
    """A hook on the innermost optimizer, and what the slow loop asks of it."""

    def __init__(self, optimizer: torch.optim.Optimizer, step: Callable[[], None]) -> None:
        # Accelerate, Fabric and Lightning wrap optimizers; the step that counts, and may be left out, is the inner one's
        while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
            optimizer = inner
        self._optimizer, self._handle = optimizer, optimizer.register_step_post_hook(lambda *_: step())

    def learning_rate(self) -> float | None:
        """The largest of its groups, or None if they have none."""
        return max((float(group["lr"]) for group in self._optimizer.param_groups if "lr" in group), default=None)

    def end(self) -> None:
        """Follow it no longer."""
        self._handle.remove()
