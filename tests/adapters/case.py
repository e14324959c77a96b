"""What a case of the contract is, and the runs that the contract compares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

import ahsar
from tests.models import MOVING

STEPS, BATCH, NEURONS = 4, 3, 6
Run = Callable[[Any, Tensor], list[Any]]


def first(output: Any) -> Tensor:
    """The output itself, or the first of several."""
    return output[0] if isinstance(output, (tuple, list)) else output


@dataclass(frozen=True)
class Case:
    """One class of neurons in one configuration.

    Attributes:
        name: shown by pytest.
        build: threshold -> a new module; equal random seeds are set before.
        run: (module, input [T, ...]) -> what each forward of the sequence returned; starts from a fresh neuron state.
        threshold: θ⁰ as a user gives it.
        writer: "float" where the module holds a Python float, so that s θ⁰ is computed in double precision; "tensor" where
            it is computed in float32.
        attribute: name of the threshold; dots lead into a tuple of parameters.
        learnable: whether it is a Parameter.
        shape: of the input.
        drive: standard deviation of the input.
        spikes: output of one forward -> its spikes.
        rest: resting potential.
        slope: dθ/dθ⁰ as the module stores them, at scale s.
        copies: whether the framework itself makes a true deep copy of it.
        rounding: s θ⁰ of a rebuilt module is computed in another precision, so comparisons allow for rounding.
        second: name of another threshold, which starts as θ⁰ too and is scaled alike.
        graded: spikes count by their strength, in [0, 1], not by being there.
        differentiable: whether there are gradients at all.
        reentrant_only: the framework's own backward does not work under the other kind of activation checkpointing.
    """

    name: str
    build: Callable[[Any], nn.Module]
    run: Run
    threshold: Any = 1.0
    writer: Literal["float", "tensor"] = "float"
    attribute: str = "v_threshold"
    learnable: bool = False
    shape: tuple[int, ...] = (STEPS, BATCH, NEURONS)
    drive: float = 1.5
    spikes: Callable[[Any], Tensor] = first
    rest: float = 0.0
    slope: Callable[[Tensor, float], Any] = lambda stored, scale: scale
    rounding: bool = False
    copies: bool = True
    second: str | None = None
    graded: bool = False
    differentiable: bool = True
    reentrant_only: bool = False

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of the thresholds that are Parameters."""
        names = (self.attribute,) if self.second is None else (self.attribute, self.second)
        return names if self.learnable else ()

    def __str__(self) -> str:
        return self.name

    def module(self, scale: float = 1.0) -> nn.Module:
        """A new module with the threshold rest + s (θ⁰ − rest)."""
        theta = self.threshold.clone() if isinstance(self.threshold, Tensor) else self.threshold
        if scale != 1.0:
            s: Any = scale if self.writer == "float" else torch.tensor(scale)
            theta = self.rest + s * (theta - self.rest)
        # the CPU's generator alone: torch.manual_seed formats a stack trace for each device that is not there
        torch.default_generator.manual_seed(0)
        np.random.seed(0)
        return self.build(theta)

    def stored(self, module: nn.Module) -> Any:
        """What the module holds as its threshold."""
        return attrgetter(self.attribute)(module)

    def input(self) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return self.rest + self.drive * torch.randn(self.shape, generator=generator)


@dataclass
class Trace:
    """What a run gave: every tensor that the forwards returned, and the gradient of each leaf by name."""

    outputs: list[Tensor]
    gradients: dict[str, Tensor]
    raw: list[Any] = field(default_factory=list)


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested lists and tuples, in order."""
    if isinstance(value, Tensor):
        return [value]
    return [tensor for item in value for tensor in tensors_in(item)] if isinstance(value, (list, tuple)) else []


def trace(case: Case, module: nn.Module, around: Callable[[Callable[..., Any], Tensor], Any] | None = None) -> Trace:
    """Run a sequence forward and backward under a loss that weighs every output differently.

    `around` calls the forward of the whole sequence, for example under activation checkpointing.
    """
    module.zero_grad()
    x = case.input().requires_grad_(case.differentiable)
    torch.default_generator.manual_seed(2)
    raw = case.run(module, x) if around is None else around(lambda x: tuple(tensors_in(case.run(module, x))), x)
    outputs = tensors_in(raw)
    generator = torch.Generator().manual_seed(3)
    losses = [(torch.randn(out.shape, generator=generator) * out).sum() for out in outputs]
    loss = torch.stack(losses).sum()
    if loss.requires_grad:
        loss.backward()
    assert loss.requires_grad == case.differentiable
    leaves = {**dict(module.named_parameters()), "input": x}
    gradients = {name: leaf.grad.clone() for name, leaf in leaves.items() if leaf.grad is not None}
    return Trace([out.detach() for out in outputs], gradients, list(raw))


_references: dict[tuple[str, float], Trace] = {}


def reference(case: Case, scale: float = 1.0) -> Trace:
    """The run of a new module, never attached, that was built with the scaled threshold."""
    key = case.name, scale
    if key not in _references:
        _references[key] = trace(case, case.module(scale))
    return _references[key]


def attached(case: Case, module: nn.Module | None = None, **config: Any) -> tuple[nn.Module, ahsar.Homeostat]:
    """The module, as the layer named "layer" of an attached model, and the controller."""
    module = case.module() if module is None else module
    # a low set-point, which inhibition too can reach
    return module, ahsar.attach(
        nn.ModuleDict({"layer": module}), config=replace(MOVING, set_point=0.05, **config), layers="all"
    )


def same(a: Trace, b: Trace, but: Sequence[str] = ()) -> None:
    """Assert that two runs are equal bit for bit; the gradients of the leaves `but` up to rounding."""
    compare(a, b, but, rtol=0.0, atol=0.0)


def close(a: Trace, b: Trace) -> None:
    """Assert that two runs are equal up to rounding."""
    compare(a, b, (), rtol=1e-4, atol=1e-5)


def compare(a: Trace, b: Trace, but: Sequence[str], rtol: float, atol: float) -> None:
    assert len(a.outputs) == len(b.outputs) > 0
    for got, wanted in zip(a.outputs, b.outputs, strict=True):
        torch.testing.assert_close(got, wanted, rtol=rtol, atol=atol)
    assert a.gradients.keys() == b.gradients.keys()
    for name, got in a.gradients.items():
        r, t = (1e-5, 1e-6) if name in but else (rtol, atol)
        wanted = b.gradients[name]
        torch.testing.assert_close(got, wanted, rtol=r, atol=t, msg=lambda text, name=name: f"{name}: {text}")


def differ(a: Trace, b: Trace) -> bool:
    return any(not torch.equal(x, y) for x, y in zip(a.outputs, b.outputs, strict=True))
