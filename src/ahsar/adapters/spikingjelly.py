"""SpikingJelly: `v_threshold` is a Python float that forward reads anew, and most spikes are 0 or 1.

Its registered ops declare the threshold as `float`, so a tensor would cost a hidden sync per call: plain floats are written,
all layers from one copy per update. Under torch.compile a float that changes compiles anew, and the ops refuse a tensor: a
model that will be compiled gets tensors, and is led around the ops by a surrogate of a class that they do not know.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from spikingjelly.activation_based import neuron, rnn, surrogate
from torch import Tensor, nn

from ..functional import scale_logit
from ..thresholds import FloatThreshold, ShadowThreshold, TensorThreshold, Threshold, threshold_of
from .registry import Adapter, Hook, Skip, is_own

_FLOAT = ("BaseNode", "SimpleBaseNode", "ILCBaseNode")
_GRADED = ("LIAFNode", "TernaryIFNode", "TernaryLIFNode")
_SKIPPED = {
    "NonSpikingBaseNode": "it does not spike",
    "NoisyNonSpikingBaseNode": "it does not spike",
    "PSN": "it has no threshold: a learnable bias takes its place",
    "MaskedPSN": "it has no threshold: a learnable bias takes its place",
    "SlidingPSN": "it has no threshold: a learnable bias takes its place",
    "DSRIFNode": "its threshold is also the amplitude of its output",
    "DSRLIFNode": "its threshold is also the amplitude of its output",
    "STBIFNode": "its threshold is the step of a quantizer, and scales its output",
    "MPBNBaseNode": "it rewrites its own threshold",
    "FewSpikeNode": "its thresholds are a fitted table",
    "FlexSN": "its dynamics are the user's function: give its own class to ahsar.register_adapter",
}
_RNNS = ("SpikingRNNBase", "SpikingRNNCellBase")  # of SpikingLSTM, SpikingGRU and SpikingVanillaRNN, and of a user's
_GATED = "its gates fire where their input is positive: it has no threshold"


def _binary(module: Any) -> bool:
    # SpikingJelly's surrogates return 0 or 1, but for one; nothing is known of a user's
    function = getattr(module, "surrogate_function", None)
    ours = type(function).__module__.startswith("spikingjelly.")
    return is_own(module) and ours and bool(getattr(function, "spiking", False)) and not isinstance(function, _MANY_LEVELS)


def _refuse(module: Any) -> str | None:
    if getattr(getattr(module, "surrogate_function", None), "spiking", True):
        return None
    return "its surrogate is set to spiking=False, so it returns no spikes"


def _v_threshold(module: Any) -> Threshold:
    # a float, but for subclasses of a user's that make it a Parameter
    return threshold_of(module, "v_threshold")


class PlainSurrogate(nn.Module):
    """SpikingJelly's surrogate under another class, for which its neurons use their PyTorch code."""

    inner: nn.Module
    spiking: bool

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner, self.spiking = inner, True

    def forward(self, x: Tensor) -> Tensor:
        """What `inner` gives for x, any shape: spikes of that shape."""
        return self.inner(x)


def _choose_code(module: Any, _: float) -> None:
    """PyTorch code where the threshold is a tensor, SpikingJelly's ops where it is a number."""
    surrogate_function = getattr(module, "surrogate_function", None)
    if isinstance(module.v_threshold, Tensor):
        if isinstance(surrogate_function, surrogate.SurrogateFunctionBase):
            module.surrogate_function = PlainSurrogate(surrogate_function)
    elif isinstance(surrogate_function, PlainSurrogate):
        module.surrogate_function = surrogate_function.inner


def _tensor(module: Any) -> Threshold:
    return threshold_of(module, "v_threshold", number=partial(TensorThreshold, wrote=_choose_code))


def _noiseless(module: Any, output: Any) -> Any:
    """The spikes [T, N, neurons] without the noise that a training `NoisyBaseNode` adds to them."""
    if not (module.is_training and isinstance(output, Tensor)):
        return output
    noise = module.eps_s_seq[module.noise_step].unsqueeze(1) if module.cn_s is None else module.cn_s.transpose(0, 1)
    return (output.detach() - module.sigma_s * noise[: module.T].to(output.device)).round()


