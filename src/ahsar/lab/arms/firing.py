"""Spiking layers whose threshold follows a rule and may change at every time step.

A neuron asks its surrogate function about v − θ⁰, so a function put in its place can ask about v − θ for any θ. Neuron,
state and reset stay the framework's own.
"""

from types import MethodType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ahsar.discovery import Found
from ahsar.lab.arms.spiking import refuse, spiking_layers


class Rule(Protocol):
    """A layer's threshold, asked once per time step."""

    def begin(self) -> None:
        """A sequence begins."""
        ...

    def threshold(self, v: Tensor) -> tuple[Tensor, Tensor | float]:
        """Threshold and width of the surrogate for membrane potentials v [N, ...] before their reset."""
        ...

    def fired(self, spikes: Tensor) -> None:
        """The spikes [N, ...] of this time step, detached."""
        ...


class Firing(nn.Module):
    """The surrogate function of a layer that fires where v ≥ θ, with the rule's θ.

    Args:
        inner: the layer's own surrogate function, of v − θ⁰.
        resting: θ⁰, the threshold that the layer keeps.
    """

    inner: Any
    resting: float
    rule: Rule
    spiking: bool

    def __init__(self, inner: Any, resting: float, rule: Rule) -> None:
        super().__init__()
        self.inner, self.resting, self.rule, self.spiking = inner, resting, rule, True
        self.subtracts = True
        self.last: Tensor | None = None

    def begin(self) -> None:
        """A sequence begins, for the rule too."""
        self.rule.begin()
        self.last = None

    def forward(self, distance: Tensor) -> Tensor:
        """Spikes [N, ...] of a layer whose distance from its own threshold is v − θ⁰ [N, ...]."""
        threshold, width = self.rule.threshold((distance + self.resting).detach())
        spikes = self.inner((distance + (self.resting - threshold)) / width)
        fired = spikes.detach()
        self.rule.fired(fired)
        self.last = fired * (threshold / self.resting) if self.subtracts else fired
        return spikes

    def discharge(self, membrane: Tensor) -> Tensor:
        """What snnTorch takes off the membrane one step later, in units of θ⁰: the threshold that was crossed."""
        return torch.zeros_like(membrane) if self.last is None else self.last


def install(model: Any, arm: str, make_rule: Any) -> list[Firing]:
    """Give every spiking layer a rule.

    Args:
        make_rule: takes θ⁰ and gives the `Rule`.

    Raises:
        WorkloadError: a layer's class does more with its threshold than to compare.
    """
    layers = spiking_layers(model, arm)
    for layer in layers:
        if reason := _unsuited(layer):
            refuse(arm, layer, reason)
    if hasattr(model, "begin"):
        model.begin = MethodType(_begin, model)
    else:  # it takes whole sequences only
        model.register_forward_pre_hook(_begin_rules)
    return [_replace(layer, make_rule) for layer in layers]


def _begin(model: Any) -> None:
    """Begin a sequence, of the rules too."""
    _begin_rules(model)
    type(model).begin(model)


def _begin_rules(model: Any, args: Any = ()) -> None:
    for module in model.modules():
        if isinstance(module, Firing):
            module.begin()


def _unsuited(layer: Found) -> str | None:
    module: Any = layer.module
    if layer.framework == "SpikingJelly":
        from spikingjelly.activation_based import neuron

        if type(module) not in (neuron.IFNode, neuron.LIFNode, neuron.ParametricLIFNode):
            return "it takes SpikingJelly's IFNode, LIFNode and ParametricLIFNode only"
        return "it takes a hard reset only (v_reset=0.0)" if module.v_reset is None else None
    if layer.framework == "snnTorch":
        from snntorch import Leaky

        if type(module) is not Leaky or module.inhibition or not module.reset_delay:
            return "it takes snnTorch's Leaky without inhibition and with reset_delay=True only"
        return None if module.threshold.numel() == 1 else "it takes one threshold for all neurons of a layer"
    return "it knows SpikingJelly and snnTorch only"


def _replace(layer: Found, make_rule: Any) -> Firing:
    module: Any = layer.module
    assert layer.adapter is not None
    resting = layer.adapter.threshold(module).value(module).item()
    name = "surrogate_function" if layer.framework == "SpikingJelly" else "spike_grad"
    inner = getattr(module, name)
    firing = Firing(inner, resting, make_rule(resting))
    if name == "spike_grad":
        firing.subtracts = module.reset_mechanism == "subtract"
        module.__dict__.pop(name, None)  # a plain function there would stand before the module
        module.mem_reset = firing.discharge
    setattr(module, name, firing)
    return firing
