"""tracetorch: a layer keeps `raw_threshold` and computes softplus(raw_threshold) whenever it reads `threshold`.

So `raw_threshold` is what is scaled, shadowed and baked. Ternary layers have a positive and a negative
threshold, which are scaled alike.

Spikes are graded by default: a layer without `quant_fn` returns its firing probabilities, which are never 0. Their mean
magnitude is the rate then (that is what a rounding layer would fire on average); all others count non-zeros.
"""

from importlib import import_module
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import softplus

from ..errors import AdapterError
from ..functional import scale_softplus
from ..thresholds import CompositeThreshold, ShadowThreshold, Threshold
from .registry import Adapter, Skip


def _names(module: Any) -> list[str]:
    return [name for name in getattr(module, "_dynamic_params", {}) if name.endswith("threshold")]


def _compiled(module: Any) -> bool:
    return getattr(module, "_compiled", False)


class SoftplusThreshold(ShadowThreshold):
    """Shadows a raw threshold so that its softplus is scaled."""

    def __init__(self, module: nn.Module, name: str):
        super().__init__(module, f"raw_{name}", scaling=scale_softplus, reading=softplus)

    def enter(self, module: nn.Module, args: Any = ()) -> None:
        """Before forward.

        Raises:
            AdapterError: tracetorch has compiled the module since it was attached.
        """
        if self.scale is not None and _compiled(module):
            raise AdapterError(f"{type(module).__name__} was compiled by TTcompile() while attached: call bake() before it")
        super().enter(module, args)


def _threshold(module: Any) -> Threshold:
    one, *others = (SoftplusThreshold(module, name) for name in _names(module))
    return CompositeThreshold(one, *others) if others else one


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
    # the sum of firing probabilities is the number of spikes to expect
    return {base: Adapter("tracetorch", _threshold, spikes=_spikes, graded=_graded, refuse=_refuse)}
