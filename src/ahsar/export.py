"""Towards hardware: NIR by the frameworks' own exporters, and what rounding thresholds to integers would do to the rates.

Exporters read thresholds outside forward, where the scales of an attached model do not stand: `bake` first, then export.
"""

import importlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from .attaching import attach
from .discovery import Found, discover
from .errors import ExportError
from .layer import layers_of
from .snapshot import in_mode, untouched
from .spikes import counted

# framework: (module, function) of its exporter to NIR
EXPORTERS = {
    "SpikingJelly": ("spikingjelly.activation_based.nir_exchange", "export_to_nir"),
    "snnTorch": ("snntorch.export_nir", "export_to_nir"),
    "Norse": ("norse.torch.utils.export_nir", "to_nir"),
    "sinabs": ("sinabs.nir", "to_nir"),
}


def to_nir(model: nn.Module, sample: Any, **options: Any) -> Any:
    """The model as a NIR graph, made by the exporter of the framework that its neurons come from.

    Args:
        model: baked or detached.
        sample: an input of the model, as the exporter wants it.
        options: passed on to the exporter, for example `dt`.

    Returns:
        A `nir.NIRGraph`; `nir.write(file, graph)` saves it.

    Raises:
        ExportError: the model is attached; its neurons are of no framework, or of several; or its exporter or `nir` is not
            installed. What the exporter itself raises for layers that NIR does not know passes through.
    """
    if layers_of(model):
        raise ExportError("the model is attached, and an exporter would not see its scales: call bake() on its Homeostat first")
    frameworks = sorted({item.framework for item in discover(model)})
    if len(frameworks) != 1 or frameworks[0] not in EXPORTERS:
        raise ExportError(
            f"to_nir() needs neurons of one framework out of {', '.join(EXPORTERS)}; here are {', '.join(frameworks) or 'none'}"
        )
    module, function = EXPORTERS[frameworks[0]]
    try:
        exporter = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise ExportError(f"the NIR exporter of {frameworks[0]} needs {error.name}: pip install nir nirtorch") from error
    return exporter(model, sample, **options)


def check_rounding(
    model: nn.Module,
    batches: Iterable[Any],
    unit: float | Mapping[str, float],
    forward: Callable[[Any], Any] | None = None,
    tolerance: float = 0.05,
) -> dict[str, float]:
    """How far the rate of each layer moves if thresholds become whole multiples of a unit, as integer chips ask.

    A chip that stores weights as integers of scale u (weight ≈ u · integer, for 8 bits u = max |w| / 127) stores the
    threshold as round(θ / u). Runs the model in eval mode, as it is and with rounded thresholds, and leaves it as it was.

    Args:
        model: baked or detached.
        batches: inputs of the model.
        unit: u, > 0: one for all layers, or one per layer name (others keep their thresholds).
        forward: runs the model on one batch from a fresh neuron state; default `model(batch)`.
        tolerance: relative change of a rate above which a warning names the layer.

    Returns:
        For each layer rate after / rate before − 1; infinite where a silent layer starts to fire.

    Raises:
        ExportError: the model is attached, or a unit is not above 0.
    """
    if layers_of(model):
        raise ExportError("the model is attached: call bake() on its Homeostat first, then check the thresholds it got")
    run, inputs = forward or model, list(batches)
    homeostat = attach(model)
    try:
        scales = {layer.name: _rounded(layer.name, layer.threshold.value(layer.module), unit) for layer in homeostat.layers}
        chosen = [item for item in discover(model) if item.name in scales]
        homeostat.hold(1.0)
        before = _rates(model, chosen, run, inputs)
        homeostat.hold(scales)
        after = _rates(model, chosen, run, inputs)
    finally:
        homeostat.detach()
    moved = {name: _relative(before[name], after[name]) for name in before}
    for name in (name for name, change in moved.items() if abs(change) > tolerance):
        warnings.warn(
            f"layer {name!r}: with rounded thresholds its rate goes from {before[name]:.3g} to {after[name]:.3g} (its own is "
            f"rounded by a factor {scales[name]:.3g}); choose a smaller unit: more bits, or larger weights in front of it",
            stacklevel=2,
        )
    return moved


def _rounded(name: str, threshold: torch.Tensor, unit: float | Mapping[str, float]) -> float:
    """The factor that rounding to at least one unit is; the mean over neurons that differ."""
    size = unit if isinstance(unit, (int, float)) else unit.get(name)
    if size is None:
        return 1.0
    if not size > 0:
        raise ExportError(f"layer {name!r}: unit {size!r} must be > 0")
    theta = threshold.double()
    return ((theta / size).round().clamp(min=1.0) * size / theta).mean().item()


def _relative(before: float, after: float) -> float:
    return after / before - 1.0 if before > 0 else (0.0 if after == before else float("inf"))


def _rates(model: nn.Module, layers: list[Found], run: Callable[[Any], Any], inputs: list[Any]) -> dict[str, float]:
    """Spikes per neuron and time step of each layer that ran, in eval mode and without gradients."""
    with counted(layers) as spikes, in_mode(model, training=False), untouched(model), torch.no_grad():
        for batch in inputs:
            run(batch)
    return spikes.rates
