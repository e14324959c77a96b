"""Whether the controller's steps keep pace with training: weights that change without any are those of another optimizer.

How many forwards belong to a step says little: gradients are accumulated over tens of batches, and a loop over time outside of
forward calls a layer hundreds of times. So it is asked whether the weights were written meanwhile, which PyTorch counts.
"""

import torch
from torch import Tensor, nn

FORWARDS = 64  # of one layer without a step, after which the weights are watched; then at twice as many each time
WRITES = 100  # to one weight without a step, where an optimizer is followed; Adam may write it twice in a step
OWN_WRITES = 5000  # where the user steps, perhaps once per sequence of a rule that learns at each of its time steps


class Pace:
    """Counts training forwards since the last step, and looks at the weights where these are many.

    Attributes:
        model: whose weights are watched.
        follows: the class of the optimizer that is followed; None: the user steps.
        quiet: whether no step is missed: paused, or scales held by hand.
        forwards: eager training forwards since the last step, of the first layer that ran.
    """

    forwards: int

    def __init__(self) -> None:
        self.model: nn.Module = nn.Identity()
        self.follows: str | None = None
        self.quiet = False
        self._usual = 0  # the most writes seen between two steps
        self._steps, self._written = 0, 0  # since the last epoch, and by its end
        self.restart()

    def restart(self) -> None:
        """Begin to count, as behind a step."""
        self.forwards, self._look_at = 0, FORWARDS
        self._first: str | None = None
        self._watched: list[tuple[Tensor, int]] = []

    def forward(self, name: str) -> int:
        """Note a training forward of a layer. Returns how often some weight was written since the last step, once that is too
        often, else 0.
        """
        if self.quiet:
            self.restart()
            return 0
        if self._first is None:
            self._first = name
        if self._first != name:
            return 0
        self.forwards += 1
        if self.forwards < self._look_at or not torch.is_grad_enabled():
            return 0
        self._look_at = 2 * self.forwards
        if not self._watched:
            self._watched = [(weight, weight._version) for weight in _weights(self.model)]
        writes = self._writes()
        return writes if writes > max(WRITES if self.follows else OWN_WRITES, 20 * self._usual) else 0

    def step(self) -> None:
        """Note a step of the controller."""
        if self._watched:
            self._usual = max(self._usual, self._writes())
        self._steps += 1
        self.restart()

    def epoch(self, compiled: bool) -> bool:
        """Note the end of an epoch; whether the model was trained in it without a step. No forward of compiled code is seen."""
        steps, written = self._steps, self._written
        self._steps, self._written = 0, sum(weight._version for weight in _weights(self.model))
        return not (steps or self.quiet) and (self.forwards > 0 or (compiled and written != self._written))

    def _writes(self) -> int:
        return max((weight._version - version for weight, version in self._watched), default=0)


def _weights(model: nn.Module) -> list[nn.Parameter]:
    """Those that are trained; writes to tensors of inference mode are not counted."""
    return [weight for weight in nn.Module.parameters(model) if weight.requires_grad and not weight.is_inference()]
