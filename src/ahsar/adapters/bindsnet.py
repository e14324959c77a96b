"""BindsNET: spikes are read from the layer, and millivolts are scaled by their distance from rest.

`Network.run` calls `layer.forward` past every hook, and forward returns nothing. So while a layer is attached, `forward` goes
through the hooks, which get the layer's spikes. What an adaptive layer adds to its threshold (`theta`) is left as it is.
"""

from importlib import import_module
from typing import Any

from torch import Tensor, nn

from ..thresholds import ShadowThreshold
from .registry import Adapter, Hook, Skip, is_own


def _rest(module: Any) -> Any:
    """The potential that a membrane without input goes to, or starts from; 0 where the layer knows none."""
    for name in ("rest", "reset"):
        if name in module._buffers:
            return module._buffers[name]
    return 0.0


def _threshold(module: Any) -> ShadowThreshold:
    rest = _rest(module)
    return ShadowThreshold(module, "thresh", rest=rest.flatten()[0].item() if isinstance(rest, Tensor) else rest)


def _refuse(module: Any) -> str | None:
    if not isinstance(getattr(module, "thresh", None), Tensor):
        return "it has no threshold: it passes its input on"
    rest = _rest(module)
    if isinstance(rest, Tensor) and rest.min() != rest.max():
        return "its neurons have different resting potentials"
    return None


def _one_winner(module: Any, spikes: Tensor) -> float:
    return 1.0 / module.n if getattr(module, "one_spike", False) else 1.0


def _binary(module: Any) -> bool:
    # each layer of its own compares with its threshold
    return is_own(module)


class _ThroughHooks:
    """Stands in the place of a layer's `forward` until `remove()`; a class, so that an attached model can be copied."""

    def __init__(self, module: nn.Module, *hooks: Hook):
        self.module = module
        self.hooked = False  # whether the call under way came through the hooks
        self.handles = [
            module.register_forward_pre_hook(self.enter),
            module.register_forward_hook(self.leave, always_call=True),
        ]
        module.__dict__["forward"] = self

    def enter(self, module: nn.Module, args: Any) -> None:
        self.hooked = True

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.hooked = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module: Any = self.module
        if not self.hooked:
            module(*args, **kwargs)
            return None
        type(module).forward(module, *args, **kwargs)
        return module.s

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.module.__dict__.pop("forward", None)


def entries() -> dict[type, Adapter | Skip]:
    """The base class of all layers; those that only pass their input on are refused."""
    layers = import_module("bindsnet.network.nodes").Nodes
    return {layers: Adapter("BindsNET", _threshold, refuse=_refuse, ceiling=_one_winner, binary=_binary, install=_ThroughHooks)}
