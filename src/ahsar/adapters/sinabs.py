"""sinabs: `spike_threshold` is a Parameter without gradient, or `b0` in adaptive layers; spikes are counts.

Surrogates of sinabs are as wide as the threshold says, so scaling it changes gradients: that is sinabs' design. Buffers are
neuron states to sinabs, all of them, so none is added.
"""

from typing import Any

import sinabs.layers as layers
from sinabs.activation import SingleSpike

from ..thresholds import ShadowThreshold
from .registry import Adapter, Skip, is_own

_SKIPPED = {
    "ExpLeak": "it is a leaky integrator: it does not spike",
    "NeuromorphicReLU": "it is a layer of an analog network: it has no threshold",
    "SpikingMaxPooling2dLayer": "it passes spikes on: it has no threshold",
    "Img2SpikeLayer": "it encodes the input: its rate is that of the data",
    "Sig2SpikeLayer": "it encodes the input: its rate is that of the data",
}


def _spike_threshold(module: Any) -> ShadowThreshold:
    return ShadowThreshold(module, "spike_threshold")


def _base(module: Any) -> ShadowThreshold:
    # `spike_threshold` of an adaptive layer is state: the base plus what past spikes added
    return ShadowThreshold(module, "b0")


def _binary(module: Any) -> bool:
    return is_own(module) and module.spike_fn is SingleSpike


def _refuse(module: Any) -> str | None:
    return None if module.does_spike else "it does not spike: its spike_fn is None"


def entries() -> dict[type, Adapter | Skip]:
    """`LIF` covers IAF, `ALIF` itself, and both their recurrent and squeezing subclasses."""
    lif = Adapter("sinabs", _spike_threshold, binary=_binary, refuse=_refuse)
    alif = Adapter("sinabs", _base, binary=_binary, refuse=_refuse)
    skipped = {name: Skip("sinabs", reason) for name, reason in _SKIPPED.items()}
    named: dict[str, Adapter | Skip] = {"LIF": lif, "ALIF": alif, **skipped}
    return {getattr(layers, name): entry for name, entry in named.items() if hasattr(layers, name)}
