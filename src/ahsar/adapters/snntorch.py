"""snnTorch: `threshold` is a buffer or Parameter, shadowed during forward; spikes come first in the output."""

from typing import Any

import snntorch
from torch import Tensor

from ..thresholds import ShadowThreshold
from .registry import Adapter, Skip, is_own


def _threshold(module: Any) -> ShadowThreshold:
    return ShadowThreshold(module, "threshold")


def _delta_threshold(module: Any) -> ShadowThreshold:
    return ShadowThreshold(module, "delta_threshold")


def _steps(module: Any) -> bool:
    # snnTorch's surrogates return 0 or 1; nothing is known of a user's
    surrogate = getattr(module.spike_grad, "__self__", module.spike_grad)
    return is_own(module) and str(getattr(surrogate, "__module__", "")).startswith("snntorch")


def _binary(module: Any) -> bool:
    factor = module.graded_spikes_factor
    return _steps(module) and not (factor.requires_grad or factor.is_meta) and bool((factor == 1).all())


def _refuse(module: Any) -> str | None:
    if isinstance(module, _STATE_ONLY) and not module.output:
        return "it returns its membrane only: build it with output=True"
    if isinstance(module, _PROJECTED) and getattr(module, "use_q_projection", False):
        return "its output is a projection that hides the spikes: build it with use_q_projection=False"
    return None


def _winners(module: Any, spikes: Tensor) -> float:
    # with inhibition at most one neuron along dimension 1 fires; the LSTMs take the argument and ignore it
    inhibited = getattr(module, "inhibition", False) and not isinstance(module, _UNINHIBITED)
    return 1.0 / max(1, spikes.shape[1]) if inhibited and spikes.ndim > 1 else 1.0


def _classes(*names: str) -> tuple[type, ...]:
    return tuple(getattr(snntorch, name) for name in names if hasattr(snntorch, name))


_STATE_ONLY = _classes("StateLeaky")
_PROJECTED = _classes("AssociativeLeaky")
_UNINHIBITED = _classes("SLSTM", "SConv2dLSTM")


def entries() -> dict[type, Adapter | Skip]:
    """`SpikingNeuron` covers every neuron class; `DeltaLeaky` and `LeakyParallel` differ."""
    common = Adapter("snnTorch", _threshold, binary=_binary, refuse=_refuse, ceiling=_winners)
    delta = Adapter("snnTorch", _delta_threshold, binary=_steps)
    parallel = Adapter("snnTorch", _threshold, binary=_binary)
    named = {"SpikingNeuron": common, "DeltaLeaky": delta, "LeakyParallel": parallel}
    return {getattr(snntorch, name): entry for name, entry in named.items() if hasattr(snntorch, name)}