def _half_threshold(module: Any) -> FloatThreshold:
    return FloatThreshold(module, "v_threshold", wrote=_Start(module))


class _Start:
    """What the membrane starts from, half of the threshold when the neuron is built: it is scaled with the threshold.

    A threshold that is set later does not change it, attached or not.
    """

    def __init__(self, module: Any):
        self.own = self.written = module._memories_rv["v"]

    def __call__(self, module: Any, scale: float) -> None:
        now = module._memories_rv["v"]
        if now != self.written:  # someone else has set it
            self.own = now
        self.written = scale * self.own
        module.set_reset_value("v", self.written)
        if isinstance(module.v, float):
            module.v = self.written


def _buffer(module: Any) -> ShadowThreshold:
    return ShadowThreshold(module, "v_threshold")


def _logit(module: Any) -> ShadowThreshold:
    return ShadowThreshold(module, "v_threshold", scaling=scale_logit, reading=torch.sigmoid)


_MANY_LEVELS = tuple(getattr(surrogate, name) for name in ("MultiLevelSpikeCount",) if hasattr(surrogate, name))


class _Functional:
    """Stands in the place of a neuron's `functional_forward` until `remove()`, and lets our hooks see it.

    `memopt.checkpoint_module` and `base.to_functional_forward` call it past all hooks. Those of others stay passed over.
    """

    def __init__(self, module: Any, before: Hook, after: Hook):
        self.module, self.before, self.after = module, before, after
        if hasattr(type(module), "functional_forward"):  # since 2.0
            module.__dict__["functional_forward"] = self

    def __call__(self, inputs: tuple[Tensor, ...], states: tuple[Any, ...], **kwargs: Any) -> tuple[Any, Any]:
        outputs: Any = (None,)
        self.before(self.module, inputs)
        try:
            outputs, states = type(self.module).functional_forward(self.module, inputs, states, **kwargs)
        finally:
            self.after(self.module, inputs, outputs[0] if len(outputs) == 1 else outputs)
        return outputs, states

    def remove(self) -> None:
        self.module.__dict__.pop("functional_forward", None)


def entries() -> dict[type, Adapter | Skip]:
    """Every neuron class of the installed SpikingJelly; classes that its version lacks are left out."""
    plain = Adapter("SpikingJelly", _v_threshold, binary=_binary, refuse=_refuse, compiled=_tensor)
    graded = Adapter("SpikingJelly", _v_threshold, refuse=_refuse, compiled=_tensor)
    named: dict[str, Adapter | Skip] = {
        **dict.fromkeys(_FLOAT, plain),
        **dict.fromkeys(_GRADED, graded),
        # its operation refuses other surrogates, so it stays with numbers
        "ILIFNode": Adapter("SpikingJelly", _v_threshold, refuse=_refuse),
        "NoisyBaseNode": Adapter("SpikingJelly", _v_threshold, spikes=_noiseless, refuse=_refuse, compiled=_tensor),
        "HalfThresholdIFNode": Adapter("SpikingJelly", _half_threshold, binary=_binary, refuse=_refuse),
        "ActivationAwareIFNode": Adapter("SpikingJelly", _buffer, binary=_binary, refuse=_refuse),
        "GatedLIFNode": Adapter("SpikingJelly", _logit, binary=_binary, refuse=_refuse),
        **{name: Skip("SpikingJelly", reason) for name, reason in _SKIPPED.items()},
    }
    seen = {name: replace(entry, install=_Functional) if isinstance(entry, Adapter) else entry for name, entry in named.items()}
    gated = {getattr(rnn, name): Skip("SpikingJelly", _GATED) for name in _RNNS if hasattr(rnn, name)}
    return {**gated, **{getattr(neuron, name): entry for name, entry in seen.items() if hasattr(neuron, name)}}
