"""Neurons as users write them: subclasses of SpikingJelly's base classes, and a LIF that belongs to no framework."""

import math
from typing import Any

import torch
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

import ahsar


class UserNode(neuron.BaseNode):
    """An integrate-and-fire node with a leak of its own."""

    def single_step_functional_forward(self, inputs: Any, states: Any, **kwargs: Any) -> Any:
        h = 0.9 * states[0] + inputs[0]
        spike: Tensor = self.surrogate_function(h - self.v_threshold)  # type: ignore[assignment]
        v = h - spike * self.v_threshold if self.v_reset is None else (1 - spike) * h + spike * self.v_reset
        return (spike,), (v, *states[1:])


class UserAdaptive(neuron.AdaptBaseNode):
    """A threshold that rises with the spikes of the neuron's past."""

    def single_step_functional_forward(self, inputs: Any, states: Any, **kwargs: Any) -> Any:
        v, w = states[0] + inputs[0], states[-1]
        spike: Tensor = self.surrogate_function(v - self.v_threshold - 0.1 * w)  # type: ignore[assignment]
        v = v - spike * self.v_threshold if self.v_reset is None else (1 - spike) * v + spike * self.v_reset
        return (spike,), (v, w + spike)


class UserTrainable(UserNode):
    """The threshold that SpikingJelly's users ask for: a Parameter under the old name."""

    def __init__(self, v_threshold: float | Tensor = 1.0, **kwargs: Any):
        super().__init__(1.0, **kwargs)
        self.v_threshold = nn.Parameter(torch.as_tensor(v_threshold).clone())  # type: ignore[assignment]


class UserSimple(neuron.SimpleBaseNode):
    def neuronal_charge(self, x: Tensor) -> None:
        self.v: Any = 0.8 * self.v + x  # type: ignore[has-type]


class UserILC(neuron.ILCBaseNode):
    def neuronal_charge(self, x: Tensor) -> None:
        self.v: Any = 0.8 * self.v + x  # type: ignore[has-type]


class UserNoisy(neuron.NoisyBaseNode):
    def neuronal_charge(self, x: Tensor) -> None:
        self.v: Any = 0.8 * self.v + x  # type: ignore[has-type]


class UserNoisyILC(neuron.NoisyILCBaseNode):
    def neuronal_charge(self, x: Tensor) -> None:
        self.v: Any = 0.8 * self.v + x  # type: ignore[has-type]


class Spike(torch.autograd.Function):
    """1 at and above 0, with an arc tangent's slope as gradient."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor) -> Tensor:
        ctx.save_for_backward(distance)
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (distance,) = ctx.saved_tensors
        return grads[0] / (1 + (math.pi * distance) ** 2)


class HandLIF(nn.Module):
    """A LIF of no framework: sequence [T, N, ...] in, spikes and membranes of that shape out.

    Args:
        threshold: becomes `firing_level`, as it is: a number, tensor or Parameter.
        buffer: register it as a buffer.
        form: of the output: "spikes", "pair" (membranes, spikes) or "dict".
        rest: resting and reset potential.
    """

    firing_level: Any

    def __init__(self, threshold: Any = 1.0, buffer: bool = False, form: str = "spikes", rest: float = 0.0):
        super().__init__()
        if buffer:
            self.register_buffer("firing_level", threshold)
        else:
            self.firing_level = threshold
        self.form, self.rest = form, rest
        self.decay = nn.Parameter(torch.tensor(0.7))

    def forward(self, current: Tensor) -> Any:
        v, spikes, membranes = torch.full_like(current[0], self.rest), [], []
        for x in current:
            v = self.rest + self.decay * (v - self.rest) + (x - self.rest)
            spikes.append(Spike.apply(v - self.firing_level))
            membranes.append(v)
            v = torch.where(spikes[-1] > 0, self.rest, v)
        z, u = torch.stack(spikes), torch.stack(membranes)
        return {"spikes": z, "pair": (u, z), "dict": {"membrane": u, "spikes": z}, "stacked": torch.stack([u, z])}[self.form]


class ByIndex(HandLIF):
    pass


class ByKey(HandLIF):
    pass


class ByCall(HandLIF):
    pass


class Millivolts(HandLIF):
    pass


class AtClass(HandLIF):
    """The threshold is an attribute of the class, not of the instance."""

    firing_level = 1.0

    def __init__(self, threshold: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        del self.firing_level
        if threshold != 1.0:
            self.firing_level = threshold


REST = -65.0
ahsar.register_adapter(HandLIF, threshold="firing_level")
ahsar.register_adapter(ByIndex, threshold="firing_level", spikes=1)
ahsar.register_adapter(ByKey, threshold="firing_level", spikes="spikes", binary=True)
ahsar.register_adapter(ByCall, threshold="firing_level", spikes=lambda output: output[1])
ahsar.register_adapter(Millivolts, threshold="firing_level", rest=REST)
