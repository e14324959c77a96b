"""tracetorch: a layer keeps `raw_threshold` and computes softplus(raw_threshold) whenever it reads `threshold`.

So `raw_threshold` is what is scaled, shadowed and baked. Ternary layers have a positive and a negative
threshold, which are scaled alike.

Spikes are graded by default: a layer without `quant_fn` returns its firing probabilities, which are never 0. Their mean
magnitude is the rate then (that is what a rounding layer would fire on average); all others count non-zeros.
"""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ..errors import AdapterError
from ..functional import scale_softplus
from ._base import Adapter, Skip
from ._shadow import ShadowThreshold


def _names(module: Any) -> list[str]:
    return [name for name in getattr(module, "_dynamic_params", {}) if name.endswith("threshold")]


def _compiled(module: Any) -> bool:
    return getattr(module, "_compiled", False)


class SoftplusThreshold(ShadowThreshold):
    """Shadows a raw threshold so that its softplus is scaled, and others of the same layer with it."""

    def __init__(self, module: nn.Module, names: list[str]):
        super().__init__(module, f"raw_{names[0]}", scaling=scale_softplus, reading=softplus)
        self.other = SoftplusThreshold(module, names[1:]) if len(names) > 1 else None

    def value(self, module: nn.Module) -> Tensor:
        own = super().value(module)
        return own if self.other is None else torch.cat([own.flatten(), self.other.value(module).flatten()])

    def write(self, module: nn.Module, scale: Tensor | float | None) -> None:
        super().write(module, scale)
        if self.other is not None:
            self.other.write(module, scale)

    def enter(self, module: nn.Module, args: Any = ()) -> None:
        if self.scale is not None and _compiled(module):
            raise AdapterError(f"{type(module).__name__} was compiled by TTcompile() while attached: call bake() before it")
        super().enter(module, args)
        if self.other is not None:
            self.other.enter(module, args)

    def leave(self, module: nn.Module) -> None:
        super().leave(module)
        if self.other is not None:
            self.other.leave(module)

    def restore(self, module: nn.Module) -> None:
        super().restore(module)
        if self.other is not None:
            self.other.restore(module)

    def prepare(self, module: nn.Module) -> None:
        super().prepare(module)
        if self.other is not None:
            self.other.prepare(module)

    def cover(self, module: nn.Module) -> None:
        super().cover(module)
        if self.other is not None:
            self.other.cover(module)

    def uncover(self, module: nn.Module) -> None:
        super().uncover(module)
        if self.other is not None:
            self.other.uncover(module)

    def bake(self, module: nn.Module, shared: bool) -> None:
        super().bake(module, shared)
        if self.other is not None:
            self.other.bake(module, shared)


def _threshold(module: Any) -> SoftplusThreshold:
    return SoftplusThreshold(module, _names(module))


def _graded(module: Any) -> bool:
    return isinstance(getattr(module, "quant_fn", None), nn.Identity)


def _spikes(module: Any, output: Any) -> Any:
    # the layers with learnable scales may go beyond 1
    return output.detach().abs().clamp(max=1.0) if _graded(module) and isinstance(output, Tensor) else output


def _refuse(module: Any) -> str | None:
    if not _names(module):
        return "it does not spike: it has no threshold"
    return "it is compiled for inference: call TTdecompile() before attach" if _compiled(module) else None


def entries() -> dict[type, Adapter | Skip]:
    """The base class of the spiking layers covers them, a user's own, and the leaky integrators, which are refused."""
    base = import_module("tracetorch.snn._snnlayer").Layer
    # the sum of firing probabilities is the number of spikes to expect, so they are counted like binary spikes
    return {base: Adapter("tracetorch", _threshold, spikes=_spikes, binary=_graded, refuse=_refuse)}
