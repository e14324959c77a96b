"""A module with more than one threshold: all are scaled alike."""

from typing import Any

import torch
from torch import Tensor, nn

from .writer import Threshold


class CompositeThreshold(Threshold):
    """Writers that act as one. Their rest and kind (`host`) must agree.

    Args:
        parts: at least one.
    """

    host: bool
    rest: float

    def __init__(self, *parts: Threshold):
        self.parts = parts
        self.host, self.rest = parts[0].host, parts[0].rest

    def value(self, module: nn.Module) -> Tensor:
        """All thresholds in one vector."""
        return torch.cat([part.value(module).flatten() for part in self.parts])

    def shared(self, module: nn.Module, model: nn.Module) -> bool:
        """Whether any of them is shared."""
        return any(part.shared(module, model) for part in self.parts)

    def write(self, module: nn.Module, scale: Tensor | float | None) -> None:
        """Use scale s, > 0, for each of them from the next forward on; None stands for s = 1."""
        for part in self.parts:
            part.write(module, scale)

    def restore(self, module: nn.Module) -> None:
        """Give the module all its original thresholds back."""
        for part in self.parts:
            part.restore(module)

    def bake(self, module: nn.Module, shared: bool) -> None:
        """Write all scaled thresholds for good; `shared` holds for all."""
        for part in self.parts:
            part.bake(module, shared)

    def begin(self, module: nn.Module, compile: bool) -> None:
        """The layer is hooked now."""
        for part in self.parts:
            part.begin(module, compile)

    def enter(self, module: nn.Module, args: Any) -> None:
        """Before forward."""
        for part in self.parts:
            part.enter(module, args)

    def leave(self, module: nn.Module) -> bool:
        """After forward; whether it has set any of them itself. All are asked."""
        return any([part.leave(module) for part in self.parts])

    def lift(self, module: nn.Module) -> None:
        """Let the module hold its originals for a moment."""
        for part in self.parts:
            part.lift(module)

    def lower(self, module: nn.Module) -> None:
        """The end of `lift`."""
        for part in self.parts:
            part.lower(module)

    def prepare(self, module: nn.Module) -> None:
        """While a forward of any layer is traced, once."""
        for part in self.parts:
            part.prepare(module)

    def settle(self, module: nn.Module, device: torch.device | None) -> None:
        """While a forward of this layer is traced, once."""
        for part in self.parts:
            part.settle(module, device)

    def cover(self, module: nn.Module) -> None:
        """`enter` of a compiled forward."""
        for part in self.parts:
            part.cover(module)

    def uncover(self, module: nn.Module) -> None:
        """`leave` of a compiled forward."""
        for part in self.parts:
            part.uncover(module)
