"""What every writer of a threshold can do."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Threshold(Protocol):
    """Scales the threshold of one module: rest + s (θ⁰ − rest) while attached, the original again after `restore`.

    θ⁰ is what was set last, by the module's constructor, its user or a framework. A forward that sets the threshold itself has
    read the scaled one, so what it sets is scaled already: θ⁰ becomes what gives that with the present scale.

    A forward calls `enter` before and `leave` after, or `prepare`, `cover` and `uncover` where a compiler traces it. Writers
    that have nothing to do then inherit these, which do nothing.

    Attributes:
        host: whether `write` wants numbers: all layers of a model share one device-to-host copy per update.
        rest: the resting potential; the distance of the threshold from it is scaled.
        name: of the layer, for errors.
    """

    host: bool
    rest: float
    name: str = ""

    def value(self, module: nn.Module) -> Tensor:
        """The original threshold, detached; any shape."""
        ...

    def write(self, module: nn.Module, scale: Tensor | float | None) -> None:
        """Use scale s, > 0, from the next forward on; None stands for s = 1."""
        ...

    def restore(self, module: nn.Module) -> None:
        """Give the module its original threshold back."""
        ...

    def bake(self, module: nn.Module, shared: bool) -> None:
        """Write the scaled threshold for good; `shared`: another module holds the same Parameter, so it stays untouched."""
        ...

    def shared(self, module: nn.Module, model: nn.Module) -> bool:
        """Whether the threshold is a Parameter that another module of `model` holds, too."""
        return False

    def begin(self, module: nn.Module, compile: bool) -> None:
        """The layer is hooked now; `compile`: its forwards will be compiled."""

    def enter(self, module: nn.Module, args: Any) -> None:
        """Before forward; `args` are its positional arguments.

        Raises:
            AdapterError: someone has set what cannot be scaled. So do `leave`, `write` and `bake`.
        """

    def leave(self, module: nn.Module) -> bool:
        """After forward, also when it raised; whether forward has set the threshold itself."""
        return False

    def lift(self, module: nn.Module) -> None:
        """Let the module hold its original for a moment, within a forward too: someone saves it."""

    def lower(self, module: nn.Module) -> None:
        """The end of `lift`."""

    def prepare(self, module: nn.Module) -> None:
        """While a forward of any layer is traced, once."""

    def settle(self, module: nn.Module, device: torch.device | None) -> None:
        """While a forward of this layer is traced, once: its input lies on `device`, or is no tensor."""

    def cover(self, module: nn.Module) -> None:
        """`enter` of a compiled forward, and part of it."""

    def uncover(self, module: nn.Module) -> None:
        """`leave` of a compiled forward, and part of it."""
