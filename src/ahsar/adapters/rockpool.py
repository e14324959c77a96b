"""Rockpool: `threshold` is a Parameter, trainable by default, and a neuron may spike more than once in a step.

Its surrogates divide by the threshold, so gradients change with the scale by design.
"""

from importlib import import_module
from typing import Any

from ..thresholds import ShadowThreshold
from .registry import Adapter, Skip

_SKIPPED = {
    "UpDownTorch": "it encodes its input: its two thresholds are the resolution of the code",
    "LIFExodus": "it runs on Exodus and CUDA only, where its threshold has not been tried",
    "LIFSlayer": "it runs on Exodus and CUDA only, where its threshold has not been tried",
    "LIFSinabs": "it calls a layer of sinabs past its hooks: use that layer itself",
    "LIFMembraneExodus": "it does not spike",
    "ExpSynExodus": "it does not spike",
}


def _threshold(module: Any) -> ShadowThreshold:
    return ShadowThreshold(module, "threshold")


def entries() -> dict[type, Adapter | Skip]:
    """The LIF classes with a PyTorch backend: `LIFBaseTorch` covers those derived from it.

    Rockpool puts a stand-in, which is no Module and so matches none, in the place of a class that it cannot offer.
    """
    modules: Any = import_module("rockpool.nn.modules")
    base: Any = import_module("rockpool.nn.modules.torch.lif_torch").LIFBaseTorch
    lif = Adapter("Rockpool", _threshold)
    skipped = {name: Skip("Rockpool", reason) for name, reason in _SKIPPED.items()}
    named: dict[str, Adapter | Skip] = {"LIFNeuronTorch": lif, **skipped}
    return {base: lif, **{getattr(modules, name): entry for name, entry in named.items() if hasattr(modules, name)}}
