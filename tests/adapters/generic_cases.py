"""A hand-written LIF that belongs to no framework, in every form that its threshold and its spikes can take."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .case import NEURONS, Case
from .neurons import REST, AtClass, ByCall, ByIndex, ByKey, HandLIF, Millivolts


def whole(module: nn.Module, x: Tensor) -> list[Any]:
    output = module(x)
    return [list(output.values()) if isinstance(output, dict) else output]


def plain(threshold: Any) -> HandLIF:
    return HandLIF(threshold)


def tensor(threshold: Any) -> HandLIF:
    return HandLIF(torch.as_tensor(threshold))


def buffer(threshold: Any) -> HandLIF:
    return HandLIF(torch.as_tensor(threshold), buffer=True)


def parameter(threshold: Any) -> HandLIF:
    return HandLIF(nn.Parameter(torch.as_tensor(threshold)))


def of(cls: Callable[..., HandLIF], form: str) -> Callable[[Any], HandLIF]:
    return lambda threshold: cls(threshold, form=form)


def second(output: Any) -> Tensor:
    return output[1]


def millivolts(kind: str) -> Case:
    def build(threshold: Any) -> nn.Module:
        wrap = {"float": float, "buffer": torch.as_tensor, "parameter": lambda t: nn.Parameter(torch.as_tensor(t))}
        return Millivolts(wrap[kind](threshold), buffer=kind == "buffer", rest=REST)

    # chosen so that rest + 1 (θ⁰ − rest), computed as it stands, differs from θ⁰ in the last bit
    theta, writer = (-31.8, "float") if kind == "float" else (-31.9, "tensor")
    # rest + s (θ⁰ − rest) has several roundings, and here they are large against a membrane near rest
    return Case(
        f"millivolts-{kind}",
        build,
        whole,
        theta,
        writer,
        "firing_level",
        kind == "parameter",
        drive=20.0,
        rest=REST,
        rounding=True,
    )


PER_NEURON = torch.linspace(0.7, 1.3, NEURONS)
CASES: list[Case] = [
    Case("float", plain, whole, attribute="firing_level"),
    Case("int", plain, whole, 1, attribute="firing_level"),
    Case("class-attribute", AtClass, whole, attribute="firing_level"),
    Case("tensor", tensor, whole, 1.0, "tensor", "firing_level"),
    Case("tensor-int", tensor, whole, 1, "tensor", "firing_level"),
    Case("tensor-per-neuron", tensor, whole, PER_NEURON, "tensor", "firing_level"),
    Case("buffer", buffer, whole, 1.0, "tensor", "firing_level"),
    Case("parameter", parameter, whole, 1.0, "tensor", "firing_level", True),
    Case("parameter-per-neuron", parameter, whole, PER_NEURON, "tensor", "firing_level", True),
    Case("by-index", of(ByIndex, "pair"), whole, attribute="firing_level", spikes=second),
    Case("by-key", of(ByKey, "dict"), whole, attribute="firing_level", spikes=second),
    Case("by-call", of(ByCall, "stacked"), whole, attribute="firing_level", spikes=second),
    *(millivolts(kind) for kind in ("float", "buffer", "parameter")),
]
