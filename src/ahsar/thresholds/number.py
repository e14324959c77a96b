"""Thresholds that are Python numbers: written anew after each update, as a number or, for a compiler, as a tensor."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..functional import scale_threshold
from .attribute import find_attribute
from .writer import Threshold


class FloatThreshold(Threshold):
    """Writes a Python float into an attribute that forward reads anew each time, and keeps the original aside.

    Args:
        attribute: its name.
        rest: the distance of the threshold from `rest` is scaled.
        wrote: called with the module after each change, for state that the framework derives from the threshold.
    """

    host, enters = True, False

    def __init__(self, module: nn.Module, attribute: str, rest: float = 0.0, wrote: Callable[[Any], None] | None = None):
        self.attribute, self.rest, self.wrote = attribute, rest, wrote
        self.original = find_attribute(module, attribute)
        self.inherited = attribute not in module.__dict__

    def value(self, module: nn.Module) -> Tensor:
        """The original threshold as a tensor on the CPU."""
        return torch.tensor(float(self.original))

    def write(self, module: nn.Module, scale: Tensor | float | None) -> None:
        """Set rest + s (θ⁰ − rest); None stands for s = 1."""
        if scale is None:
            self.restore(module)
            return
        original, factor = float(self.original), float(scale)
        # around a rest other than 0 written so that s = 1 gives θ⁰ back bit for bit
        rested = original + (factor - 1.0) * (original - self.rest)
        self._set(module, rested if self.rest else factor * original)

    def restore(self, module: nn.Module) -> None:
        """Set the original itself, or give it back to the class that it came from."""
        self._set(module, self.original)
        if self.inherited:
            module.__dict__.pop(self.attribute, None)

    def bake(self, module: nn.Module, shared: bool) -> None:
        """The module holds the scaled threshold already; from now on it is the original."""
        self.original = find_attribute(module, self.attribute)

    def _set(self, module: nn.Module, value: Any) -> None:
        setattr(module, self.attribute, value)
        if self.wrote is not None:
            self.wrote(module)


class TensorThreshold(FloatThreshold):
    """Writes a 0-d float32 tensor into an attribute that holds a number, for as long as the model is attached.

    A compiler takes a number for a constant, and compiles anew when it changes; a tensor is an input.
    """

    host, enters = False, True

    def begin(self, module: nn.Module, compile: bool) -> None:
        self.write(module, None)

    def write(self, module: nn.Module, scale: Tensor | float | None) -> None:
        """Set rest + s (θ⁰ − rest); None stands for s = 1."""
        now = getattr(module, self.attribute)
        device = scale.device if isinstance(scale, Tensor) else now.device if isinstance(now, Tensor) else "cpu"
        # not a tensor of inference mode: training may follow
        with torch.inference_mode(False), torch.no_grad():
            original = torch.full((), float(self.original), device=device)  # torch.tensor would make the host wait
            self._set(module, original if scale is None else scale_threshold(original, scale, self.rest))

    def enter(self, module: nn.Module, args: Any) -> None:
        if args and isinstance(args[0], Tensor):
            self.settle(module, args[0].device)

    def settle(self, module: nn.Module, device: torch.device | None) -> None:
        """Move to the device of the module's input; `.to()` does not move it."""
        now = getattr(module, self.attribute)
        if device is not None and isinstance(now, Tensor) and now.device != device:
            self._set(module, now.to(device))

    def bake(self, module: nn.Module, shared: bool) -> None:
        """Leave a number again."""
        self.original = float(getattr(module, self.attribute))
        self._set(module, self.original)
