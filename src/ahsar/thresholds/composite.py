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
        for part in self.parts:
            part.write(module, scale)

    def restore(self, module: nn.Module) -> None:
        for part in self.parts:
            part.restore(module)

    def bake(self, module: nn.Module, shared: bool) -> None:
        for part in self.parts:
            part.bake(module, shared)

    def begin(self, module: nn.Module, compile: bool) -> None:
        for part in self.parts:
            part.begin(module, compile)

    def enter(self, module: nn.Module, args: Any) -> None:
        for part in self.parts:
            part.enter(module, args)

    def leave(self, module: nn.Module) -> bool:
        return any([part.leave(module) for part in self.parts])

    def lift(self, module: nn.Module) -> None:
        for part in self.parts:
            part.lift(module)

    def lower(self, module: nn.Module) -> None:
        for part in self.parts:
            part.lower(module)

    def prepare(self, module: nn.Module) -> None:
        for part in self.parts:
            part.prepare(module)

    def settle(self, module: nn.Module, device: torch.device | None) -> None:
        for part in self.parts:
            part.settle(module, device)

    def cover(self, module: nn.Module) -> None:
        for part in self.parts:
            part.cover(module)

    def uncover(self, module: nn.Module) -> None:
        for part in self.parts:
            part.uncover(module)
